#include "worker/data/resolve_shapes.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/hash.h"
#include "worker/data/block_store.h"
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
  if (!config.data.test.empty()) BALLAST_RETURN_IF_ERROR(resolve_test(config, plan));
  return {};
}

}  // namespace ballast
