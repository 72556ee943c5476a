#include "worker/data/smote.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <numeric>
#include <type_traits>

#include "common/base/random.h"
#include "worker/data/check_values.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/column_values.h"
#include "worker/data/dataset_writer.h"
#include "worker/data/file.h"

namespace ballast {
namespace {

__extension__ using Wide = __int128;

// Where a column's values stand in a row, as DatasetWriter takes it.
struct Field {
  ColumnSpec spec;
  uint64_t offset = 0;
  bool moves = true;  // takes part in distances and is interpolated
};

struct Table {
  std::vector<Field> fields;
  size_t label = 0;
  uint64_t row_bytes = 0;
  uint64_t rows = 0;
  std::vector<std::byte> memory;  // [rows, row_bytes]

  [[nodiscard]] const std::byte* row(uint64_t index) const {
    return memory.data() + index * row_bytes;
  }
  [[nodiscard]] int64_t label_of(uint64_t index) const {
    return with_type(fields[label].spec.type, [&](auto kind) {
      using Value = decltype(kind);
      if constexpr (std::is_integral_v<Value>) {
        return static_cast<int64_t>(load_value<Value>(row(index) + fields[label].offset, 0));
      }
      return int64_t{0};  // table_of() has refused it
    });
  }
};

Status check_options(const Dataset& dataset, const SmoteOptions& options) {
  if (options.neighbours == 0) {
    return Status(Code::kInvalidInput, "smote: neighbours >= 1 expected, 0 found");
  }
  if (dataset.manifest().label.empty()) {
    return Status(Code::kInvalidInput,
                  fmt::format("smote: data set {} names no label column of whole numbers; convert "
                              "it with --label",
                              dataset.folder()));
  }
  for (const std::string& name : options.copied) {
    BALLAST_ASSIGN([[maybe_unused]] const size_t column, dataset.find_column(name));
  }
  return {};
}

Result<Table> table_of(const Dataset& dataset, const SmoteOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_options(dataset, options));
  Table table;
  BALLAST_ASSIGN(table.label, dataset.find_column(dataset.manifest().label));
  const ColumnSpec& label = dataset.columns()[table.label];
  if (!is_integer(label.type) || label.width() != 1 || label.variable) {
    return Status(Code::kInvalidInput,
                  fmt::format("smote: a label of one whole number a row expected, {} found",
                              label.to_string()));
  }
  for (const ColumnSpec& spec : dataset.columns()) {
    if (spec.variable) {
      return Status(Code::kInvalidInput,
                    fmt::format("smote: columns of as many values in every row expected, {} found; "
                                "hide it with data drop-column before",
                                spec.to_string()));
    }
    const bool copied = std::ranges::count(options.copied, spec.name) > 0;
    const bool is_label = table.fields.size() == table.label;
    table.fields.push_back({spec, table.row_bytes, !copied && !is_label});
    table.row_bytes += spec.row_bytes();
  }
  table.rows = dataset.rows();
  const uint64_t rows_max = (options.memory_mib << 20) / std::max<uint64_t>(1, table.row_bytes);
  if (table.rows > rows_max) {
    return Status(Code::kInvalidInput,
                  fmt::format("smote: {} rows x {} B of {} are more than --memory-mib {}; it holds "
                              "all rows at once: give it {} or more",
                              table.rows, table.row_bytes, dataset.folder(), options.memory_mib,
                              (table.rows * table.row_bytes >> 20) + 1));
  }
  return table;
}

Status read_rows(const Dataset& dataset, Table& table) {
  table.memory.resize(table.rows * table.row_bytes);
  std::vector<std::byte> raw;
  for (uint32_t chunk = 0; chunk < dataset.manifest().chunks.size(); ++chunk) {
    BALLAST_ASSIGN(const ChunkReader reader, ChunkReader::open(dataset, chunk));
    for (const BlockPlace& block : dataset.blocks_of(chunk)) {
      for (size_t column = 0; column < table.fields.size(); ++column) {
        const Field& field = table.fields[column];
        const uint64_t bytes = field.spec.row_bytes();
        raw.resize(block.stored.rows * bytes);
        BALLAST_RETURN_IF_ERROR(reader.read_column(block.index_in_chunk, column, raw));
        BALLAST_RETURN_IF_ERROR(check_values(dataset, {.column = column, .spec = field.spec}, block,
                                             {raw.data(), raw}));
        for (uint64_t row = 0; row < block.stored.rows; ++row) {
          std::memcpy(
              table.memory.data() + (block.first_row + row) * table.row_bytes + field.offset,
              raw.data() + row * bytes, bytes);
        }
      }
    }
  }
  return {};
}

// b - a, rounded once: 64-bit numbers that doubles cannot tell apart still differ.
template <typename Value>
double difference(Value a, Value b) {
  if constexpr (std::is_integral_v<Value>) {
    return static_cast<double>(Wide{b} - Wide{a});
  } else {
    return as_double(b) - as_double(a);
  }
}

double squared_distance(const Table& table, uint64_t a, uint64_t b) {
  double sum = 0;
  for (const Field& field : table.fields) {
    if (!field.moves) continue;
    with_type(field.spec.type, [&](auto kind) {
      using Value = decltype(kind);
      for (uint64_t k = 0; k < field.spec.width(); ++k) {
        const double apart = difference(load_value<Value>(table.row(a) + field.offset, k),
                                        load_value<Value>(table.row(b) + field.offset, k));
        sum += apart * apart;
      }
    });
  }
  return sum;
}

// Of rows[x] among `rows`, the nearest first.
std::vector<uint64_t> nearest(const Table& table, const std::vector<uint64_t>& rows, uint64_t x,
                              uint32_t count) {
  std::vector<std::pair<double, uint64_t>> near;
  for (uint64_t other : rows) {
    if (other != x) near.emplace_back(squared_distance(table, x, other), other);
  }
  const auto end = near.begin() + static_cast<std::ptrdiff_t>(std::min<size_t>(count, near.size()));
  std::partial_sort(near.begin(), end, near.end());
  std::vector<uint64_t> found;
  for (auto it = near.begin(); it != end; ++it) found.push_back(it->second);
  return found;
}

// from + gap (to - from), whole numbers rounded. Never past `to`, to which a difference of more
// than 2^53 may have been rounded up.
template <typename Value>
Value between(Value from, Value to, double gap) {
  const double step = gap * difference(from, to);
  if constexpr (std::is_same_v<Value, Half>) {
    return {float_to_half(static_cast<float>(as_double(from) + step))};
  } else if constexpr (std::is_integral_v<Value>) {
    const auto [low, high] = std::minmax(from, to);
    const Wide moved = Wide{from} + static_cast<Wide>(std::round(step));
    return static_cast<Value>(std::clamp(moved, Wide{low}, Wide{high}));
  } else {
    return static_cast<Value>(as_double(from) + step);
  }
}

void interpolate(const Table& table, uint64_t x, uint64_t neighbour, double gap,
                 std::span<std::byte> out) {
  std::memcpy(out.data(), table.row(x), table.row_bytes);
  for (const Field& field : table.fields) {
    if (!field.moves) continue;
    with_type(field.spec.type, [&](auto kind) {
      using Value = decltype(kind);
      for (uint64_t k = 0; k < field.spec.width(); ++k) {
        const auto from = load_value<Value>(table.row(x) + field.offset, k);
        const auto to = load_value<Value>(table.row(neighbour) + field.offset, k);
        const Value value = between(from, to, gap);
        std::memcpy(out.data() + field.offset + k * sizeof value, &value, sizeof value);
      }
    });
  }
}

// Fisher and Yates.
void shuffle(std::vector<uint64_t>& rows, Random& random) {
  for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[random.below(i)]);
}

Status add_class(const Table& table, std::vector<uint64_t> rows, uint64_t count, Random& random,
                 uint32_t neighbours, DatasetWriter& writer,
                 const std::function<void(uint64_t)>& made) {
  shuffle(rows, random);
  std::vector<std::byte> row(table.row_bytes);
  std::map<uint64_t, std::vector<uint64_t>> near;  // of the rows used so far
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t x = rows[i % rows.size()];
    auto [found, is_new] = near.try_emplace(x);
    if (is_new) found->second = nearest(table, rows, x, neighbours);
    const uint64_t neighbour = found->second[random.below(found->second.size())];
    interpolate(table, x, neighbour, random.uniform(), row);
    BALLAST_RETURN_IF_ERROR(writer.add_row(row));
    made(1);
  }
  return {};
}

}  // namespace

Result<std::vector<SmoteClass>> smote(const std::string& source, const std::string& out,
                                      const SmoteOptions& options,
                                      const std::function<void(uint64_t)>& progress) {
  if (is_same_folder(source, out)) {
    return Status(
        Code::kInvalidInput,
        "smote: another folder than the source expected for the result, " + out + " found");
  }
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(source));
  BALLAST_ASSIGN(Table table, table_of(*dataset, options));
  BALLAST_RETURN_IF_ERROR(read_rows(*dataset, table));
  std::map<int64_t, std::vector<uint64_t>> classes;
  for (uint64_t row = 0; row < table.rows; ++row) classes[table.label_of(row)].push_back(row);
  uint64_t largest = 0;
  for (const auto& [label, rows] : classes) largest = std::max<uint64_t>(largest, rows.size());
  for (const auto& [label, rows] : classes) {
    if (rows.size() > 1 || rows.size() == largest) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("smote: class {} of {} has 1 row ({}); two or more expected, since a "
                              "new row lies between two of its class",
                              label, source, dataset->row_name(rows.front())));
  }

  DatasetWriterOptions writer_options;
  writer_options.label = dataset->manifest().label;
  writer_options.overwrite = options.overwrite;
  BALLAST_ASSIGN(DatasetWriter writer,
                 DatasetWriter::create(out, dataset->columns(), writer_options));
  for (uint64_t row = 0; row < table.rows; ++row) {
    BALLAST_RETURN_IF_ERROR(writer.add_row({table.row(row), table.row_bytes}));
  }
  std::vector<SmoteClass> report;
  uint64_t done = 0;
  const auto made = [&](uint64_t more) {
    done += more;
    if (progress) progress(done);
  };
  for (const auto& [label, rows] : classes) {
    Random random(hash_numbers({options.seed, static_cast<uint64_t>(label)}));
    const uint64_t count = largest - rows.size();
    BALLAST_RETURN_IF_ERROR(
        add_class(table, rows, count, random, options.neighbours, writer, made));
    report.push_back({label, rows.size(), count});
  }
  BALLAST_RETURN_IF_ERROR(writer.commit());
  return report;
}

}  // namespace ballast
