#include "server/service.h"

#include <fmt/format.h>

#include <map>

#include "common/base/log.h"
#include "common/wire/codec.h"

namespace ballast {

Status ShardService::run() {
  shard_.start(monotonic_now(), effects_);
  carry_out();
  while (!end_) {
    if (auto event = transport_.receive(wake_at_)) take(*event);
    poll_journal();
    if (monotonic_now() >= wake_at_) {
      wake_at_ = kEndOfTime;
      shard_.handle(shard_event::Tick{}, monotonic_now(), effects_);
      carry_out();
    }
    if (trace_ != nullptr) trace_->flush_when_due(monotonic_now());
  }
  return *end_;
}

void ShardService::take(TransportEvent& event) {
  const Time now = monotonic_now();
  if (auto* in = std::get_if<MessageIn>(&event)) {
    Result<wire::Any> message = wire::decode(std::move(in->message));
    if (!message.ok()) {
      log::warn("dropped a message from {}: {}", to_string(in->from), message.status().to_string());
      return;
    }
    if (trace_ != nullptr) trace_->arrived(in->from, *message, now);
    shard_.handle(shard_event::Received{in->from, std::move(*message)}, now, effects_);
    if (trace_ != nullptr) trace_->handled(monotonic_now());
  } else if (auto* up = std::get_if<PeerUp>(&event)) {
    shard_.handle(shard_event::PeerUp{up->peer}, now, effects_);
  } else if (auto* down = std::get_if<PeerDown>(&event)) {
    log::info("lost {} step={}", to_string(down->peer), step_.load());
    if (trace_ != nullptr) trace_->lost(down->peer);
    shard_.handle(shard_event::PeerLost{down->peer}, now, effects_);
  }
  carry_out();
  if (trace_ != nullptr) trace_->settled();
}

void ShardService::poll_journal() {
  while (auto event = journal_.poll()) {
    shard_.handle(shard_event::Stored{std::move(*event)}, monotonic_now(), effects_);
    carry_out();
  }
}

// Effects in order; the replies to one peer that one event made travel in one message, or in
// several when it cannot carry them all.
void ShardService::carry_out() {
  std::map<Peer, wire::Reply> replies;
  for (ShardEffect& effect : effects_) {
    if (auto* reply = std::get_if<shard_effect::SendReply>(&effect)) {
      step_ = std::max(step_.load(), reply->entry.version);
      if (trace_ != nullptr) trace_->answered(reply->to, reply->entry, monotonic_now());
      wire::Reply& waiting = replies[reply->to];
      if (waiting.entries.size() == wire::kEntriesMax) {
        send_replies(reply->to, std::exchange(waiting, {}));
      }
      waiting.entries.push_back(std::move(reply->entry));
    } else if (auto* control = std::get_if<shard_effect::SendControl>(&effect)) {
      (void)transport_.send({Role::kCoordinator, 0, 0}, wire::encode(control->message));
    } else if (auto* wake = std::get_if<shard_effect::WakeAt>(&effect)) {
      wake_at_ = wake->time;
    } else if (auto* note = std::get_if<shard_effect::Note>(&effect)) {
      log::info("{}", note->text);
    } else if (auto* fail = std::get_if<shard_effect::Fail>(&effect)) {
      end_ = fail->status;
    } else if (auto* end = std::get_if<shard_effect::End>(&effect)) {
      end_ = wire::end_status(end->kind, end->reason);
    }
  }
  effects_.clear();
  for (auto& [to, reply] : replies) send_replies(to, std::move(reply));
}

// A worker that is gone or slow asks again: a reply that cannot be sent is dropped.
void ShardService::send_replies(const Peer& to, wire::Reply reply) {
  const Status sent = transport_.send(to, wire::encode(std::move(reply)));
  if (!sent.ok()) log::warn("reply to {} not sent: {}", to_string(to), sent.to_string());
}

}  // namespace ballast
