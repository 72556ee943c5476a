#include "common/config/lane_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

#include "common/base/check.h"

namespace ballast {
namespace {

constexpr uint32_t kLanesPerWorkerMax = 8;

// The first divisor of `batch` from `from` towards `to`, both included; 0: none.
uint32_t divisor_between(uint32_t batch, uint32_t from, uint32_t to) {
  const bool up = from <= to;
  for (uint32_t lanes = from;; up ? ++lanes : --lanes) {
    if (batch % lanes == 0) return lanes;
    if (lanes == to) return 0;
  }
}

}  // namespace

Result<uint32_t> default_lanes(Mode mode, uint32_t batch, uint32_t workers) {
  BALLAST_CHECK(batch > 0 && workers > 0);
  const uint32_t lanes_max = kLanesPerWorkerMax * workers;
  const uint32_t lanes = mode == Mode::kSync
                             ? divisor_between(batch, std::bit_ceil(workers), lanes_max)
                             : divisor_between(batch, lanes_max, workers);
  if (lanes != 0) return lanes;
  // In sync a divisor may lie between the workers and their power of two.
  const uint32_t fewer = divisor_between(batch, std::bit_ceil(workers), workers);
  if (fewer != 0) return fewer;
  const std::vector<uint32_t> batches = nearest_batches(std::bit_ceil(workers), batch);
  return Status(Code::kInvalidInput,
                fmt::format("train.batch = {} has no divisor from {} to {}, so no number of lanes "
                            "suits cluster.workers = {}; nearest batch: {}; or set train.lanes",
                            batch, workers, lanes_max, workers, fmt::join(batches, ", ")));
}

std::vector<uint32_t> nearest_lanes(uint32_t lanes, uint32_t batch, uint32_t lanes_min) {
  std::vector<uint32_t> near;
  const uint32_t start = std::min(lanes, batch);
  for (uint32_t below = start; below >= std::max(lanes_min, 1u); --below) {
    if (batch % below != 0) continue;
    near.push_back(below);
    break;
  }
  const uint32_t above = lanes < batch ? divisor_between(batch, lanes + 1, batch) : 0;
  if (above >= lanes_min && above != 0) near.push_back(above);
  return near;
}

std::vector<uint32_t> nearest_batches(uint32_t lanes, uint32_t batch) {
  BALLAST_CHECK(lanes > 0);
  const uint32_t below = batch / lanes * lanes;
  if (below == 0) return {lanes};
  if (below == batch) return {batch};
  return {below, below + lanes};
}

}  // namespace ballast
