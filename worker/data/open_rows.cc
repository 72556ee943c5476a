#include "worker/data/open_rows.h"

#include <fmt/format.h>

#include "common/base/log.h"
#include "worker/data/memory_rows.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/stream_rows.h"

namespace ballast {
namespace {

using Rows = std::unique_ptr<RowSource>;

Result<Rows> hold_rows(const JobConfig& config, const LaneSchedule& schedule,
                       std::shared_ptr<const Dataset> dataset, RowPlan plan) {
  BALLAST_ASSIGN(std::unique_ptr<const MemoryTable> table,
                 MemoryTable::load(std::move(dataset), std::move(plan), config.data.threads));
  return Rows(std::make_unique<MemoryRows>(
      std::move(table),
      SampleOrder(config.data.order, schedule.rows(), schedule.lanes(), config.seed)));
}

Result<Rows> stream_rows(const JobConfig& config, const LaneSchedule& schedule,
                         const LoaderMemory& memory, std::shared_ptr<const Dataset> dataset,
                         RowPlan plan) {
  BALLAST_ASSIGN(std::unique_ptr<Source> source,
                 open_source(config.data.train, access_of(config.data),
                             {.bytes = memory.block_bytes * dataset->block_count(),
                              .threads = config.data.threads}));
  BALLAST_ASSIGN(
      std::unique_ptr<BlockStore> store,
      BlockStore::open(dataset, plan, std::move(source), static_cast<uint32_t>(memory.blocks),
                       static_cast<uint32_t>(memory.kept_blocks)));
  return Rows(std::make_unique<StreamRows>(std::move(dataset), std::move(plan), std::move(store),
                                           schedule.lanes(), config.data.window, config.seed,
                                           config.train.epochs));
}

}  // namespace

Result<Rows> open_rows(const JobConfig& config, const LaneSchedule& schedule,
                       const LoaderMemory& memory) {
  if (config.data.order == Order::kAuto) {
    return Status(Code::kInvalidInput,
                  "data.order = \"auto\" is decided when a job is resolved, before its workers "
                  "start; expected full, strip or none here");
  }
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset,
                 open_filled_dataset(config.data.train, access_of(config.data)));
  if (dataset->rows() != schedule.rows()) {
    return Status(
        Code::kInvalidInput,
        fmt::format("data set {}: {} rows expected by the schedule, {} found: did it change "
                    "since the job was made?",
                    dataset->folder(), schedule.rows(), dataset->rows()));
  }
  BALLAST_ASSIGN(RowPlan plan, plan_rows(*dataset, config.data, training_use(config)));
  if (config.data.order == Order::kStrip) {
    log::info("data {} is streamed, {} blocks mixed in each lane: {}", config.data.train,
              config.data.window, memory.to_string());
    return stream_rows(config, schedule, memory, std::move(dataset), std::move(plan));
  }
  log::info("data {} is held in memory: {}", config.data.train, memory.to_string());
  return hold_rows(config, schedule, std::move(dataset), std::move(plan));
}

}  // namespace ballast
