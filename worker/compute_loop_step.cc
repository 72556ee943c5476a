// The steps of a computing thread: lane by lane up the tree, batch by batch, layer by layer.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>
#include <utility>

#include "common/base/log.h"
#include "common/optimizer/schedule.h"
#include "worker/compute_loop.h"
#include "worker/model/model_check.h"

namespace ballast {
namespace {

StepRows rows_of(const Batch& batch) {
  return {batch.features, batch.labels, batch.weights, batch.rows, batch.stored_features};
}

std::string list_of(std::span<const LaneId> lanes) {
  std::vector<uint32_t> numbers;
  for (LaneId lane : lanes) numbers.push_back(lane.value());
  return fmt::format("lane{} {}", lanes.size() == 1 ? "" : "s", fmt::join(numbers, ", "));
}

}  // namespace

GradientSet ComputeLoop::take_gradients() {
  GradientSet gradients;
  for (BufferPool& pool : pools_) gradients.parameters.push_back(pool.take());
  return gradients;
}

// The row whose label does not fit, by its name in the data set, or where the batch begins.
std::string ComputeLoop::culprit(const Batch& batch) const {
  for (uint32_t row = 0; row < batch.rows; ++row) {
    const auto labels = batch.labels.subspan(size_t{row} * batch.label_width, batch.label_width);
    if (!check_labels(job_.model.loss, step_.output_width(), labels, 1).ok()) {
      return batch.row_name(row);
    }
  }
  return "which begins at " + batch.row_name(0);
}

Status ComputeLoop::compute(const session_effect::Compute& order) {
  clock_ = order.clock;
  const TraceSpan traced(track_, "step", order.clock);
  const Time started = monotonic_now();
  done_ = {.job = order.job};
  rows_hashes_.clear();
  for (size_t group = 0; group < order.groups.size(); ++group) {
    lane_weights_.clear();
    Status status = job_.train.mode == Mode::kSync ? [&] {
      PendingHalves pending;
      return compute_node(order, group, order.groups[group].node, pending, true).status();
    }() : compute_batch(order, group);
    if (!status.ok()) {
      return std::move(status).because(
          fmt::format("on worker {} in step {}", worker_.value(), order.clock));
    }
  }
  step_.send_staged();
  const Duration worked = monotonic_now() - started - from_seconds(done_.load_seconds);
  disturb(order.clock, worked);
  BALLAST_RETURN_IF_ERROR(go_on());
  done_.compute_seconds = to_seconds(monotonic_now() - started) - done_.load_seconds;
  done_.loader = loader_progress();
  report_(done_);
  return Status();
}

wire::LoaderProgress ComputeLoop::loader_progress() const {
  const LoaderCounters counters = loader_.counters();
  return {.ready = counters.batches_ready,
          .waited = counters.batches_waited + counters.batches_missed,
          .blocks = counters.blocks,
          .batches = counters.blocks_batches,
          .blocks_min = counters.blocks_min,
          .blocks_read = counters.reads.read,
          .blocks_found = counters.reads.found};
}

// Async, ssp: the rows of all lanes are one batch.
Status ComputeLoop::compute_batch(const session_effect::Compute& order, size_t group) {
  return compute_lanes(order, group, order.groups[group].lanes, {}, true).status();
}

// Sync: the sum over the tree node, lane by lane, in the fixed order of fold.h: left half, right
// half, left += right. `pending` holds the left halves of the nodes above; `emit`: this node ends
// at the last lane, so each layer's sum is complete as soon as that lane's is.
Result<GradientSet> ComputeLoop::compute_node(const session_effect::Compute& order, size_t group,
                                              LaneRange node, PendingHalves& pending, bool emit) {
  const std::vector<LaneId>& lanes = order.groups[group].lanes;
  const auto in = [&](uint32_t low, uint32_t high) {
    return std::any_of(lanes.begin(), lanes.end(),
                       [&](LaneId lane) { return low <= lane.value() && lane.value() < high; });
  };
  if (node.high - node.low == 1) {
    const LaneId lane(node.low);
    return compute_lanes(order, group, {&lane, 1}, pending, emit);
  }
  const uint32_t middle = (node.low + node.high) / 2;
  if (!in(node.low, middle)) return compute_node(order, group, {middle, node.high}, pending, emit);
  if (!in(middle, node.high)) return compute_node(order, group, {node.low, middle}, pending, emit);

  PendingHalves none;
  BALLAST_ASSIGN(GradientSet left, compute_node(order, group, {node.low, middle}, none, false));
  if (!emit) {
    BALLAST_ASSIGN(const GradientSet right,
                   compute_node(order, group, {middle, node.high}, none, false));
    const TraceSpan traced(track_, "add lanes", order.clock);
    add(left, right);
    return left;
  }
  pending.push_back(std::move(left));
  return compute_node(order, group, {middle, node.high}, pending, true);
}

Result<GradientSet> ComputeLoop::compute_lanes(const session_effect::Compute& order, size_t group,
                                               std::span<const LaneId> lanes,
                                               const PendingHalves& pending, bool emit) {
  GradientSet gradients = take_gradients();
  lane_weights_.resize(lane_weights_.size() + lanes.size());
  const std::span<double> weights = std::span(lane_weights_).last(lanes.size());
  // With "skip" nothing may leave before the whole step is known to be finite.
  const bool skips = job_.train.on_bad_gradient == OnBadGradient::kSkip;
  const bool at_once = emit && !skips;
  StepHooks hooks;
  hooks.weights_needed = [&](uint32_t) { return go_on(); };
  hooks.pass_launched = [&] {
    prefetch_next();
    return stage_weights();
  };
  hooks.gradient_final = [&](uint32_t layer) {
    if (at_once) emit_layer(order, group, layer, pending, gradients);
    return go_on();
  };
  Result<StepResult> result = compute_batches(order.clock, lanes, weights, gradients, hooks);
  const double weight_sum = std::accumulate(weights.begin(), weights.end(), 0.0);
  if (result.ok() && local_ != nullptr) {
    const TraceSpan traced(track_, "delta", order.clock, {"lane", lanes.front().value()});
    const StepContext context{.lane = lanes.front(), .clock = order.clock};
    if (Status delta = local_->finish(weight_sum, gradients, context, hooks); !delta.ok()) {
      result = std::move(delta).because("in " + list_of(lanes));
    }
  }
  if (!result.ok()) {
    if (!skips || result.status().code() != Code::kDiverged) return result.status();
    log::warn("skipped in step {}: {}", order.clock, result.status().to_string());
    if (local_ != nullptr) local_->give_up();
    for (Buffer& gradient : gradients.parameters) {
      std::ranges::fill(gradient.floats(), 0.0f);
    }
    result = StepResult{};  // neither its loss nor its weight: the mean is of what was trained
  }
  if (emit && !at_once) {
    for (uint32_t layer = static_cast<uint32_t>(job_.model.layers.size()); layer-- > 0;) {
      emit_layer(order, group, layer, pending, gradients);
    }
  }
  done_.loss_sum += result->loss_sum;
  done_.weight_sum += result->weight_sum;
  return gradients;
}

// Batch by batch: into one sum, or each into a local step. After a failure that is skipped the
// others are still taken, because a skipped step has all its samples. After each but the last the
// coordinator is told that a long step gets on.
Result<StepResult> ComputeLoop::compute_batches(Clock clock, std::span<const LaneId> lanes,
                                                std::span<double> weights, GradientSet& gradients,
                                                const StepHooks& hooks) {
  const Clock first = schedule_.first_batch(clock);
  const Clock end = first + batches_of(lanes, clock);
  BALLAST_CHECK(first < end);
  const double rate = job_.train.optimizer.learning_rate *
                      schedule_factor(job_.train.schedule, static_cast<double>(clock),
                                      schedule_.steps_per_epoch() * job_.train.epochs);
  const bool skips = job_.train.on_bad_gradient == OnBadGradient::kSkip;
  StepResult sum;
  Status failed;
  for (Clock number = first; number < end; ++number) {
    BALLAST_RETURN_IF_ERROR(go_on());
    if (number > first) report_(session_event::Beat{});
    BALLAST_ASSIGN(const Batch batch, take_batch(clock, number, lanes, weights));
    if (!failed.ok()) continue;
    // Lent until the pass is computed, whether it takes those rows or others.
    const std::shared_ptr<const Batch> lent = std::exchange(prefetched_, nullptr);
    StepHooks of_batch = hooks;
    of_batch.row_name = [&](uint32_t row) { return batch.row_name(row); };
    const Result<StepResult> result = [&] {
      const TraceSpan traced(track_, "compute", clock, {"lane", lanes.front().value()},
                             {"rows", batch.rows});
      return step_.run(rows_of(batch),
                       {.seed = job_.seed,
                        .batch = number,
                        .lane = lanes.front(),
                        .first = local_ != nullptr || number == first,
                        .last = local_ != nullptr || number + 1 == end,
                        .clock = clock,
                        .local_rate = local_ != nullptr ? std::optional(rate) : std::nullopt},
                       gradients, of_batch);
    }();
    if (result.status().code() == Code::kStopped) return result.status();
    if (!result.ok()) {
      const bool of_sum = number > first && local_ == nullptr;
      const std::string_view up_to = of_sum ? "up to and " : "";
      failed = result.status().because(fmt::format("{}in a batch of {} rows of {}, {}", up_to,
                                                   batch.rows, list_of(lanes), culprit(batch)));
      if (!skips || failed.code() != Code::kDiverged) return failed;
      continue;
    }
    sum.loss_sum += result->loss_sum;
    sum.weight_sum += result->weight_sum;
  }
  if (!failed.ok()) return failed;
  return sum;
}

// The lanes' rows of a batch; adds up what each lane's weigh, and their names.
Result<Batch> ComputeLoop::take_batch(Clock clock, Clock number, std::span<const LaneId> lanes,
                                      std::span<double> weights) {
  std::vector<LaneId> present;
  for (LaneId lane : lanes) {
    if (batches_.present(lane, number)) present.push_back(lane);
  }
  BALLAST_ASSIGN(Batch batch, load(clock, number, present));
  uint32_t row = 0;
  size_t among_present = 0;
  for (size_t i = 0; i < lanes.size(); ++i) {
    const auto count = static_cast<uint32_t>(batches_.rows_at(lanes[i], number));
    if (count == 0) continue;
    weights[i] += weight_of(batch.weights.subspan(row, count), count);
    rows_hashes_[lanes[i]] += batch.rows_hashes.at(among_present++);
    row += count;
  }
  return batch;
}

Result<Batch> ComputeLoop::load(Clock clock, Clock number, std::span<const LaneId> lanes) {
  const TraceSpan traced(track_, "load", clock, {"lane", lanes.front().value()});
  const Time asked = monotonic_now();
  Result<Batch> batch = loader_.take(lanes, number);
  done_.load_seconds += to_seconds(monotonic_now() - asked);
  return batch;
}

// The rows of the next batch travel to the device while this one is computed, or while weights are
// waited for.
void ComputeLoop::prefetch_next() {
  std::shared_ptr<const Batch> next = loader_.next_ready();
  if (next == nullptr || next == prefetched_) return;
  drop_prefetched();
  if (step_.prefetch(rows_of(*next))) prefetched_ = std::move(next);
}

// A guess that no step took.
void ComputeLoop::drop_prefetched() {
  if (prefetched_ == nullptr) return;
  step_.settle();
  prefetched_.reset();
}

// A lane may be absent from the last batch of an epoch.
uint64_t ComputeLoop::batches_of(std::span<const LaneId> lanes, Clock clock) const {
  uint64_t rows = 0;
  for (LaneId lane : lanes) rows = std::max(rows, schedule_.rows_at(lane, clock));
  return (rows + schedule_.lane_batch() - 1) / schedule_.lane_batch();
}

// The layer's sums up the tree, innermost half first, and over to the session. Its units are pushed
// while the layers before it are still being computed.
void ComputeLoop::emit_layer(const session_effect::Compute& order, size_t group, uint32_t layer,
                             const PendingHalves& pending, const GradientSet& last) {
  const TraceSpan traced(track_, "hand over", order.clock, {"layer", layer});
  const std::vector<ParameterSpec>& parameters = step_.parameters();
  session_event::GradientReady ready{order.job, group, {}, lane_weights_, {}};
  for (LaneId lane : order.groups[group].lanes) {
    ready.rows_hashes.push_back(rows_hashes_.at(lane));
  }
  for (uint32_t index = 0; index < parameters.size(); ++index) {
    if (parameters[index].layer != layer) continue;
    Buffer sum = last.parameters[index];
    for (auto half = pending.rbegin(); half != pending.rend(); ++half) {
      Buffer left = half->parameters[index];
      add_into(left.floats(), std::as_const(sum).floats());
      sum = std::move(left);
    }
    ready.parts.push_back({index, std::move(sum)});
  }
  if (!ready.parts.empty()) report_(std::move(ready));
}

}  // namespace ballast
