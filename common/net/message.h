// Peer and Message: who talks, and what travels. A message is a FlatBuffers envelope plus raw float
// frames; the transport looks into neither. Values; any thread.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"

namespace ballast {

enum class Role : uint8_t {
  kCoordinator,
  kServer,  // one shard: each shard's thread has its own transport
  kWorker,
  kTool,
  kFeeder,
};

// One life of one participant. `index` counts within the role (shard index, worker index).
struct Peer {
  Role role = Role::kTool;
  uint32_t index = 0;
  Incarnation incarnation = 0;  // 0: whoever lives there now

  auto operator<=>(const Peer&) const = default;
  // The same role and index, whatever the life.
  [[nodiscard]] bool same_place(const Peer& other) const {
    return role == other.role && index == other.index;
  }
};

[[nodiscard]] std::string_view role_name(Role role);    // "server"
[[nodiscard]] std::string to_string(const Peer& peer);  // "worker-1#17"

// Move-only: a message has one owner, its frames' memory may have several.
//
// Sender: what is handed to send() is not copied, and its bytes must not change until the last
// copy of the Buffer is released. Receiver: the envelope is 64-byte aligned; a payload is at any
// address (libzmq gives 8 or 56 mod 64, and odd ones) and may be kept as long as wished.
struct Message {
  Buffer envelope;               // never empty
  std::vector<Buffer> payloads;  // each may be empty

  Message() = default;
  explicit Message(Buffer envelope_in, std::vector<Buffer> payloads_in = {})
      : envelope(std::move(envelope_in)), payloads(std::move(payloads_in)) {}
  Message(Message&&) noexcept = default;
  Message& operator=(Message&&) noexcept = default;

  [[nodiscard]] uint64_t bytes() const;  // of all frames
  // Own memory for every frame, nothing shared with this message.
  [[nodiscard]] Message deep_copy() const;
};

}  // namespace ballast
