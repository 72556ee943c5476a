#include "worker/data/examine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "worker/data/chunk_reader.h"
#include "worker/data/column_values.h"
#include "worker/data/each_chunk.h"

namespace ballast {

namespace {

void verify_block(const ChunkReader& chunk, const BlockPlace& block,
                  std::vector<Status>& problems) {
  const size_t index = block.index_in_chunk;
  const size_t known = problems.size();
  const auto report = [&](const Status& verdict) {
    if (!verdict.ok()) problems.push_back(verdict);
  };
  for (size_t column = 0; column < chunk.footer().columns.size(); ++column) {
    report(chunk.verify_column(index, column));
  }
  if (problems.size() > known) return;  // the block's own hash would only say it again
  const auto bytes = chunk.read_block(index, block.stored.xxh3);
  report(bytes.ok() ? chunk.verify_table(index, bytes->bytes()) : bytes.status());
}

// Sums about the first value seen, so that a large mean does not eat the small spread.
struct Moments {
  double origin = 0;
  double sum = 0;
  double squares = 0;
  uint64_t count = 0;
  uint64_t nonfinite = 0;
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();

  void add(double value) {
    if (!std::isfinite(value)) {
      ++nonfinite;
      return;
    }
    if (count++ == 0) origin = value;
    const double centered = value - origin;
    sum += centered;
    squares += centered * centered;
    min = std::min(min, value);
    max = std::max(max, value);
  }
  [[nodiscard]] ValueStatistics statistics() const {
    if (count == 0) return {nonfinite};
    const auto n = static_cast<double>(count);
    return {nonfinite, min, max, origin + sum / n,
            std::sqrt(std::max(0.0, (squares - sum * sum / n) / n))};
  }
};

struct ColumnMoments {
  Moments all;
  std::vector<Moments> each;  // one a value of a row
};

template <typename Value>
void add_values(std::span<const std::byte> raw, ColumnMoments& moments) {
  const uint64_t width = moments.each.size();
  const uint64_t count = raw.size() / sizeof(Value);
  for (uint64_t i = 0; i < count; ++i) {
    const double value = as_double(load_value<Value>(raw.data(), i));
    moments.all.add(value);
    moments.each[i % width].add(value);
  }
}

ColumnStatistics summed_up(const ColumnSpec& spec, const ColumnMoments& moments) {
  ColumnStatistics statistics{spec, moments.all.statistics(), {}};
  for (const Moments& each : moments.each) statistics.each.push_back(each.statistics());
  return statistics;
}

std::string statistics_line(const std::string& what, const ValueStatistics& values) {
  return fmt::format("# {:<32} {:>12.6g} {:>12.6g} {:>12.6g} {:>12.6g} {:>9}\n", what, values.min,
                     values.max, values.mean, values.std, values.nonfinite);
}

std::string standardize_toml(const std::string& name, std::span<const ValueStatistics> values) {
  std::vector<std::string> means;
  std::vector<std::string> stds;
  for (const ValueStatistics& value : values) {
    means.push_back(fmt::format("{:.9g}", value.mean));
    stds.push_back(fmt::format("{:.9g}", value.std > 0 ? value.std : 1.0));
  }
  return fmt::format(
      "[[data.transform]]\nkind = \"standardize\"\ncolumn = \"{}\"\nmean = [{}]\nstd = [{}]\n",
      name, fmt::join(means, ", "), fmt::join(stds, ", "));
}

// Calls visit(block, column, values) for every column of every block, in row order.
template <typename Visit>
Status for_columns(const Dataset& dataset, uint64_t blocks_max, Visit visit) {
  for (uint32_t c = 0; c < dataset.manifest().chunks.size() && blocks_max > 0; ++c) {
    BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, c));
    for (const BlockPlace& block : dataset.blocks_of(c)) {
      if (blocks_max-- == 0) return {};
      for (size_t column = 0; column < dataset.columns().size(); ++column) {
        BALLAST_ASSIGN(const ColumnBlock values, chunk.read_values(block.index_in_chunk, column));
        visit(block, column, values);
      }
    }
  }
  return {};
}

// The values of one row, of a list those of all its items.
std::span<const std::byte> row_values(const ColumnSpec& spec, const ColumnBlock& column,
                                      uint64_t row) {
  if (spec.variable) {
    return {column.lists[row].first, column.lists[row].count * spec.item_bytes()};
  }
  return column.values.bytes().subspan(row * spec.row_bytes(), spec.row_bytes());
}

std::string values_text(const ColumnSpec& spec, std::span<const std::byte> row,
                        uint64_t values_max) {
  const uint64_t count = row.size() / element_bytes(spec.type);
  std::vector<std::string> texts;
  for (uint64_t i = 0; i < std::min(count, values_max); ++i) {
    texts.push_back(value_text(spec.type, row, i));
  }
  const std::string text =
      fmt::format("{}{}", fmt::join(texts, " "), count > values_max ? " ..." : "");
  return spec.variable ? "[" + text + "]" : text;
}

}  // namespace

std::vector<Status> verify_chunk(const Dataset& dataset, uint32_t chunk) {
  const auto reader = ChunkReader::open(dataset, chunk);
  if (!reader.ok()) return {reader.status()};
  std::vector<Status> problems;
  if (Status head = reader->verify_head(); !head.ok()) problems.push_back(head);
  for (const BlockPlace& block : dataset.blocks_of(chunk)) verify_block(*reader, block, problems);
  return problems;
}

std::vector<Status> verify_dataset(const std::string& folder, const Access& access) {
  const auto dataset = Dataset::open(folder, access);
  if (!dataset.ok()) return {dataset.status()};
  std::vector<Status> problems;
  for (uint32_t c = 0; c < (*dataset)->manifest().chunks.size(); ++c) {
    for (Status& problem : verify_chunk(**dataset, c)) problems.push_back(std::move(problem));
  }
  return problems;
}

std::vector<Status> verify_chunks(const Dataset& dataset) {
  std::vector<Status> problems;
  for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
    const auto chunk = ChunkReader::open(dataset, c);
    const Status verdict = chunk.ok() ? chunk->verify_head() : chunk.status();
    if (!verdict.ok()) problems.push_back(verdict);
  }
  return problems;
}

Result<std::vector<std::vector<LabelCount>>> count_block_labels(const Dataset& dataset) {
  std::vector<std::vector<LabelCount>> counts(dataset.block_count());
  const Status read = for_each_chunk(dataset, 1, [&](uint32_t number) -> Status {
    BALLAST_ASSIGN(ChunkReader chunk, ChunkReader::open(dataset, number));
    for (const BlockPlace& block : dataset.blocks_of(number)) {
      counts[dataset.place(block.first_row).block] =
          chunk.footer().blocks[block.index_in_chunk].labels;
    }
    return {};
  });
  if (!read.ok()) return read;
  return counts;
}

Result<std::vector<LabelCount>> count_labels(const Dataset& dataset) {
  if (dataset.manifest().label.empty()) return std::vector<LabelCount>();  // or it was dropped
  std::map<int64_t, uint64_t> counts;
  for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
    BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, c));
    for (const BlockSpec& block : chunk.footer().blocks) {
      for (const LabelCount& label : block.labels) counts[label.label] += label.count;
    }
  }
  std::vector<LabelCount> labels;
  for (const auto& [label, count] : counts) labels.push_back({label, count});
  return labels;
}

Result<std::vector<StoredColumn>> measure_storage(const Dataset& dataset) {
  std::vector<StoredColumn> columns(dataset.columns().size());
  for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
    BALLAST_ASSIGN(const ChunkReader chunk, ChunkReader::open(dataset, c));
    const ChunkLayout& layout = dataset.layout_of(c);
    for (size_t i = 0; i < columns.size(); ++i) {
      if (layout.view[i] == kNoColumn) continue;
      const size_t first = first_buffer(layout.columns, layout.view[i]);
      for (const BlockSpec& block : chunk.footer().blocks) {
        columns[i].rows += block.rows;
        for (size_t b = first; b < first + buffers_of(dataset.columns()[i]); ++b) {
          columns[i].stored_bytes += block.buffers[b].stored_bytes;
          columns[i].raw_bytes += block.buffers[b].raw_bytes;
          columns[i].codecs.insert(block.buffers[b].codec);
        }
      }
    }
  }
  return columns;
}

Result<std::vector<ColumnStatistics>> measure_columns(const Dataset& dataset) {
  std::vector<ColumnMoments> moments(dataset.columns().size());
  for (size_t i = 0; i < moments.size(); ++i) {
    moments[i].each.resize(dataset.columns()[i].width());  // of lists: of an item
  }
  BALLAST_RETURN_IF_ERROR(
      for_columns(dataset, dataset.block_count(),
                  [&](const BlockPlace&, size_t column, const ColumnBlock& values) {
                    with_type(dataset.columns()[column].type, [&](auto kind) {
                      add_values<decltype(kind)>(values.values.bytes(), moments[column]);
                    });
                  }));
  std::vector<ColumnStatistics> statistics;
  for (size_t i = 0; i < moments.size(); ++i) {
    statistics.push_back(summed_up(dataset.columns()[i], moments[i]));
  }
  return statistics;
}

std::string statistics_text(const std::vector<ColumnStatistics>& columns, const std::string& label,
                            std::optional<bool> per_value) {
  std::string text = fmt::format("# {:<32} {:>12} {:>12} {:>12} {:>12} {:>9}\n", "column", "min",
                                 "max", "mean", "std", "nonfinite");
  std::string toml;
  for (const ColumnStatistics& column : columns) {
    const size_t width = column.each.size();
    const bool apart = per_value.value_or(width <= kPerValueMax);
    text += statistics_line(column.spec.to_string(), column.all);
    for (size_t i = 0; i < width && apart && width > 1; ++i) {
      text += statistics_line(fmt::format("  {}[{}]", column.spec.name, i), column.each[i]);
    }
    if (!apart && width > 1) {
      text +=
          fmt::format("#   over all {} values of a row; --per-value takes each by itself\n", width);
    }
    if (column.spec.name == label || column.spec.variable) continue;
    toml += standardize_toml(column.spec.name,
                             apart ? std::span(column.each) : std::span(&column.all, 1));
  }
  return text + toml;
}

Result<std::string> head_text(const Dataset& dataset, uint64_t count, uint64_t values_max) {
  count = std::min(count, dataset.rows());
  if (count == 0) return std::string();
  std::vector<std::string> rows(count);
  const Status read = for_columns(
      dataset, dataset.place(count - 1).block + 1,
      [&](const BlockPlace& block, size_t column, const ColumnBlock& values) {
        const ColumnSpec& spec = dataset.columns()[column];
        const uint64_t wanted = std::min<uint64_t>(block.stored.rows, count - block.first_row);
        for (uint64_t i = 0; i < wanted; ++i) {
          rows[block.first_row + i] += fmt::format(
              "  {}: {}\n", spec.name, values_text(spec, row_values(spec, values, i), values_max));
        }
      });
  BALLAST_RETURN_IF_ERROR(read);
  std::string text;
  for (uint64_t i = 0; i < count; ++i) text += fmt::format("row {}\n{}", i, rows[i]);
  return text;
}

}  // namespace ballast
