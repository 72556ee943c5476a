// The two sealed parts of a chunked data set as plain values: the footer of a chunk and the
// manifest of a folder. Encoding and decoding are FlatBuffers (schemas/chunk.fbs); decoding
// verifies structure and every range before it returns, so that readers may index without further
// checks. The byte layout around these parts is worker/data/README.md. Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace ballast {

inline constexpr uint16_t kChunkMajor = 1;  // another major is refused
inline constexpr uint16_t kChunkMinor = 0;  // a higher minor is read, what is new in it is ignored
inline constexpr uint64_t kBlockAlignment = 4096;    // start and length of every block: O_DIRECT
inline constexpr uint64_t kColumnAlignment = 64;     // start of every column buffer in its block
inline constexpr uint64_t kBlockRowsMax = 1u << 30;  // a manifest keeps 32 bits

enum class ColumnType : uint8_t { kU8 = 0, kI32 = 1, kI64 = 2, kF16 = 3, kF32 = 4 };
enum class Codec : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

[[nodiscard]] std::string_view column_type_name(ColumnType type);  // "u8", "i32" ...
[[nodiscard]] uint64_t element_bytes(ColumnType type);
[[nodiscard]] bool is_integer(ColumnType type);

// A column of fixed-shape rows; an empty shape is one value a row.
struct ColumnSpec {
  std::string name;
  ColumnType type = ColumnType::kF32;
  std::vector<uint32_t> shape;

  [[nodiscard]] uint64_t width() const;  // values a row
  [[nodiscard]] uint64_t row_bytes() const { return width() * element_bytes(type); }
  [[nodiscard]] std::string to_string() const;  // "pixels u8 [28, 28]"
  bool operator==(const ColumnSpec&) const = default;
};

// One column of one block. `offset` counts from the start of the block.
struct BufferSpec {
  uint64_t offset = 0;
  uint64_t stored_bytes = 0;
  uint64_t raw_bytes = 0;  // after decoding: rows * row_bytes
  uint64_t xxh3 = 0;       // of the stored bytes
  Codec codec = Codec::kNone;
};

struct LabelCount {
  int64_t label = 0;
  uint64_t count = 0;
  bool operator==(const LabelCount&) const = default;
};

struct BlockSpec {
  uint64_t offset = 0;  // in the chunk
  uint64_t bytes = 0;   // padding to kBlockAlignment included
  uint64_t rows = 0;
  std::vector<BufferSpec> buffers;  // one per column, in schema order
  std::vector<LabelCount> labels;   // ascending; empty when there is no integer label column
};

struct ChunkFooter {
  uint16_t minor = kChunkMinor;
  std::vector<ColumnSpec> columns;
  std::vector<BlockSpec> blocks;

  [[nodiscard]] uint64_t rows() const;
};

// A chunk in a manifest. Its file is named by the hash of its footer, which holds the hashes of all
// its buffers: equal names are equal contents.
struct ManifestChunk {
  uint64_t footer_xxh3 = 0;
  uint64_t bytes = 0;
  uint64_t rows = 0;
};

// 32 bytes a block: enough to fetch and verify one block alone.
struct ManifestBlock {
  uint64_t offset = 0;
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;  // of all its bytes, padding included
  uint32_t chunk = 0;
  uint32_t rows = 0;
};

struct Manifest {
  uint16_t minor = kChunkMinor;
  std::vector<ColumnSpec> columns;
  std::string label;  // the column whose values the histograms count; may be empty
  std::vector<ManifestChunk> chunks;
  std::vector<ManifestBlock> blocks;  // in row order; the blocks of a chunk stand together

  [[nodiscard]] uint64_t rows() const;
};

[[nodiscard]] std::vector<std::byte> encode(const ChunkFooter& footer);
[[nodiscard]] std::vector<std::byte> encode(const Manifest& manifest);

// `where` names the part in errors ("footer of d/9f...blc at byte 8192"). `footer_offset` is where
// the blocks must end. Errors: kDataLoss; kInvalidInput for an unknown major version or type.
Result<ChunkFooter> decode_chunk_footer(std::span<const std::byte> bytes, uint64_t footer_offset,
                                        const std::string& where);
Result<Manifest> decode_manifest(std::span<const std::byte> bytes, const std::string& where);

}  // namespace ballast
