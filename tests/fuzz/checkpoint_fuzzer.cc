// Any bytes as the header of a unit image, as the manifest of a checkpoint and as a whole unit
// image: refused, or values that can be encoded and decoded again. Byte 0 chooses.
#include <cstdint>
#include <span>

#include "common/base/check.h"
#include "common/storage/unit_image.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace {

void unit_header(std::span<const std::byte> bytes) {
  const auto read = ballast::decode_unit_header(bytes);
  if (!read.ok()) return;
  const auto again = ballast::decode_unit_header(ballast::encode_unit_header(*read).bytes());
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
}

void manifest(std::span<const std::byte> bytes) {
  const auto read = ballast::decode_manifest(bytes);
  if (!read.ok()) return;
  const auto again = ballast::decode_manifest(ballast::encode_manifest(*read).bytes());
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
}

void unit_image(std::span<const std::byte> bytes) {
  const auto read = ballast::decode(ballast::Buffer::copy_of(bytes));
  if (!read.ok()) return;
  const auto again = ballast::decode(ballast::encode(*read));
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(1);
  switch (data[0] % 3) {
    case 0:
      unit_header(bytes);
      break;
    case 1:
      manifest(bytes);
      break;
    default:
      unit_image(bytes);
  }
  return 0;
}
