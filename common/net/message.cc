#include "common/net/message.h"

#include <fmt/format.h>

namespace ballast {

std::string_view role_name(Role role) {
  switch (role) {
    case Role::kCoordinator:
      return "coordinator";
    case Role::kServer:
      return "server";
    case Role::kWorker:
      return "worker";
    case Role::kTool:
      return "tool";
    case Role::kFeeder:
      return "feeder";
  }
  return "unknown";
}

std::string to_string(const Peer& peer) {
  return fmt::format("{}-{}#{}", role_name(peer.role), peer.index, peer.incarnation);
}

uint64_t Message::bytes() const {
  uint64_t sum = envelope.size();
  for (const Buffer& payload : payloads) sum += payload.size();
  return sum;
}

Message Message::deep_copy() const {
  Message copy(Buffer::copy_of(envelope.bytes()));
  copy.payloads.reserve(payloads.size());
  for (const Buffer& payload : payloads) copy.payloads.push_back(Buffer::copy_of(payload.bytes()));
  return copy;
}

}  // namespace ballast
