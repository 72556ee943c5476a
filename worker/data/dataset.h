// Dataset: what the manifest of a folder, or below an http address, says, and where each row lives.
// Opening reads the manifest only; chunks are opened as their blocks are read. Several data sets
// can be joined into one. Immutable after open; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/source/access.h"
#include "worker/data/source/source.h"

namespace ballast {

struct BlockPlace {
  uint32_t chunk = 0;           // index into the manifest's chunks
  uint32_t index_in_chunk = 0;  // the block's number inside its chunk
  uint64_t first_row = 0;       // of the data set
  ManifestBlock stored;
};

struct RowPlace {
  uint64_t block = 0;  // of the data set
  uint64_t row_in_block = 0;
};

// One of the data sets that were joined; of a data set by itself, that one.
struct DatasetPart {
  std::string folder;  // as given to open()
  std::string label;   // the column whose values its chunks count; may be empty
  uint64_t rows = 0;
  uint64_t first_block = 0;  // of the data set
  uint32_t first_chunk = 0;
};

class Dataset {
 public:
  // kNotFound: no such place, or no manifest in it. kDataLoss: the manifest is damaged. Others:
  // those of Source::read.
  static Result<std::shared_ptr<const Dataset>> open(const std::string& location,
                                                     const Access& access = {});

  // The rows of all, one set after another. It has the columns that are of the same name, type and
  // shape in all of them, whatever their order; find_column() says of the others why they are not
  // there. Chunks keep their files. kInvalidInput: they have no column in common.
  static Result<std::shared_ptr<const Dataset>> join(
      std::vector<std::shared_ptr<const Dataset>> parts);

  // As given to open(): a folder or an address; of sets that were joined "data/a + data/b".
  [[nodiscard]] const std::string& folder() const { return folder_; }
  // Of its manifest and footers; chunks are its objects by chunk_name(). Streams open their own.
  [[nodiscard]] const std::shared_ptr<Source>& source() const { return source_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }
  [[nodiscard]] const std::vector<ColumnSpec>& columns() const { return manifest_.columns; }
  [[nodiscard]] uint64_t rows() const { return rows_; }
  // Names the content of the whole data set: it covers every chunk's name and every block's hash.
  // Of sets that were joined the hash of theirs, in order.
  [[nodiscard]] uint64_t manifest_xxh3() const { return manifest_xxh3_; }
  [[nodiscard]] const std::vector<DatasetPart>& parts() const { return parts_; }
  [[nodiscard]] size_t part_of(uint64_t block) const;

  // kNotFound: names the folder, the column, the nearest column and all there are. kInvalidInput:
  // sets were joined that do not agree on it; names the folders of both.
  [[nodiscard]] Result<size_t> find_column(std::string_view name) const;

  // What is held of each block: what the manifest says of it, and its first row.
  static constexpr uint64_t kBytesPerBlock = sizeof(ManifestBlock) + sizeof(uint64_t);
  [[nodiscard]] uint64_t block_count() const { return manifest_.blocks.size(); }
  [[nodiscard]] BlockPlace block(uint64_t index) const;
  // The blocks of one chunk, in order.
  [[nodiscard]] std::vector<BlockPlace> blocks_of(uint32_t chunk) const;
  [[nodiscard]] RowPlace place(uint64_t row) const;
  // Its object in source(), "00ab...blc", of sets that were joined "1/00ab...blc"; and as messages
  // name it, with the folder before it.
  [[nodiscard]] std::string chunk_name(uint32_t chunk) const;
  [[nodiscard]] std::string chunk_path(uint32_t chunk) const;
  // How the chunk's blocks are laid out, and which of its columns is which of columns().
  [[nodiscard]] const ChunkLayout& layout_of(uint32_t chunk) const {
    return layouts_[chunk_layouts_[chunk]];
  }
  // The items of a list column, decoded, in all chunks.
  [[nodiscard]] uint64_t list_bytes(size_t column) const;
  // "data/train/00ab...blc, block 3", "data/train/00ab...blc, block 3, row 17": how every message
  // names a block and a row.
  [[nodiscard]] std::string block_name(const BlockPlace& block) const;
  [[nodiscard]] std::string row_name(uint64_t row) const;

 private:
  Dataset(std::string location, std::shared_ptr<Source> source, Manifest manifest,
          uint64_t manifest_xxh3);

  std::string folder_;
  std::shared_ptr<Source> source_;  // shared: objects read from it
  Manifest manifest_;
  uint64_t manifest_xxh3_;
  uint64_t rows_ = 0;
  std::vector<uint64_t> first_rows_;    // one a block
  std::vector<uint64_t> first_blocks_;  // one a chunk, and the end
  std::vector<ChunkLayout> layouts_;
  std::vector<uint32_t> chunk_layouts_;  // one a chunk
  std::vector<DatasetPart> parts_;
  std::map<std::string, std::string> left_out_;  // by column: why joined sets do not agree on it
};

}  // namespace ballast
