#include "worker/data/open_rows.h"

#include <fmt/format.h>

#include "common/base/log.h"
#include "worker/data/block_sampling.h"
#include "worker/data/memory_rows.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/stream_rows.h"
#include "worker/data/train_sets.h"

namespace ballast {
namespace {

using Rows = std::unique_ptr<RowSource>;

Result<Rows> hold_rows(const JobConfig& config, const LaneSchedule& schedule,
                       std::shared_ptr<const Dataset> dataset, BlockSampling sampling,
                       RowPlan plan) {
  BALLAST_ASSIGN(std::unique_ptr<const MemoryTable> table,
                 MemoryTable::load(std::move(dataset), std::move(plan), config.data.threads));
  return MemoryRows::open(
      std::move(table), std::move(sampling),
      SampleOrder(config.data.order, schedule.rows(), schedule.lanes(), config.seed));
}

Result<Rows> stream_rows(const JobConfig& config, const LaneSchedule& schedule,
                         const LoaderMemory& memory, std::shared_ptr<const Dataset> dataset,
                         BlockSampling sampling, RowPlan plan) {
  BALLAST_ASSIGN(
      std::unique_ptr<Source> source,
      open_train_source(config.data, {.bytes = memory.block_bytes * dataset->block_count(),
                                      .threads = config.data.threads}));
  BALLAST_ASSIGN(
      std::unique_ptr<BlockStore> store,
      BlockStore::open(dataset, plan, std::move(source), static_cast<uint32_t>(memory.blocks),
                       static_cast<uint32_t>(memory.kept_blocks)));
  return Rows(std::make_unique<StreamRows>(
      std::move(dataset), std::move(plan), std::move(store), std::move(sampling), schedule.lanes(),
      config.data.window, memory.blocks_ahead, config.seed, config.train.epochs));
}

void log_sampling(const JobConfig& config, const BlockSampling& sampling) {
  if (sampling.each_row_once() && config.data.mix.empty()) return;
  for (const std::string& line : describe(sampling, train_sets(config.data), config.data.label)) {
    log::info("data {}", line);
  }
}

}  // namespace

Result<Rows> open_rows(const JobConfig& config, const LaneSchedule& schedule,
                       const LoaderMemory& memory) {
  if (config.data.order == Order::kAuto) {
    return Status(Code::kInvalidInput,
                  "data.order = \"auto\" is decided when a job is resolved, before its workers "
                  "start; expected full, strip or none here");
  }
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset, open_train_sets(config.data));
  BALLAST_ASSIGN(BlockSampling sampling, BlockSampling::open(config.data, config.seed, *dataset));
  if (sampling.samples() != schedule.rows()) {
    return Status(
        Code::kInvalidInput,
        fmt::format("data set {}: {} {} expected by the schedule, {} found: did it change "
                    "since the job was made?",
                    dataset->folder(), schedule.rows(),
                    sampling.each_row_once() ? "rows" : "samples an epoch", sampling.samples()));
  }
  log_sampling(config, sampling);
  BALLAST_ASSIGN(RowPlan plan, plan_rows(*dataset, config.data, training_use(config)));
  if (config.data.order == Order::kStrip) {
    log::info("data {} is streamed, {} blocks mixed in each lane: {}", dataset->folder(),
              config.data.window, memory.to_string());
    return stream_rows(config, schedule, memory, std::move(dataset), std::move(sampling),
                       std::move(plan));
  }
  log::info("data {} is held in memory: {}", dataset->folder(), memory.to_string());
  return hold_rows(config, schedule, std::move(dataset), std::move(sampling), std::move(plan));
}

}  // namespace ballast
