// DatasetWriter: rows in, a data set out. Blocks are cut by size, chunks are written and named as
// they fill, and the manifest appears last and at once: a writer killed at any instant leaves the
// folder with its old data set or with the new one. The same rows and options give the same bytes,
// with codecs those of the same codec libraries. Appending keeps the chunks that are there: whoever
// reads goes on with the manifest it has, and of two who append at a time both come in, since each
// takes the folder's lock and joins what it then finds. Owner thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/block_builder.h"
#include "worker/data/file.h"

namespace ballast {

struct ColumnCodec {
  std::string column;  // empty: of all columns
  Codec codec = Codec::kNone;
};

// "zstd" for all columns, "pixels=zstd" for one. kInvalidInput: no such codec.
Result<ColumnCodec> parse_column_codec(const std::string& text);

struct DatasetWriterOptions {
  uint64_t block_bytes = 2u << 20;   // target; a row that is larger gets its own block
  uint64_t chunk_bytes = 32u << 20;  // target
  std::string label;                 // integer column whose values each block counts; may be empty
  bool overwrite = false;            // replace a data set that stands in the folder
  // Told of each chunk before it gets its name; an error stops the writer.
  std::function<Status(uint64_t footer_xxh3)> before_naming = {};
  bool append = false;              // add to the data set that stands in the folder
  std::vector<ColumnCodec> codecs;  // the last that names a column counts; a buffer that would not
                                    // get smaller is stored as it is
};

class DatasetWriter {
 public:
  // Makes the folder and those above it. kInvalidInput: no permission, two columns of one name, a
  // codec for a column that is not there; a data set is already there; to append, another set of
  // columns or another label. kNotFound: nothing is there to append to.
  static Result<DatasetWriter> create(const std::string& folder, std::vector<ColumnSpec> columns,
                                      const DatasetWriterOptions& options);

  // Without commit(): removes the chunks it named, unless the data set in the folder has them too,
  // and the folders it made.
  ~DatasetWriter();
  DatasetWriter(DatasetWriter&&) = default;
  DatasetWriter& operator=(DatasetWriter&&) = default;

  // Bytes of one row: the columns' values one after another, in schema order. With list columns the
  // fewest, of a row whose lists are empty.
  [[nodiscard]] uint64_t row_bytes() const { return row_bytes_; }
  // As BlockBuilder::add_row: a list is its count of items, a u32, and then the items.
  [[nodiscard]] Status add_row(std::span<const std::byte> row);
  // Writes what is left and the manifest; removes chunks only the replaced manifest named.
  // kConflict: a chunk of this writer was removed meanwhile by another one; write again.
  [[nodiscard]] Status commit();
  // In place of commit() where several writers make one data set: what this one adds to the
  // manifest. The chunks are the caller's from now on.
  Result<Manifest> finish();

  [[nodiscard]] uint64_t rows() const { return rows_; }
  // Of the rows this writer took.
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }

 private:
  DatasetWriter(std::string folder, std::vector<ColumnSpec> columns, std::vector<Codec> codecs,
                const DatasetWriterOptions& options);

  [[nodiscard]] Status close_block();
  [[nodiscard]] Status open_chunk();
  [[nodiscard]] Status close_chunk();

  std::string folder_;
  DatasetWriterOptions options_;
  uint64_t row_bytes_ = 0;
  uint64_t rows_ = 0;
  bool committed_ = false;
  std::vector<std::string> made_folders_;  // innermost first

  BlockBuilder block_;           // the block to come
  std::optional<NewFile> file_;  // the chunk being written
  ChunkFooter footer_;
  Manifest manifest_;  // of what this writer wrote
};

// Of `folder` and those above it, the ones that do not exist, innermost first.
[[nodiscard]] std::vector<std::string> missing_folders(const std::string& folder);

}  // namespace ballast
