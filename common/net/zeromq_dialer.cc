#include "common/net/zeromq_dialer.h"

#include <algorithm>
#include <cerrno>
#include <limits>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/net/peer_code.h"

namespace ballast {
namespace {

constexpr int kMonitored = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CONNECT_RETRIED |
                           ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                           ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

}  // namespace

ZmqDialer::ZmqDialer(const Peer& self, const ZeroMqOptions& options, const ZmqContext& context,
                     ZmqMailbox& mailbox)
    : self_(self),
      options_(options),
      context_(context),
      mailbox_(mailbox),
      random_(hash_numbers({static_cast<uint64_t>(self.role), self.index, self.incarnation})) {}

ZmqDialer::~ZmqDialer() {
  for (auto& [place, link] : links_) link.close();
}

// Only a connection that stands has anything to wait for.
void ZmqDialer::Link::close() {
  if (dealer && !up) dealer.set(ZMQ_LINGER, 0);
  monitor.close();
  dealer.close();
}

void ZmqDialer::connect(const Peer& peer, const std::string& endpoint) {
  const auto [entry, is_new] = links_.try_emplace(place_of(peer));
  BALLAST_CHECK(is_new);
  Link& link = entry->second;
  link.wanted = peer;
  link.endpoint = endpoint;
  link.pause = options_.retry_min;
  attempt(link, monotonic_now());
}

void ZmqDialer::disconnect(const Peer& peer) {
  const auto link = links_.find(place_of(peer));
  if (link == links_.end()) return;
  link->second.close();
  links_.erase(link);
}

Status ZmqDialer::send(const Peer& to, Message message) {
  const auto found = links_.find(place_of(to));
  if (found == links_.end()) return ZmqMailbox::gone(to);
  Link& link = found->second;
  if (!link.up || (to.incarnation != 0 && to != *link.up)) return ZmqMailbox::gone(to);
  const int error = mailbox_.send(link.dealer, std::move(message));
  if (error == 0) return Status();
  if (error != EAGAIN) return ZmqMailbox::gone(to);
  read_monitor(link);  // full, or without a connection
  return link.up ? mailbox_.busy(to) : ZmqMailbox::gone(to);
}

// ---------------------------------------------------------------- attempts

void ZmqDialer::attempt(Link& link, Time now) {
  ZmqSocket dealer = make_socket(context_, ZMQ_DEALER, options_);
  if (!dealer) return fail(link, options_.retry_max);
  size_buffers(dealer, link.endpoint);
  const PeerCode code = encode_peer(self_);
  dealer.set(ZMQ_ROUTING_ID, std::string(reinterpret_cast<const char*>(code.data()), code.size()));
  dealer.set(ZMQ_PROBE_ROUTER, 1);
  // Never by libzmq itself. Not -1 and not ZMQ_IMMEDIATE: both take away what a broken connection
  // has delivered but we have not read (seen with 4.3.4).
  dealer.set(ZMQ_RECONNECT_IVL, std::numeric_limits<int>::max() / 4);
  ZmqMonitor monitor(context_, dealer, kMonitored);
  if (!monitor.socket() || zmq_connect(dealer.get(), link.endpoint.c_str()) != 0) {
    return fail(link, options_.retry_max);
  }
  link.dealer = std::move(dealer);
  link.monitor = std::move(monitor);
  link.act_at = now + options_.handshake;
}

void ZmqDialer::fail(Link& link, Duration pause) {
  if (link.up) mailbox_.deliver(PeerDown{*link.up});
  link.up.reset();
  link.close();
  // A quarter of jitter either way, so that a crowd does not come back at once.
  const int64_t quarter = pause.count() / 4;
  link.act_at = monotonic_now() + pause + Duration(random_.between(-quarter, quarter));
  link.pause = std::min(pause * 2, options_.retry_max);
}

Time ZmqDialer::next_timer() const {
  Time next = kEndOfTime;
  for (const auto& [place, link] : links_) {
    if (!link.up) next = std::min(next, link.act_at);
  }
  return next;
}

void ZmqDialer::run_timers(Time now) {
  for (auto& [place, link] : links_) {
    if (link.up || now < link.act_at) continue;
    if (link.dealer) {
      fail(link, link.pause);
    } else {
      attempt(link, now);
    }
  }
}

// ---------------------------------------------------------------- reading

void ZmqDialer::add_to(ZmqPoll& poll) const {
  for (const auto& [place, link] : links_) {
    if (!link.dealer) continue;
    poll.add(link.dealer);
    poll.add(link.monitor.socket());
  }
}

void ZmqDialer::handle(ZmqPoll& poll) {
  for (auto& [place, link] : links_) {
    if (!link.dealer) continue;  // as in add_to: handling a link closes no other
    if (poll.next_is_ready()) read(link, ZmqMailbox::kReadAheadMax);
    if (poll.next_is_ready()) read_monitor(link);
  }
}

void ZmqDialer::read(Link& link, int messages_max) {
  ZmqMailbox::Frames frames;
  for (int i = 0; i < messages_max && link.dealer && mailbox_.read(link.dealer, frames); ++i) {
    if (!frames.empty()) on_frames(link, std::move(frames));
  }
}

void ZmqDialer::read_monitor(Link& link) {
  bool broken = false;
  while (link.monitor.next()) broken = true;  // every event asked for is an end
  if (!broken) return;
  read(link, options_.high_water_mark());
  if (link.dealer) fail(link, link.pause);
}

void ZmqDialer::on_frames(Link& link, ZmqMailbox::Frames frames) {
  if (frames[0].bytes().empty()) {
    const bool is_welcome = frames.size() == 2 && !link.up;
    const std::optional<Peer> peer =
        is_welcome ? decode_peer(frames[1].bytes()) : std::optional<Peer>();
    if (peer) return on_welcome(link, *peer);
    return mailbox_.count_dropped();
  }
  if (!link.up || frames.size() > kPayloadsMax + 1) return mailbox_.count_dropped();
  mailbox_.deliver(*link.up, std::move(frames), 0);
}

void ZmqDialer::on_welcome(Link& link, const Peer& peer) {
  const bool is_life = link.wanted.incarnation == 0 || link.wanted.incarnation == peer.incarnation;
  if (!is_life || !peer.same_place(link.wanted)) {
    if (!link.warned) {
      log::warn("endpoint {} is of {}, expected {}; trying again", link.endpoint, to_string(peer),
                to_string(link.wanted));
    }
    link.warned = true;
    mailbox_.count_dropped();
    return fail(link, options_.retry_max);
  }
  link.up = peer;
  link.pause = options_.retry_min;
  mailbox_.deliver(PeerUp{peer});
}

}  // namespace ballast
