// DatasetWriter: rows in, a data set out. Blocks are cut by size, chunks are written and named as
// they fill, and the manifest appears last and at once: a writer killed at any instant leaves the
// folder with its old data set or with the new one. The same rows and options give the same bytes.
// Owner thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/file.h"

namespace ballast {

struct DatasetWriterOptions {
  uint64_t block_bytes = 2u << 20;   // target; a row that is larger gets its own block
  uint64_t chunk_bytes = 32u << 20;  // target
  std::string label;                 // integer column whose values each block counts; may be empty
  bool overwrite = false;            // replace a data set that stands in the folder
  // Told of each chunk before it gets its name; an error stops the writer.
  std::function<Status(uint64_t footer_xxh3)> before_naming = {};
};

class DatasetWriter {
 public:
  // Makes the folder and those above it. kInvalidInput: no permission, two columns of one name, a
  // data set is already there.
  static Result<DatasetWriter> create(const std::string& folder, std::vector<ColumnSpec> columns,
                                      const DatasetWriterOptions& options);

  // Without commit(): removes the chunks it named, unless the data set in the folder has them too,
  // and the folders it made.
  ~DatasetWriter();
  DatasetWriter(DatasetWriter&&) = default;
  DatasetWriter& operator=(DatasetWriter&&) = default;

  // Bytes of one row: the columns' values one after another, in schema order.
  [[nodiscard]] uint64_t row_bytes() const { return row_bytes_; }
  [[nodiscard]] Status add_row(std::span<const std::byte> row);
  // Writes what is left and the manifest; removes chunks only the replaced manifest named.
  [[nodiscard]] Status commit();
  // In place of commit() where several writers make one data set: what this one adds to the
  // manifest. The chunks are the caller's from now on.
  Result<Manifest> finish();

  [[nodiscard]] uint64_t rows() const { return rows_; }
  [[nodiscard]] const Manifest& manifest() const { return manifest_; }

 private:
  DatasetWriter(std::string folder, std::vector<ColumnSpec> columns,
                const DatasetWriterOptions& options);

  [[nodiscard]] Status close_block();
  [[nodiscard]] Status open_chunk();
  [[nodiscard]] Status close_chunk();
  [[nodiscard]] std::vector<LabelCount> count_labels() const;

  std::string folder_;
  DatasetWriterOptions options_;
  uint64_t row_bytes_ = 0;
  uint64_t block_rows_ = 1;  // rows of a full block
  uint64_t rows_ = 0;
  bool committed_ = false;
  std::vector<std::string> made_folders_;  // innermost first

  std::vector<std::vector<std::byte>> staged_;  // one a column: the rows of the block to come
  uint64_t staged_rows_ = 0;
  std::optional<NewFile> file_;  // the chunk being written
  ChunkFooter footer_;
  Manifest manifest_;
};

// Of `folder` and those above it, the ones that do not exist, innermost first.
[[nodiscard]] std::vector<std::string> missing_folders(const std::string& folder);

// Removes these chunks from the folder but for those that `kept` names. One that cannot be removed
// costs space, nothing else: nobody names it any more.
void remove_chunks(const std::string& folder, const std::set<uint64_t>& chunks,
                   const Manifest& kept);
[[nodiscard]] std::set<uint64_t> chunk_names(const Manifest& manifest);

}  // namespace ballast
