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
inline constexpr uint16_t kChunkMinor = 1;  // a higher minor is read, what is new in it is ignored
inline constexpr uint64_t kBlockAlignment = 4096;    // start and length of every block: O_DIRECT
inline constexpr uint64_t kColumnAlignment = 64;     // start of every column buffer in its block
inline constexpr uint64_t kBlockRowsMax = 1u << 30;  // a manifest keeps 32 bits
inline constexpr size_t kBlockLabelsMax = 1024;      // more distinct values are not counted
inline constexpr uint64_t kTableEntryBytes = 40;     // of one buffer in the table of a block

// No codec makes more of a byte: zstd repeats 128 KiB for 4 bytes. What says more is damaged, and
// is known to be before memory is taken for it.
inline constexpr uint64_t kExpansionMax = 1u << 16;

enum class ColumnType : uint8_t { kU8 = 0, kI32 = 1, kI64 = 2, kF16 = 3, kF32 = 4 };
enum class Codec : uint8_t { kNone = 0, kLz4 = 1, kZstd = 2 };

[[nodiscard]] std::string_view column_type_name(ColumnType type);  // "u8", "i32" ...
[[nodiscard]] uint64_t element_bytes(ColumnType type);
[[nodiscard]] bool is_integer(ColumnType type);

[[nodiscard]] std::string_view codec_name(Codec codec);  // "none", "lz4", "zstd"

// A column of fixed-shape rows, an empty shape being one value a row; or, when it is variable, of
// rows that are lists of items of that shape, any number of them.
struct ColumnSpec {
  std::string name;
  ColumnType type = ColumnType::kF32;
  std::vector<uint32_t> shape;
  bool variable = false;
  double default_value =
      0;  // in a manifest: all values in chunks that lack the column; lists: none

  [[nodiscard]] uint64_t width() const;  // values of a row, or of an item
  [[nodiscard]] uint64_t item_bytes() const { return width() * element_bytes(type); }
  [[nodiscard]] uint64_t row_bytes() const;     // not of lists: those differ
  [[nodiscard]] std::string to_string() const;  // "pixels u8 [28, 28]", "words i32 [], lists"
  // The same bytes for the same values: all but the default.
  [[nodiscard]] bool stores_as(const ColumnSpec& other) const;
  bool operator==(const ColumnSpec&) const = default;
};

// A column has one buffer in a block: its rows. One of lists has two: rows + 1 offsets, of 4 bytes
// or of 8, counted in items; then the items of all rows.
[[nodiscard]] size_t buffers_of(const ColumnSpec& column);
// The first buffer of column `index`; with index = columns.size() how many there are.
[[nodiscard]] size_t first_buffer(std::span<const ColumnSpec> columns, size_t index);

// One buffer of one block. `offset` counts from the start of the block.
struct BufferSpec {
  uint64_t offset = 0;
  uint64_t stored_bytes = 0;
  uint64_t raw_bytes = 0;  // after decoding
  uint64_t xxh3 = 0;       // of the stored bytes
  Codec codec = Codec::kNone;
  bool operator==(const BufferSpec&) const = default;
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
  std::vector<BufferSpec> buffers;  // in the order of the columns: first_buffer()
  std::vector<LabelCount> labels;   // ascending; empty when there is no integer label column
};

struct ChunkFooter {
  uint16_t minor = 0;  // the least that knows all that is used
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

inline constexpr uint32_t kNoColumn = 0xffffffff;

// The items of a list column, decoded, over all blocks of a layout.
struct ListBytes {
  uint64_t largest = 0;  // of one block
  uint64_t total = 0;
  bool operator==(const ListBytes&) const = default;
};

// How the blocks of some chunks are laid out: with it a block can be read without its chunk's
// footer. Plain blocks are arithmetic; others begin with the table of their buffers.
struct ChunkLayout {
  std::vector<ColumnSpec> columns;  // as in the footers of the chunks
  std::vector<uint32_t> view;       // for each column of the manifest: in `columns`, or kNoColumn
  std::vector<ListBytes> lists;     // one a column; zeros unless it is of lists
  bool tables = false;              // false: fixed columns only, and no codecs
  bool operator==(const ChunkLayout&) const = default;
};

// Every column where the manifest has it, no tables.
[[nodiscard]] ChunkLayout plain_chunks(const std::vector<ColumnSpec>& columns);

struct Manifest {
  uint16_t minor = 0;  // the least that knows all that is used
  std::vector<ColumnSpec> columns;
  std::string label;  // the column whose values the histograms count; may be empty
  std::vector<ManifestChunk> chunks;
  std::vector<ManifestBlock> blocks;    // in row order; the blocks of a chunk stand together
  std::vector<ChunkLayout> layouts;     // none: plain_chunks(columns) for all
  std::vector<uint32_t> chunk_layouts;  // for each chunk: in `layouts`; as empty as that

  [[nodiscard]] uint64_t rows() const;
};

[[nodiscard]] std::vector<std::byte> encode(const ChunkFooter& footer);
[[nodiscard]] std::vector<std::byte> encode(const Manifest& manifest);

// The table at the start of a block: for each buffer what the footer says of it, in
// kTableEntryBytes.
[[nodiscard]] std::vector<std::byte> encode_block_table(std::span<const BufferSpec> buffers);
// Of a block of `rows` rows, all its bytes given. Checked as a footer is: every range lies inside.
// kDataLoss, kInvalidInput: an unknown codec.
Result<std::vector<BufferSpec>> decode_block_table(std::span<const std::byte> block,
                                                   std::span<const ColumnSpec> columns,
                                                   uint64_t rows, const std::string& where);

// `where` names the part in errors ("footer of d/9f...blc at byte 8192"). `footer_offset` is where
// the blocks must end. Errors: kDataLoss; kInvalidInput for an unknown major version or type.
Result<ChunkFooter> decode_chunk_footer(std::span<const std::byte> bytes, uint64_t footer_offset,
                                        const std::string& where);
Result<Manifest> decode_manifest(std::span<const std::byte> bytes, const std::string& where);

}  // namespace ballast
