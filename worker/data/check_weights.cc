#include "worker/data/check_weights.h"

#include <fmt/format.h>

#include "worker/data/chunk_reader.h"
#include "worker/data/column_values.h"

namespace ballast {
namespace {

bool any_above_zero(ColumnType type, const Buffer& values, uint32_t rows) {
  return with_type(type, [&](auto kind) {
    for (uint32_t row = 0; row < rows; ++row) {
      if (as_double(load_value<decltype(kind)>(values.data(), row)) > 0) return true;
    }
    return false;
  });
}

}  // namespace

Status check_some_weight(const Dataset& dataset, const std::string& column) {
  BALLAST_ASSIGN(const size_t index, dataset.find_column(column));
  const ColumnType type = dataset.columns()[index].type;
  for (uint32_t number = 0; number < dataset.manifest().chunks.size(); ++number) {
    BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, number));
    for (const BlockPlace& block : dataset.blocks_of(number)) {
      BALLAST_ASSIGN(const ColumnBlock read, chunk.read_values(block.index_in_chunk, index));
      if (any_above_zero(type, read.values, block.stored.rows)) return {};
    }
  }
  return Status(Code::kInvalidInput,
                fmt::format("data set {}: data.weight = \"{}\": a row that weighs more than 0 "
                            "expected, none of its {} does: nothing can be learned or measured; "
                            "name another column, or leave data.weight out",
                            dataset.folder(), column, dataset.rows()));
}

}  // namespace ballast
