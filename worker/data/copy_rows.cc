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

// The wanted rows of one block, each as DatasetWriter::add_row takes it.
Status read_block(const Dataset& dataset, const BlockPlace& block, std::span<const Wanted> wanted,
                  std::vector<std::vector<std::byte>>& copies) {
  BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, block.chunk));
  for (size_t column = 0; column < dataset.columns().size(); ++column) {
    const ColumnSpec& spec = dataset.columns()[column];
    BALLAST_ASSIGN(const ColumnBlock values, chunk.read_values(block.index_in_chunk, column));
    for (const Wanted& each : wanted) {
      std::vector<std::byte>& copy = copies[each.copy];
      const auto append = [&](const void* from, uint64_t bytes) {
        const auto* first = static_cast<const std::byte*>(from);
        copy.insert(copy.end(), first, first + bytes);
      };
      if (!spec.variable) {
        append(values.values.data() + each.row_in_block * spec.row_bytes(), spec.row_bytes());
        continue;
      }
      const ListRow& list = values.lists[each.row_in_block];
      const auto count = static_cast<uint32_t>(list.count);
      append(&count, sizeof count);
      append(list.first, list.count * spec.item_bytes());
    }
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
  std::vector<std::vector<std::byte>> copies(rows.size());
  for (const auto& [block, wanted] : by_block) {
    BALLAST_RETURN_IF_ERROR(read_block(dataset, dataset.block(block), wanted, copies));
  }
  for (const std::vector<std::byte>& copy : copies) BALLAST_RETURN_IF_ERROR(writer.add_row(copy));
  return writer.commit();
}

}  // namespace ballast
