// Any bytes as a message: decode() must refuse it or give a message that can be encoded and decoded
// again. Input: byte 0 payload frames, byte 1 bytes of each, byte 2 shift of the envelope against
// alignment; the payloads; the rest is the envelope.
#include <algorithm>
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/wire/codec.h"

namespace {

using ballast::Buffer;

ballast::Message message_of(std::span<const std::byte> input) {
  constexpr size_t kHead = 3;
  if (input.size() < kHead) return ballast::Message(Buffer::copy_of(input));
  const size_t shift = static_cast<size_t>(input[2]) % 8;
  const size_t payload_bytes = static_cast<size_t>(input[1]);
  size_t payload_count = static_cast<size_t>(input[0]);
  input = input.subspan(kHead);

  std::vector<Buffer> payloads;
  for (; payload_count > 0 && input.size() >= payload_bytes; --payload_count) {
    payloads.push_back(Buffer::copy_of(input.first(payload_bytes)));
    input = input.subspan(payload_bytes);
  }
  Buffer room = Buffer::allocate(shift + input.size());
  std::ranges::copy(input, room.bytes().begin() + static_cast<ptrdiff_t>(shift));
  return ballast::Message(room.slice(shift, input.size()), std::move(payloads));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto received = ballast::wire::decode(message_of(std::as_bytes(std::span(data, size))));
  if (received.ok()) {
    const auto again = ballast::wire::decode(ballast::wire::encode(*received));
    BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
  }
  return 0;
}
