#include "worker/data/class_counts.h"

#include <fmt/format.h>

#include "common/config/choices.h"
#include "worker/data/column_values.h"
#include "worker/data/examine.h"

namespace ballast {
namespace {

std::string key_of(const DataConfig& data) {
  return fmt::format("data.balance = \"{}\"", name_of(data.balance));
}

Status check_type(const DataConfig& data, const Dataset& dataset) {
  BALLAST_ASSIGN(const size_t column, dataset.find_column(data.label));
  const ColumnSpec& spec = dataset.columns()[column];
  if (is_integer(spec.type) && spec.width() == 1 && !spec.variable) return {};
  return Status(
      Code::kInvalidInput,
      fmt::format("{}: a label of whole numbers, one a row, expected, data set {} has {}; "
                  "convert it with --label-type i32",
                  key_of(data), dataset.folder(), spec.to_string()));
}

Status check_label(const DataConfig& data, const DatasetPart& part) {
  if (data.label == part.label) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: data.label = \"{}\", but data set {} counts the values of \"{}\"; "
                            "convert it with --label {}",
                            key_of(data), data.label, part.folder, part.label, data.label));
}

Status check_counted(const DataConfig& data, const DatasetPart& part, uint64_t counted) {
  if (counted == part.rows) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: a label of whole numbers with at most 1024 different values in "
                            "each block expected, data set {} has counted {} of its {} rows of "
                            "\"{}\"",
                            key_of(data), part.folder, counted, part.rows, data.label));
}

// Weights are kept by label as numbers with fractions, in the job and its config.toml.
Status check_size(const DataConfig& data, const DatasetPart& part,
                  std::span<const LabelCount> counts) {
  constexpr int64_t kMost = int64_t{1} << 53;
  for (const LabelCount& count : counts) {
    if (count.label >= -kMost && count.label <= kMost) continue;
    return Status(Code::kInvalidInput,
                  fmt::format("{}: labels from -2^53 to 2^53 expected, data set {} has {} = {}; "
                              "number its classes from 0",
                              key_of(data), part.folder, data.label, count.label));
  }
  return {};
}

}  // namespace

Result<std::vector<std::vector<LabelCount>>> count_classes(const DataConfig& data,
                                                           const Dataset& dataset) {
  BALLAST_RETURN_IF_ERROR(check_type(data, dataset));
  for (const DatasetPart& part : dataset.parts()) {
    BALLAST_RETURN_IF_ERROR(check_label(data, part));
  }
  BALLAST_ASSIGN(const auto counts, count_block_labels(dataset));
  std::vector<uint64_t> counted(dataset.parts().size());
  for (uint64_t block = 0; block < counts.size(); ++block) {
    const DatasetPart& part = dataset.parts()[dataset.part_of(block)];
    BALLAST_RETURN_IF_ERROR(check_size(data, part, counts[block]));
    uint64_t rows = 0;
    for (const LabelCount& count : counts[block]) rows += count.count;
    if (rows == dataset.block(block).stored.rows) counted[dataset.part_of(block)] += rows;
  }
  for (size_t part = 0; part < counted.size(); ++part) {
    BALLAST_RETURN_IF_ERROR(check_counted(data, dataset.parts()[part], counted[part]));
  }
  return counts;
}

std::map<int64_t, double> class_sizes(const Dataset& dataset, std::span<const TrainSet> sets,
                                      std::span<const std::vector<LabelCount>> counts) {
  std::map<int64_t, double> sizes;
  for (uint64_t block = 0; block < counts.size(); ++block) {
    const double rate = sets[dataset.part_of(block)].rate;
    for (const LabelCount& count : counts[block]) {
      sizes[count.label] += rate * static_cast<double>(count.count);
    }
  }
  return sizes;
}

}  // namespace ballast
