#include "worker/data/resolve_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "common/base/hash.h"
#include "common/config/choices.h"
#include "worker/data/block_store.h"
#include "worker/data/examine.h"
#include "worker/data/memory_table.h"
#include "worker/data/transform.h"

namespace ballast {

namespace {

// The two sets may differ in stored types, but not in what reaches the model.
Status check_same_widths(const DataConfig& config, const RowPlan& train, const RowPlan& test) {
  if (train.width == test.width && train.label.width == test.label.width) return {};
  return Status(Code::kInvalidInput,
                fmt::format("data.test {}: {} features and {} label values a row expected as in "
                            "data.train {}, {} and {} found",
                            config.test, train.width, train.label.width, config.train, test.width,
                            test.label.width));
}

// From the histograms of the labels that each block has in its chunk's footer.
Status resolve_classes(JobConfig& config, const Dataset& train) {
  const std::string key = fmt::format("data.balance = \"{}\"", name_of(config.data.balance));
  if (config.data.label != train.manifest().label) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: data.label = \"{}\", but data set {} counts the values of "
                              "\"{}\"; convert it with --label {}",
                              key, config.data.label, config.data.train, train.manifest().label,
                              config.data.label));
  }
  BALLAST_ASSIGN(const std::vector<LabelCount> counts, count_labels(train));
  uint64_t counted = 0;
  for (const LabelCount& count : counts) {
    config.resolved.class_labels.push_back(static_cast<double>(count.label));
    config.resolved.class_rows.push_back(static_cast<double>(count.count));
    counted += count.count;
  }
  if (counted == train.rows()) return {};
  return Status(Code::kInvalidInput,
                fmt::format("{}: a label of whole numbers with at most 1024 different values in "
                            "each block expected, data set {} has counted {} of its {} rows of "
                            "\"{}\"",
                            key, config.data.train, counted, train.rows(), config.data.label));
}

Status resolve_test(JobConfig& config, const RowPlan& train) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> test,
                 open_filled_dataset(config.data.test, access_of(config.data)));
  BALLAST_ASSIGN(const RowPlan test_plan, plan_rows(*test, config.data));
  BALLAST_RETURN_IF_ERROR(check_same_widths(config.data, train, test_plan));
  config.resolved.test_rows = test->rows();
  config.resolved.test_row_bytes = MemoryTable::row_bytes(*test, test_plan);
  config.resolved.test_manifest_xxh3 = hex64(test->manifest_xxh3());
  return {};
}

}  // namespace

Result<std::shared_ptr<const Dataset>> open_filled_dataset(const std::string& folder,
                                                           const Access& access) {
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset, Dataset::open(folder, access));
  if (dataset->rows() > 0) return dataset;
  return Status(Code::kInvalidInput,
                "data set " + folder + ": at least one row expected, none found");
}

// A row of class c weighs rows / (classes * rows of c): all rows together weigh their number.
RowUse training_use(const JobConfig& config) {
  RowUse use{.training = true, .seed = config.seed, .class_weights = {}};
  if (config.data.balance != Balance::kWeights) return use;
  const std::vector<double>& rows = config.resolved.class_rows;
  const double all = std::accumulate(rows.begin(), rows.end(), 0.0);
  for (size_t i = 0; i < rows.size(); ++i) {
    use.class_weights[static_cast<int64_t>(config.resolved.class_labels[i])] =
        all / (static_cast<double>(rows.size()) * rows[i]);
  }
  return use;
}

Status resolve_shapes(JobConfig& config) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> train,
                 open_filled_dataset(config.data.train, access_of(config.data)));
  BALLAST_ASSIGN(const RowPlan plan, plan_rows(*train, config.data));
  ResolvedConfig& resolved = config.resolved;
  resolved = {};
  resolved.train_rows = train->rows();
  resolved.input_width = plan.width;
  resolved.label_width = plan.label.width;
  resolved.train_row_bytes = MemoryTable::row_bytes(*train, plan);
  resolved.train_blocks = train->block_count();
  for (const ManifestBlock& block : train->manifest().blocks) {
    resolved.train_block_rows = std::max<uint64_t>(resolved.train_block_rows, block.rows);
  }
  resolved.train_block_bytes = BlockStore::slot_bytes(*train, plan);
  resolved.train_manifest_xxh3 = hex64(train->manifest_xxh3());
  if (config.data.balance != Balance::kNone) {
    BALLAST_RETURN_IF_ERROR(resolve_classes(config, *train));
  }
  if (!config.data.test.empty()) BALLAST_RETURN_IF_ERROR(resolve_test(config, plan));
  return {};
}

}  // namespace ballast
