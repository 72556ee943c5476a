// Any bytes as the footer of a chunk, as the manifest of a data set and as a block that begins with
// its table: refused, or values that can be encoded and decoded again, with every range inside.
// Byte 0 chooses, bytes 1 to 4 are where the footer is said to lie, or how many rows the block has.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

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

void block_table(std::span<const std::byte> bytes, uint32_t rows) {
  const std::vector<ballast::ColumnSpec> columns = {{"a", ballast::ColumnType::kF32, {3}},
                                                    {"b", ballast::ColumnType::kI64, {}, true}};
  const auto read = ballast::decode_block_table(bytes, columns, rows, "input");
  if (!read.ok()) return;
  for (const ballast::BufferSpec& buffer : *read) {
    BALLAST_CHECK(buffer.offset <= bytes.size());
    BALLAST_CHECK(buffer.stored_bytes <= bytes.size() - buffer.offset);
  }
  const std::vector<std::byte> table = ballast::encode_block_table(*read);
  std::vector<std::byte> again(bytes.begin(), bytes.end());
  std::copy(table.begin(), table.end(), again.begin());
  BALLAST_CHECK(ballast::decode_block_table(again, columns, rows, "again").ok());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  constexpr size_t kHead = 5;
  if (size < kHead) return 0;
  uint32_t footer_offset = 0;
  std::memcpy(&footer_offset, data + 1, sizeof(footer_offset));
  const auto bytes = std::as_bytes(std::span(data, size)).subspan(kHead);
  if (data[0] % 3 == 0) footer(bytes, footer_offset);
  if (data[0] % 3 == 1) manifest(bytes);
  if (data[0] % 3 == 2) block_table(bytes, footer_offset);
  return 0;
}
