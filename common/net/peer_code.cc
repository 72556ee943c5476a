#include "common/net/peer_code.h"

#include <algorithm>
#include <cstring>

namespace ballast {
namespace {

// Never starts with 0: libzmq keeps such routing ids for itself.
constexpr std::array<std::byte, 4> kMagic = {std::byte{'B'}, std::byte{'L'}, std::byte{'T'},
                                             std::byte{1}};

template <typename T>
void put(std::byte* out, T value) {
  for (size_t i = 0; i < sizeof(T); ++i) out[i] = static_cast<std::byte>(value >> (8 * i));
}

template <typename T>
T get(const std::byte* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) value |= static_cast<T>(in[i]) << (8 * i);
  return value;
}

}  // namespace

PeerCode encode_peer(const Peer& peer) {
  PeerCode code;
  std::copy(kMagic.begin(), kMagic.end(), code.begin());
  code[4] = static_cast<std::byte>(peer.role);
  put<uint32_t>(&code[5], peer.index);
  put<uint64_t>(&code[9], peer.incarnation);
  return code;
}

std::optional<Peer> decode_peer(std::span<const std::byte> bytes) {
  if (bytes.size() != kPeerCodeBytes) return std::nullopt;
  if (!std::equal(kMagic.begin(), kMagic.end(), bytes.begin())) return std::nullopt;
  if (bytes[4] > static_cast<std::byte>(Role::kFeeder)) return std::nullopt;
  const Peer peer{static_cast<Role>(bytes[4]), get<uint32_t>(&bytes[5]), get<uint64_t>(&bytes[9])};
  if (peer.incarnation == 0) return std::nullopt;
  return peer;
}

}  // namespace ballast
