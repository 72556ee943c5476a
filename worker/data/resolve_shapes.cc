#include "worker/data/resolve_shapes.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "common/base/hash.h"
#include "worker/data/block_sampling.h"
#include "worker/data/block_store.h"
#include "worker/data/check_weights.h"
#include "worker/data/class_counts.h"
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
                            config.test, train.width, train.label.width, train_name(config),
                            test.width, test.label.width));
}

// The classes and their sizes, from the histograms of the labels in the chunks' footers.
Status resolve_classes(JobConfig& config, const Dataset& train) {
  BALLAST_ASSIGN(const auto counts, count_classes(config.data, train));
  for (const auto& [label, size] : class_sizes(train, train_sets(config.data), counts)) {
    config.resolved.class_labels.push_back(static_cast<double>(label));
    config.resolved.class_rows.push_back(size);
  }
  return {};
}

// What a transform makes of weights is not known before rows are read.
Status check_weights(const DataConfig& data, const Dataset& train, const Access& access) {
  const bool made = std::ranges::any_of(
      data.transforms, [&](const auto& transform) { return transform.column == data.weight; });
  if (data.weight.empty() || made) return {};
  BALLAST_RETURN_IF_ERROR(check_some_weight(train, data.weight));
  if (data.test.empty()) return {};
  BALLAST_ASSIGN(const auto test, Dataset::open(data.test, access));
  return check_some_weight(*test, data.weight);
}

Status resolve_samples(JobConfig& config, const Dataset& train) {
  BALLAST_ASSIGN(const BlockSampling sampling,
                 BlockSampling::open(config.data, config.seed, train));
  config.resolved.epoch_samples = sampling.samples();
  config.resolved.train_block_samples = sampling.block_samples_max();
  return {};
}

Status resolve_test(JobConfig& config, const RowPlan& train, const Access& access) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> test,
                 open_filled_dataset(config.data.test, access));
  BALLAST_ASSIGN(const RowPlan test_plan, plan_rows(*test, config.data));
  BALLAST_RETURN_IF_ERROR(check_same_widths(config.data, train, test_plan));
  config.resolved.test_rows = test->rows();
  config.resolved.test_blocks = test->block_count();
  config.resolved.test_row_bytes = MemoryTable::row_bytes(*test, test_plan);
  config.resolved.test_manifest_xxh3 = hex64(test->manifest_xxh3());
  return {};
}

}  // namespace

// A row of class c weighs samples / (classes * samples of c) of an epoch: all samples together
// weigh their number.
RowUse training_use(const JobConfig& config) {
  RowUse use{.training = true,
             .seed = config.seed,
             .class_weights = {},
             // A device of its own memory makes floats faster than it gets them.
             .stored = config.cluster.device == Device::kCuda};
  if (config.data.balance != Balance::kWeights) return use;
  const std::vector<double>& rows = config.resolved.class_rows;
  const double all = std::accumulate(rows.begin(), rows.end(), 0.0);
  for (size_t i = 0; i < rows.size(); ++i) {
    use.class_weights[static_cast<int64_t>(config.resolved.class_labels[i])] =
        all / (static_cast<double>(rows.size()) * rows[i]);
  }
  return use;
}

namespace {

void measure_train(const Dataset& train, const RowPlan& plan, ResolvedConfig& resolved) {
  resolved.train_rows = train.rows();
  resolved.input_width = plan.width;
  resolved.label_width = plan.label.width;
  resolved.stored_bytes = plan.stored_bytes();
  resolved.train_row_bytes = MemoryTable::row_bytes(train, plan);
  resolved.train_blocks = train.block_count();
  resolved.train_columns = static_cast<uint32_t>(plan.columns.size());
  resolved.train_block_rows = 0;
  for (const ManifestBlock& block : train.manifest().blocks) {
    resolved.train_block_rows = std::max<uint64_t>(resolved.train_block_rows, block.rows);
  }
  resolved.train_decode_bytes = MemoryTable::load_bytes(train, plan);
  resolved.train_block_bytes = BlockStore::slot_bytes(train, plan);
  resolved.train_manifest_xxh3 = hex64(train.manifest_xxh3());
}

Status measure(JobConfig& config, const Dataset& train, const Access& access) {
  BALLAST_ASSIGN(const RowPlan plan, plan_rows(train, config.data, training_use(config)));
  measure_train(train, plan, config.resolved);
  return config.data.test.empty() ? Status() : resolve_test(config, plan, access);
}

}  // namespace

Status measure_shapes(JobConfig& config) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> train, open_train_sets(config.data));
  return measure(config, *train, access_of(config.data));
}

Status resolve_shapes(JobConfig& config) {
  const Access access = first_access_of(config.data);
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> train, open_train_sets(config.data, access));
  config.resolved = {};
  BALLAST_RETURN_IF_ERROR(measure(config, *train, access));
  BALLAST_RETURN_IF_ERROR(check_weights(config.data, *train, access));
  if (config.data.balance != Balance::kNone) {
    BALLAST_RETURN_IF_ERROR(resolve_classes(config, *train));
  }
  return resolve_samples(config, *train);
}

}  // namespace ballast
