// PeerCode: a Peer as the 17 bytes that travel: "BLT" and a format number, role, index and
// incarnation, little-endian. A DEALER's routing id and the body of a welcome. Pure.
#pragma once

#include <array>
#include <optional>
#include <span>

#include "common/net/message.h"

namespace ballast {

inline constexpr size_t kPeerCodeBytes = 17;
using PeerCode = std::array<std::byte, kPeerCodeBytes>;

[[nodiscard]] PeerCode encode_peer(const Peer& peer);
// Nothing: not a code, or a role or incarnation that cannot be.
[[nodiscard]] std::optional<Peer> decode_peer(std::span<const std::byte> bytes);

}  // namespace ballast
