#include "worker/data/copy_rows.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <vector>

#include "worker/data/chunk_reader.h"
#include "worker/data/dataset_writer.h"

namespace ballast {
namespace {

// A row that is wanted: where it stands in its block, and as which of the copies.
struct Wanted {
  uint64_t row_in_block = 0;
  size_t copy = 0;
};

// The wanted rows of one block, into `copies`[row, row_bytes].
Status read_block(const Dataset& dataset, const BlockPlace& block, std::span<const Wanted> wanted,
                  uint64_t row_bytes, std::vector<std::byte>& copies) {
  BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, block.chunk));
  uint64_t offset = 0;  // of the column, in a row
  for (size_t column = 0; column < dataset.columns().size(); ++column) {
    const uint64_t bytes = dataset.columns()[column].row_bytes();
    std::vector<std::byte> raw(
        chunk.footer().blocks[block.index_in_chunk].buffers[column].raw_bytes);
    BALLAST_RETURN_IF_ERROR(chunk.read_column(block.index_in_chunk, column, raw));
    for (const Wanted& each : wanted) {
      std::memcpy(copies.data() + each.copy * row_bytes + offset,
                  raw.data() + each.row_in_block * bytes, bytes);
    }
    offset += bytes;
  }
  return {};
}

}  // namespace

Status copy_rows(const Dataset& dataset, std::span<const uint64_t> rows, const std::string& folder,
                 bool overwrite) {
  DatasetWriterOptions options;
  options.label = dataset.manifest().label;
  options.overwrite = overwrite;
  BALLAST_ASSIGN(DatasetWriter writer, DatasetWriter::create(folder, dataset.columns(), options));
  std::map<uint64_t, std::vector<Wanted>> by_block;
  for (size_t i = 0; i < rows.size(); ++i) {
    const RowPlace place = dataset.place(rows[i]);
    by_block[place.block].push_back({place.row_in_block, i});
  }
  std::vector<std::byte> copies(rows.size() * writer.row_bytes());
  for (const auto& [block, wanted] : by_block) {
    BALLAST_RETURN_IF_ERROR(
        read_block(dataset, dataset.block(block), wanted, writer.row_bytes(), copies));
  }
  for (size_t i = 0; i < rows.size(); ++i) {
    BALLAST_RETURN_IF_ERROR(
        writer.add_row(std::span(copies).subspan(i * writer.row_bytes(), writer.row_bytes())));
  }
  return writer.commit();
}

}  // namespace ballast
