#include "common/net/zeromq_transport.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <deque>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "common/base/log.h"
#include "common/base/random.h"
#include "common/net/endpoint.h"
#include "common/net/frame_pool.h"
#include "common/net/peer_code.h"
#include "common/net/zeromq_socket.h"

// How a connection lives. The connecting side has a DEALER whose routing id is its PeerCode, so the
// ROUTER knows who speaks; ZMQ_PROBE_ROUTER makes libzmq send one empty frame as soon as the
// connection stands. The ROUTER answers with a welcome: an empty frame and its own PeerCode. Both
// raise PeerUp. A first frame that is empty marks what is the transport's own; a message never
// starts so.
//
// A DEALER lives for one connection only: libzmq's own reconnecting is put off for days, because it
// would hand what is queued for a dead process to its successor. When the monitor says that the
// connection is gone, what it still delivered is read, PeerDown is raised, and a new DEALER is made
// after a pause.
//
// On the ROUTER's side the monitor names file descriptors; the probe's frame tells which one is
// whose. Both ways of learning come from the same I/O thread in order, so the monitor is read
// before a probe is believed.
namespace ballast {
namespace {

// Messages taken from one socket before the others get their turn; they wait in `pending_`.
constexpr int kReadAheadMax = 16;
// A broken connection's last messages are read until none is left, but no longer than this.
constexpr Duration kDrainMax = 1s;

// Of a unix socket: more than a frame of the product; the system may give less (net.core.wmem_max).
constexpr int kIpcBufferBytes = 4 << 20;

constexpr int kDealerEvents = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED |
                              ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                              ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

struct Place {
  Role role;
  uint32_t index;
  auto operator<=>(const Place&) const = default;
};

Place place_of(const Peer& peer) {
  return {peer.role, peer.index};
}

// A connection somebody made to us.
struct Incoming {
  Peer peer;
  int descriptor = -1;            // the one its probe came by
  std::optional<Time> broken_at;  // gone, but what it sent before is still being read
};

// A connection we make and keep making.
struct Outgoing {
  Peer wanted;
  std::string endpoint;
  ZmqSocket dealer;  // none between two attempts
  ZmqMonitor monitor;
  std::optional<Peer> up;  // who answered
  Time act_at;             // give the attempt up, or start the next one
  Duration pause;          // after the next failure
  bool warned = false;     // that somebody else lives there

  // Only a connection that stands has anything to wait for.
  void close() {
    if (dealer && !up) dealer.set(ZMQ_LINGER, 0);
    monitor.close();
    dealer.close();
  }
};

class ZeroMqTransport final : public Transport {
 public:
  ZeroMqTransport(const Peer& self, const ZeroMqOptions& options);
  ~ZeroMqTransport() override;

  const Peer& self() const override { return self_; }
  Result<std::string> bind(const std::string& endpoint) override;
  Status connect(const Peer& peer, const std::string& endpoint) override;
  void disconnect(const Peer& peer) override;
  Status send(const Peer& to, Message message) override;
  std::optional<TransportEvent> receive(Time deadline) override;
  Buffer allocate(const Peer& to, size_t bytes) override;
  void wake() override;
  TransportStats stats() const override { return stats_; }

 private:
  using Frames = std::vector<ZmqFrame>;

  void configure(ZmqSocket& socket) const;
  static void size_buffers(ZmqSocket& socket, const std::string& endpoint);
  Status make_router();

  // Sending.
  Status check_limits(const Peer& to, const Message& message) const;
  Status send_outgoing(Outgoing& link, const Peer& to, Message message);
  Status send_incoming(Incoming& link, const Peer& to, Message message);
  static int submit(const ZmqSocket& socket, Message message);
  Status busy(const Peer& to);
  static Status gone(const Peer& to);

  // Receiving.
  void wait_and_handle(Time deadline);
  Duration patience(Time deadline, Time now) const;
  std::vector<zmq_pollitem_t> poll_items() const;
  void handle(const std::vector<zmq_pollitem_t>& items);
  void drain_wakes();
  // False: nothing there. Frames beyond what any message has are dropped, and `frames` is empty.
  bool read_frames(const ZmqSocket& socket, Frames& frames);
  static Message assemble(Frames frames, size_t first);
  void deliver(const Peer& from, Frames frames, size_t first);

  // Connections made to us.
  [[nodiscard]] Incoming* incoming(const Peer& to);
  void read_router();
  void on_router_frames(Frames frames);
  void on_probe(const Peer& peer, int descriptor);
  void read_router_monitor();
  void end_broken(bool router_is_empty);

  // Connections we make.
  void attempt(Outgoing& link, Time now);
  void fail(Outgoing& link, Duration pause);
  void read_dealer(Outgoing& link, int messages_max);
  void on_dealer_frames(Outgoing& link, Frames frames);
  void on_welcome(Outgoing& link, const Peer& peer);
  void read_dealer_monitor(Outgoing& link);
  void run_timers(Time now);

  const Peer self_;
  const ZeroMqOptions options_;
  const int wake_descriptor_;
  FramePool pool_;
  Random random_;       // jitter of retries
  ZmqContext context_;  // before the sockets: they close first
  ZmqSocket router_;    // none until bind
  ZmqMonitor router_monitor_;
  std::set<int> open_descriptors_;     // accepted and not yet disconnected
  std::map<Peer, Incoming> incoming_;  // every life on its own
  std::map<Place, Outgoing> outgoing_;
  std::deque<TransportEvent> pending_;
  TransportStats stats_;
};

ZeroMqTransport::ZeroMqTransport(const Peer& self, const ZeroMqOptions& options)
    : self_(self),
      options_(options),
      wake_descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      pool_(options.spare_bytes_max),
      random_(hash_numbers({static_cast<uint64_t>(self.role), self.index, self.incarnation})) {
  BALLAST_CHECK(self.incarnation != 0);
  BALLAST_CHECK(wake_descriptor_ >= 0);
}

ZeroMqTransport::~ZeroMqTransport() {
  for (auto& [place, link] : outgoing_) link.close();
  ::close(wake_descriptor_);
}

void ZeroMqTransport::configure(ZmqSocket& socket) const {
  socket.set(ZMQ_LINGER, milliseconds(options_.linger));
  // libzmq gives room back in halves, and a probe or welcome takes a place.
  const int high_water_mark = static_cast<int>(2 * options_.queue_messages_max + 2);
  socket.set(ZMQ_SNDHWM, high_water_mark);
  socket.set(ZMQ_RCVHWM, high_water_mark);
  socket.set(ZMQ_MAXMSGSIZE, static_cast<int64_t>(options_.frame_bytes_max));
  // A machine that vanished is noticed by the kernel after 10 + 3 * 5 s, without waking anybody.
  socket.set(ZMQ_TCP_KEEPALIVE, 1);
  socket.set(ZMQ_TCP_KEEPALIVE_IDLE, 10);
  socket.set(ZMQ_TCP_KEEPALIVE_INTVL, 5);
  socket.set(ZMQ_TCP_KEEPALIVE_CNT, 3);
}

// For what the socket binds or connects to next. With the system's 208 KiB for unix sockets a frame
// of 1 MiB goes over in five rounds of waking each other. tcp grows its buffers by itself, and
// stops doing so where they are set.
void ZeroMqTransport::size_buffers(ZmqSocket& socket, const std::string& endpoint) {
  const int bytes = endpoint.starts_with("ipc://") ? kIpcBufferBytes : -1;
  socket.set(ZMQ_SNDBUF, bytes);
  socket.set(ZMQ_RCVBUF, bytes);
}

// --- listening and connecting

Status ZeroMqTransport::make_router() {
  ZmqSocket router(context_, ZMQ_ROUTER);
  if (!router) return Status(Code::kExhausted, "no socket left; raise the limit of open files");
  configure(router);
  router.set(ZMQ_ROUTER_MANDATORY, 1);
  // A peer whose old connection is not yet seen to be dead comes back under the same name.
  router.set(ZMQ_ROUTER_HANDOVER, 1);
  ZmqMonitor monitor(context_, router, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED);
  if (!monitor.socket()) {
    return Status(Code::kExhausted, "no socket left; raise the limit of open files");
  }
  router_ = std::move(router);
  router_monitor_ = std::move(monitor);
  return Status();
}

Result<std::string> ZeroMqTransport::bind(const std::string& endpoint) {
  BALLAST_RETURN_IF_ERROR(check_endpoint(endpoint));
  BALLAST_RETURN_IF_ERROR(check_not_listening(endpoint));
  if (!router_) {
    if (Status made = make_router(); !made.ok()) {
      return std::move(made).because("while listening on " + endpoint);
    }
  }
  size_buffers(router_, endpoint);
  if (zmq_bind(router_.get(), endpoint.c_str()) != 0) return bind_error(endpoint, zmq_errno());
  return router_.last_endpoint();
}

Status ZeroMqTransport::connect(const Peer& peer, const std::string& endpoint) {
  BALLAST_RETURN_IF_ERROR(check_endpoint(endpoint));
  disconnect(peer);
  Outgoing& link = outgoing_[place_of(peer)];
  link.wanted = peer;
  link.endpoint = endpoint;
  link.pause = options_.retry_min;
  attempt(link, monotonic_now());
  return Status();
}

void ZeroMqTransport::disconnect(const Peer& peer) {
  if (auto link = outgoing_.find(place_of(peer)); link != outgoing_.end()) {
    link->second.close();  // lingers in the background
    outgoing_.erase(link);
  }
  std::erase_if(incoming_, [&](const auto& entry) { return entry.first.same_place(peer); });
  std::erase_if(pending_, [&](const TransportEvent& event) {
    if (const auto* in = std::get_if<MessageIn>(&event)) return in->from.same_place(peer);
    if (const auto* up = std::get_if<PeerUp>(&event)) return up->peer.same_place(peer);
    if (const auto* down = std::get_if<PeerDown>(&event)) return down->peer.same_place(peer);
    return false;
  });
}

void ZeroMqTransport::attempt(Outgoing& link, Time now) {
  ZmqSocket dealer(context_, ZMQ_DEALER);
  if (!dealer) return fail(link, options_.retry_max);
  configure(dealer);
  size_buffers(dealer, link.endpoint);
  const PeerCode code = encode_peer(self_);
  dealer.set(ZMQ_ROUTING_ID, std::string(reinterpret_cast<const char*>(code.data()), code.size()));
  dealer.set(ZMQ_PROBE_ROUTER, 1);
  // Never by libzmq itself. Not -1 and not ZMQ_IMMEDIATE: both take away what a broken connection
  // has delivered but we have not read (seen with 4.3.4).
  dealer.set(ZMQ_RECONNECT_IVL, std::numeric_limits<int>::max() / 4);
  ZmqMonitor monitor(context_, dealer, kDealerEvents);
  if (!monitor.socket() || zmq_connect(dealer.get(), link.endpoint.c_str()) != 0) {
    return fail(link, options_.retry_max);
  }
  link.dealer = std::move(dealer);
  link.monitor = std::move(monitor);
  link.act_at = now + options_.handshake;
}

void ZeroMqTransport::fail(Outgoing& link, Duration pause) {
  if (link.up) pending_.push_back(PeerDown{*link.up});
  link.up.reset();
  link.close();
  // A quarter of jitter either way, so that a crowd does not come back at once.
  const int64_t quarter = pause.count() / 4;
  link.act_at = monotonic_now() + pause + Duration(random_.between(-quarter, quarter));
  link.pause = std::min(pause * 2, options_.retry_max);
}

void ZeroMqTransport::run_timers(Time now) {
  for (auto& [place, link] : outgoing_) {
    if (link.up || now < link.act_at) continue;
    if (link.dealer) {
      fail(link, link.pause);
    } else {
      attempt(link, now);
    }
  }
}

// --- sending

Status ZeroMqTransport::busy(const Peer& to) {
  ++stats_.busy;
  return Status(Code::kExhausted, fmt::format("{} is busy: {} or more messages wait for it",
                                              to_string(to), options_.queue_messages_max));
}

Status ZeroMqTransport::gone(const Peer& to) {
  return Status(Code::kUnavailable, fmt::format("{} is not connected", to_string(to)));
}

Status ZeroMqTransport::check_limits(const Peer& to, const Message& message) const {
  BALLAST_CHECK_MSG(!message.envelope.empty(), "a message has an envelope");
  uint64_t largest = message.envelope.size();
  for (const Buffer& payload : message.payloads) largest = std::max(largest, payload.size());
  if (largest <= options_.frame_bytes_max && message.payloads.size() <= kPayloadsMax) {
    return Status();
  }
  return Status(
      Code::kInvalidInput,
      fmt::format("message to {}: {} payloads, the largest frame has {} bytes; at most {} "
                  "payloads and {} bytes",
                  to_string(to), message.payloads.size(), largest, kPayloadsMax,
                  options_.frame_bytes_max));
}

Status ZeroMqTransport::send(const Peer& to, Message message) {
  BALLAST_RETURN_IF_ERROR(check_limits(to, message));
  const uint64_t bytes = message.bytes();
  Status sent = gone(to);
  if (auto out = outgoing_.find(place_of(to)); out != outgoing_.end()) {
    sent = send_outgoing(out->second, to, std::move(message));
  } else if (Incoming* in = incoming(to)) {
    sent = send_incoming(*in, to, std::move(message));
  }
  if (!sent.ok()) return sent;
  ++stats_.messages_out;
  stats_.bytes_out += bytes;
  return sent;
}

Status ZeroMqTransport::send_outgoing(Outgoing& link, const Peer& to, Message message) {
  if (!link.up || (to.incarnation != 0 && to != *link.up)) return gone(to);
  const int error = submit(link.dealer, std::move(message));
  if (error == 0) return Status();
  if (error != EAGAIN) return gone(to);
  read_dealer_monitor(link);  // full, or without a connection
  return link.up ? busy(to) : gone(to);
}

Status ZeroMqTransport::send_incoming(Incoming& link, const Peer& to, Message message) {
  if (link.broken_at) return gone(to);
  int error = send_copy(router_, encode_peer(link.peer), true);
  if (error == 0) error = submit(router_, std::move(message));
  if (error == 0) return Status();
  if (error == EAGAIN) return busy(to);
  link.broken_at = monotonic_now();
  return gone(to);
}

int ZeroMqTransport::submit(const ZmqSocket& socket, Message message) {
  const size_t count = message.payloads.size();
  int first_error = send_frame(socket, std::move(message.envelope), count > 0);
  if (first_error != 0) return first_error;
  // Once the first frame is taken all have to follow, even when the connection breaks in between:
  // libzmq drops them up to the last.
  for (size_t i = 0; i < count; ++i) {
    const int error = send_frame(socket, std::move(message.payloads[i]), i + 1 < count);
    if (error != 0) first_error = EHOSTUNREACH;
  }
  return first_error;
}

Buffer ZeroMqTransport::allocate(const Peer&, size_t bytes) {
  return pool_.take(bytes);
}

// --- receiving

std::optional<TransportEvent> ZeroMqTransport::receive(Time deadline) {
  for (bool last_look = false; pending_.empty() && !last_look;) {
    last_look = monotonic_now() >= deadline;
    wait_and_handle(deadline);
  }
  if (pending_.empty()) return std::nullopt;
  TransportEvent event = std::move(pending_.front());
  pending_.pop_front();
  return event;
}

Duration ZeroMqTransport::patience(Time deadline, Time now) const {
  Time until = deadline;
  for (const auto& [place, link] : outgoing_) {
    if (!link.up) until = std::min(until, link.act_at);
  }
  for (const auto& [peer, link] : incoming_) {
    if (link.broken_at) return Duration::zero();
  }
  return until - now;
}

void ZeroMqTransport::wait_and_handle(Time deadline) {
  const Time now = monotonic_now();
  std::vector<zmq_pollitem_t> items = poll_items();
  const int ready =
      zmq_poll(items.data(), static_cast<int>(items.size()), milliseconds(patience(deadline, now)));
  if (ready > 0) handle(items);
  end_broken(ready == 0);
  run_timers(monotonic_now());
}

std::vector<zmq_pollitem_t> ZeroMqTransport::poll_items() const {
  std::vector<zmq_pollitem_t> items;
  items.reserve(3 + 2 * outgoing_.size());
  items.push_back({nullptr, wake_descriptor_, ZMQ_POLLIN, 0});
  if (router_) {
    items.push_back({router_.get(), 0, ZMQ_POLLIN, 0});
    items.push_back({router_monitor_.socket().get(), 0, ZMQ_POLLIN, 0});
  }
  for (const auto& [place, link] : outgoing_) {
    if (!link.dealer) continue;
    items.push_back({link.dealer.get(), 0, ZMQ_POLLIN, 0});
    items.push_back({link.monitor.socket().get(), 0, ZMQ_POLLIN, 0});
  }
  return items;
}

void ZeroMqTransport::handle(const std::vector<zmq_pollitem_t>& items) {
  size_t next = 0;
  if (items[next++].revents != 0) drain_wakes();
  if (router_) {
    if (items[next++].revents != 0) read_router();
    if (items[next++].revents != 0) read_router_monitor();
  }
  for (auto& [place, link] : outgoing_) {
    if (!link.dealer) continue;  // as in poll_items: handling a link closes no other
    if (items[next++].revents != 0) read_dealer(link, kReadAheadMax);
    if (items[next++].revents != 0) read_dealer_monitor(link);
  }
}

void ZeroMqTransport::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then a wake is pending anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_, &one, sizeof(one));
}

void ZeroMqTransport::drain_wakes() {
  uint64_t count = 0;
  if (::read(wake_descriptor_, &count, sizeof(count)) > 0) pending_.push_back(Woken{});
}

bool ZeroMqTransport::read_frames(const ZmqSocket& socket, Frames& frames) {
  constexpr size_t kFramesMax = kPayloadsMax + 2;  // routing id, envelope, payloads
  frames.clear();
  ZmqFrame frame;
  if (!frame.receive(socket)) return false;
  bool too_many = false;
  for (bool more = true; more;) {
    more = frame.more();
    if (frames.size() < kFramesMax) {
      frames.push_back(std::move(frame));
    } else {
      too_many = true;
    }
    if (more && !frame.receive(socket)) break;  // libzmq hands over whole messages only
  }
  if (too_many) {
    frames.clear();
    ++stats_.dropped;
  }
  return true;
}

Message ZeroMqTransport::assemble(Frames frames, size_t first) {
  Message message(Buffer::copy_of(frames[first].bytes()));
  message.payloads.reserve(frames.size() - first - 1);
  for (size_t i = first + 1; i < frames.size(); ++i) {
    message.payloads.push_back(ZmqFrame::adopt(std::move(frames[i])));
  }
  return message;
}

void ZeroMqTransport::deliver(const Peer& from, Frames frames, size_t first) {
  Message message = assemble(std::move(frames), first);
  ++stats_.messages_in;
  stats_.bytes_in += message.bytes();
  pending_.push_back(MessageIn{from, std::move(message)});
}

// --- connections made to us

// The life that is meant; of an incarnation 0 the newest one.
Incoming* ZeroMqTransport::incoming(const Peer& to) {
  if (to.incarnation != 0) {
    const auto exact = incoming_.find(to);
    return exact == incoming_.end() ? nullptr : &exact->second;
  }
  const auto above =
      incoming_.upper_bound({to.role, to.index, std::numeric_limits<Incarnation>::max()});
  if (above == incoming_.begin()) return nullptr;
  const auto newest = std::prev(above);
  return newest->first.same_place(to) ? &newest->second : nullptr;
}

void ZeroMqTransport::read_router() {
  Frames frames;
  for (int i = 0; i < kReadAheadMax && read_frames(router_, frames); ++i) {
    if (!frames.empty()) on_router_frames(std::move(frames));
  }
}

void ZeroMqTransport::on_router_frames(Frames frames) {
  const std::optional<Peer> peer = decode_peer(frames[0].bytes());
  if (!peer || frames.size() < 2) {
    ++stats_.dropped;
    return;
  }
  if (frames[1].bytes().empty()) {
    if (frames.size() == 2) return on_probe(*peer, frames[1].source());
    ++stats_.dropped;
    return;
  }
  if (!incoming_.contains(*peer)) {
    ++stats_.dropped;
    return;
  }
  deliver(*peer, std::move(frames), 1);
}

void ZeroMqTransport::on_probe(const Peer& peer, int descriptor) {
  read_router_monitor();  // so that `descriptor` means the newest connection
  if (outgoing_.contains(place_of(peer))) {
    ++stats_.dropped;
    return;
  }
  // The same life over a new connection, before the old one is seen to be dead.
  if (incoming_.contains(peer)) pending_.push_back(PeerDown{peer});
  Incoming& link = incoming_[peer];
  link = {peer, descriptor, std::nullopt};
  if (!open_descriptors_.contains(descriptor)) link.broken_at = monotonic_now();
  // Lost only with the connection, which the monitor tells.
  if (send_copy(router_, encode_peer(peer), true) == 0 && send_copy(router_, {}, true) == 0) {
    [[maybe_unused]] const int error = send_copy(router_, encode_peer(self_), false);
  }
  pending_.push_back(PeerUp{peer});
}

void ZeroMqTransport::read_router_monitor() {
  while (const std::optional<ZmqEvent> event = router_monitor_.next()) {
    if (event->kind == ZMQ_EVENT_ACCEPTED) open_descriptors_.insert(event->value);
    if (event->kind != ZMQ_EVENT_DISCONNECTED) continue;
    open_descriptors_.erase(event->value);
    for (auto& [peer, link] : incoming_) {
      if (link.descriptor == event->value && !link.broken_at) link.broken_at = monotonic_now();
    }
  }
}

void ZeroMqTransport::end_broken(bool router_is_empty) {
  const Time now = monotonic_now();
  std::erase_if(incoming_, [&](const auto& entry) {
    const Incoming& link = entry.second;
    if (!link.broken_at || (!router_is_empty && now - *link.broken_at < kDrainMax)) return false;
    pending_.push_back(PeerDown{link.peer});
    return true;
  });
}

// --- connections we make

void ZeroMqTransport::read_dealer(Outgoing& link, int messages_max) {
  Frames frames;
  for (int i = 0; i < messages_max && link.dealer && read_frames(link.dealer, frames); ++i) {
    if (!frames.empty()) on_dealer_frames(link, std::move(frames));
  }
}

void ZeroMqTransport::on_dealer_frames(Outgoing& link, Frames frames) {
  if (frames[0].bytes().empty()) {
    const bool is_welcome = frames.size() == 2 && !link.up;
    const std::optional<Peer> peer =
        is_welcome ? decode_peer(frames[1].bytes()) : std::optional<Peer>();
    if (peer) return on_welcome(link, *peer);
    ++stats_.dropped;
    return;
  }
  if (!link.up || frames.size() > kPayloadsMax + 1) {
    ++stats_.dropped;
    return;
  }
  deliver(*link.up, std::move(frames), 0);
}

void ZeroMqTransport::on_welcome(Outgoing& link, const Peer& peer) {
  const bool is_life = link.wanted.incarnation == 0 || link.wanted.incarnation == peer.incarnation;
  if (!is_life || !peer.same_place(link.wanted)) {
    if (!link.warned) {
      log::warn("endpoint {} is of {}, expected {}; trying again", link.endpoint, to_string(peer),
                to_string(link.wanted));
    }
    link.warned = true;
    ++stats_.dropped;
    return fail(link, options_.retry_max);
  }
  link.up = peer;
  link.pause = options_.retry_min;
  pending_.push_back(PeerUp{peer});
}

void ZeroMqTransport::read_dealer_monitor(Outgoing& link) {
  bool broken = false;
  while (link.monitor.next()) broken = true;  // every event asked for is an end
  if (!broken) return;
  read_dealer(link, static_cast<int>(2 * options_.queue_messages_max + 2));
  if (link.dealer) fail(link, link.pause);
}

}  // namespace

std::unique_ptr<Transport> make_zeromq_transport(const Peer& self, const ZeroMqOptions& options) {
  return std::make_unique<ZeroMqTransport>(self, options);
}

}  // namespace ballast
