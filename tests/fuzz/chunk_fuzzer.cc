// Any bytes as the footer of a chunk and as the manifest of a data set: refused, or values that can
// be encoded and decoded again. Byte 0 chooses, bytes 1 to 4 are where the footer is said to lie.
#include <cstdint>
#include <cstring>
#include <span>

#include "common/base/check.h"
#include "common/wire/chunk/chunk_format.h"

namespace {

void footer(std::span<const std::byte> bytes, uint64_t footer_offset) {
  const auto read = ballast::decode_chunk_footer(bytes, footer_offset, "input");
  if (!read.ok()) return;
  const auto again = ballast::decode_chunk_footer(ballast::encode(*read), footer_offset, "again");
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
}

void manifest(std::span<const std::byte> bytes) {
  const auto read = ballast::decode_manifest(bytes, "input");
  if (!read.ok()) return;
  const auto again = ballast::decode_manifest(ballast::encode(*read), "again");
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHead = 5;
  if (size < kHead) return 0;
  uint32_t footer_offset = 0;
  std::memcpy(&footer_offset, data + 1, sizeof(footer_offset));
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(kHead);
  if (data[0] % 2 == 0) {
    footer(bytes, footer_offset);
  } else {
    manifest(bytes);
  }
  return 0;
}
