#include "common/net/zeromq_listener.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "common/net/endpoint.h"
#include "common/net/peer_code.h"

namespace ballast {
namespace {

// A broken connection's last messages are read until none is left, but no longer than this.
constexpr Duration kDrainMax = 1s;

Status no_socket_left() {
  return Status(Code::kExhausted, "no socket left; raise the limit of open files");
}

}  // namespace

ZmqListener::ZmqListener(const Peer& self, const ZeroMqOptions& options, const ZmqContext& context,
                         ZmqMailbox& mailbox, const ZmqDialer& dialer)
    : self_(self), options_(options), context_(context), mailbox_(mailbox), dialer_(dialer) {}

Status ZmqListener::make_router() {
  ZmqSocket router = make_socket(context_, ZMQ_ROUTER, options_);
  if (!router) return no_socket_left();
  router.set(ZMQ_ROUTER_MANDATORY, 1);
  // A peer whose old connection is not yet seen to be dead comes back under the same name.
  router.set(ZMQ_ROUTER_HANDOVER, 1);
  ZmqMonitor monitor(context_, router, ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED);
  if (!monitor.socket()) return no_socket_left();
  router_ = std::move(router);
  monitor_ = std::move(monitor);
  return Status();
}

Result<std::string> ZmqListener::bind(const std::string& endpoint) {
  if (!router_) {
    if (Status made = make_router(); !made.ok()) {
      return std::move(made).because("while listening on " + endpoint);
    }
  }
  size_buffers(router_, endpoint);
  if (zmq_bind(router_.get(), endpoint.c_str()) != 0) return bind_error(endpoint, zmq_errno());
  return router_.last_endpoint();
}

void ZmqListener::forget(const Peer& peer) {
  std::erase_if(links_, [&](const auto& entry) { return entry.first.same_place(peer); });
}

// The life that is meant; of an incarnation 0 the newest one.
ZmqListener::Link* ZmqListener::find(const Peer& to) {
  if (to.incarnation != 0) {
    const auto exact = links_.find(to);
    return exact == links_.end() ? nullptr : &exact->second;
  }
  const auto above =
      links_.upper_bound({to.role, to.index, std::numeric_limits<Incarnation>::max()});
  if (above == links_.begin()) return nullptr;
  const auto newest = std::prev(above);
  return newest->first.same_place(to) ? &newest->second : nullptr;
}

Status ZmqListener::send(const Peer& to, Message message) {
  Link* link = find(to);
  if (link == nullptr || link->broken_at) return ZmqMailbox::gone(to);
  int error = send_copy(router_, encode_peer(link->peer), true);
  if (error == 0) error = mailbox_.send(router_, std::move(message));
  if (error == 0) return Status();
  if (error == EAGAIN) return mailbox_.busy(to);
  link->broken_at = monotonic_now();
  return ZmqMailbox::gone(to);
}

// ---------------------------------------------------------------- reading

void ZmqListener::add_to(ZmqPoll& poll) const {
  if (!router_) return;
  poll.add(router_);
  poll.add(monitor_.socket());
}

void ZmqListener::handle(ZmqPoll& poll) {
  if (!router_) return;
  if (poll.next_is_ready()) read();
  if (poll.next_is_ready()) read_monitor();
}

void ZmqListener::read() {
  ZmqMailbox::Frames frames;
  for (int i = 0; i < ZmqMailbox::kReadAheadMax && mailbox_.read(router_, frames); ++i) {
    if (!frames.empty()) on_frames(std::move(frames));
  }
}

void ZmqListener::on_frames(ZmqMailbox::Frames frames) {
  const std::optional<Peer> peer = decode_peer(frames[0].bytes());
  if (!peer || frames.size() < 2) return mailbox_.count_dropped();
  if (frames[1].bytes().empty()) {
    if (frames.size() == 2) return on_probe(*peer, frames[1].source());
    return mailbox_.count_dropped();
  }
  if (!links_.contains(*peer)) return mailbox_.count_dropped();
  mailbox_.deliver(*peer, std::move(frames), 1);
}

void ZmqListener::on_probe(const Peer& peer, int descriptor) {
  read_monitor();  // so that `descriptor` means the newest connection
  if (dialer_.dials(peer)) return mailbox_.count_dropped();
  // The same life over a new connection, before the old one is seen to be dead.
  if (links_.contains(peer)) mailbox_.deliver(PeerDown{peer});
  Link& link = links_[peer];
  link = {peer, descriptor, std::nullopt};
  if (!open_descriptors_.contains(descriptor)) link.broken_at = monotonic_now();
  welcome(peer);
  mailbox_.deliver(PeerUp{peer});
}

// Lost only with the connection, which the monitor tells.
void ZmqListener::welcome(const Peer& peer) {
  if (send_copy(router_, encode_peer(peer), true) == 0 && send_copy(router_, {}, true) == 0) {
    [[maybe_unused]] const int error = send_copy(router_, encode_peer(self_), false);
  }
}

// ---------------------------------------------------------------- the end of a connection

void ZmqListener::read_monitor() {
  while (const std::optional<ZmqEvent> event = monitor_.next()) {
    if (event->kind == ZMQ_EVENT_ACCEPTED) open_descriptors_.insert(event->value);
    if (event->kind != ZMQ_EVENT_DISCONNECTED) continue;
    open_descriptors_.erase(event->value);
    for (auto& [peer, link] : links_) {
      if (link.descriptor == event->value && !link.broken_at) link.broken_at = monotonic_now();
    }
  }
}

bool ZmqListener::drains() const {
  return std::any_of(links_.begin(), links_.end(),
                     [](const auto& entry) { return entry.second.broken_at.has_value(); });
}

void ZmqListener::end_broken(bool router_is_empty) {
  const Time now = monotonic_now();
  std::erase_if(links_, [&](const auto& entry) {
    const Link& link = entry.second;
    if (!link.broken_at || (!router_is_empty && now - *link.broken_at < kDrainMax)) return false;
    mailbox_.deliver(PeerDown{link.peer});
    return true;
  });
}

}  // namespace ballast
