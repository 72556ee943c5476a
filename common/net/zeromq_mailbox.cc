#include "common/net/zeromq_mailbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "common/base/check.h"

namespace ballast {
namespace {

Message assemble(ZmqMailbox::Frames frames, size_t first) {
  Message message(Buffer::copy_of(frames[first].bytes()));
  message.payloads.reserve(frames.size() - first - 1);
  for (size_t i = first + 1; i < frames.size(); ++i) {
    message.payloads.push_back(ZmqFrame::adopt(std::move(frames[i])));
  }
  return message;
}

int submit(const ZmqSocket& socket, Message message) {
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

}  // namespace

// ---------------------------------------------------------------- what came

bool ZmqMailbox::read(const ZmqSocket& socket, Frames& frames) {
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

void ZmqMailbox::deliver(const Peer& from, Frames frames, size_t first) {
  Message message = assemble(std::move(frames), first);
  ++stats_.messages_in;
  stats_.bytes_in += message.bytes();
  deliver(MessageIn{from, std::move(message)});
}

void ZmqMailbox::forget(const Peer& peer) {
  std::erase_if(pending_, [&](const TransportEvent& event) {
    if (const auto* in = std::get_if<MessageIn>(&event)) return in->from.same_place(peer);
    if (const auto* up = std::get_if<PeerUp>(&event)) return up->peer.same_place(peer);
    if (const auto* down = std::get_if<PeerDown>(&event)) return down->peer.same_place(peer);
    return false;
  });
}

std::optional<TransportEvent> ZmqMailbox::take() {
  if (pending_.empty()) return std::nullopt;
  TransportEvent event = std::move(pending_.front());
  pending_.pop_front();
  return event;
}

// ---------------------------------------------------------------- what goes

Status ZmqMailbox::check_limits(const Peer& to, const Message& message) const {
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

int ZmqMailbox::send(const ZmqSocket& socket, Message message) {
  const uint64_t bytes = message.bytes();
  const int error = submit(socket, std::move(message));
  if (error != 0) return error;
  ++stats_.messages_out;
  stats_.bytes_out += bytes;
  return 0;
}

Status ZmqMailbox::busy(const Peer& to) {
  ++stats_.busy;
  return Status(Code::kExhausted, fmt::format("{} is busy: {} or more messages wait for it",
                                              to_string(to), options_.queue_messages_max));
}

Status ZmqMailbox::gone(const Peer& to) {
  return Status(Code::kUnavailable, fmt::format("{} is not connected", to_string(to)));
}

}  // namespace ballast
