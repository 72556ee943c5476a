#include "worker/data/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "worker/data/batch_shape.h"

namespace ballast {

namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMib = 1u << 20;

uint64_t product(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kMost : result;
}
uint64_t sum(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? kMost : result;
}

}  // namespace

uint64_t LoaderMemory::total() const {
  const uint64_t data =
      sum(product(train_rows, train_row_bytes), product(test_rows, test_row_bytes));
  return sum(data, product(batch_bytes, batches));
}

std::string LoaderMemory::to_string() const {
  return fmt::format(
      "train {} rows x {} B + test {} rows x {} B + {} batches x {} B = {} B "
      "({:.1f} MiB)",
      train_rows, train_row_bytes, test_rows, test_row_bytes, batches, batch_bytes, total(),
      static_cast<double>(total()) / static_cast<double>(kMib));
}

Status LoaderMemory::check(uint64_t memory_mib) const {
  if (total() <= product(memory_mib, kMib)) return {};
  return Status(
      Code::kInvalidInput,
      fmt::format("data.memory_mib = {}: the loader needs {}; set data.memory_mib to {} or "
                  "more, or train on fewer rows or columns",
                  memory_mib, to_string(), sum(total(), kMib - 1) / kMib));
}

LoaderMemory loader_memory(const JobConfig& config, const LaneSchedule& schedule) {
  const ResolvedConfig& resolved = config.resolved;
  const bool together = config.train.mode != Mode::kSync;  // one batch of all lanes, or one a lane
  const uint32_t rows = together ? schedule.batch() : schedule.lane_batch();
  const uint32_t requests = kStepsAhead * (together ? 1 : schedule.lanes());
  LoaderMemory memory;
  memory.train_rows = resolved.train_rows;
  memory.train_row_bytes = resolved.train_row_bytes;
  memory.test_rows = resolved.test_rows;
  memory.test_row_bytes = resolved.test_row_bytes;
  memory.batch_bytes = BatchShape{rows, resolved.input_width, resolved.label_width}.bytes();
  memory.batches = requests + std::max(1u, config.data.threads) + 1;
  return memory;
}

}  // namespace ballast
