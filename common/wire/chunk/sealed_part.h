// What footer and manifest have in common on their way to bytes and back: columns, the version, and
// what is checked of any of them before it is believed. For the sources of this folder only, since
// it knows the generated FlatBuffers. Pure; any thread.
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/wire/chunk/chunk_format.h"
#include "common/wire/elements_aligned.h"
#include "schemas/chunk_generated.h"

namespace ballast::sealed_part {

inline constexpr uint64_t kNumberMax = 1ull << 62;  // sums of two never wrap

// Multiplies or says that it would pass kNumberMax.
[[nodiscard]] bool multiply(uint64_t a, uint64_t b, uint64_t& product);

[[nodiscard]] Status damaged(const std::string& where, const std::string& what);

using StoredColumns = flatbuffers::Vector<flatbuffers::Offset<fb::Column>>;

[[nodiscard]] flatbuffers::Offset<StoredColumns> encode_columns(
    flatbuffers::FlatBufferBuilder& builder, const std::vector<ColumnSpec>& columns);
Result<std::vector<ColumnSpec>> decode_columns(const StoredColumns& stored,
                                               const std::string& where);

// All bytes of a builder that is done.
[[nodiscard]] std::vector<std::byte> finished(const flatbuffers::FlatBufferBuilder& builder);

[[nodiscard]] Status check_major(uint16_t major, const std::string& where);
// A block stands where the one before ended, on whole pages.
[[nodiscard]] Status check_block_range(uint64_t offset, uint64_t bytes, uint64_t rows,
                                       uint64_t expected_offset, uint64_t end,
                                       const std::string& which);

// The bytes themselves where they are aligned, as in a vector that begins with them: they outlive
// the buffer then, and nobody writes to it. Else a copy.
[[nodiscard]] Buffer aligned_bytes(std::span<const std::byte> bytes);

// Structure is verified by FlatBuffers on aligned bytes; nothing is read before.
template <typename Root>
Result<const Root*> verified_root(const Buffer& bytes, const std::string& where) {
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
  if (!verifier.VerifyBuffer<Root>(nullptr)) {
    return damaged(where, fmt::format("{} bytes are not a valid structure", bytes.size()));
  }
  return flatbuffers::GetRoot<Root>(bytes.data());
}

template <typename First, typename Second>
Status check_aligned(const First* first, const Second* second, const std::string& where) {
  if (wire::elements_aligned(first) && wire::elements_aligned(second)) return {};
  return damaged(where, "records at an address that is no multiple of 8");
}

}  // namespace ballast::sealed_part
