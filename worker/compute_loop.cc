#include "worker/compute_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <utility>

#include "common/base/random.h"
#include "common/base/time.h"
#include "worker/evaluate_slice.h"

namespace ballast {
namespace {

// Gradients of one parameter that may be out at once, beside one of each step on its way to
// servers: being computed, and its left halves up the tree.
constexpr size_t kGradientsKept = 7;

}  // namespace

void ComputeTrace::flush_when_due(Time now) {
  for (TraceTrack* track : {&thread, &device.compute, &device.uploads, &device.downloads}) {
    track->flush_when_due(now);
  }
}

ComputeLoop::ComputeLoop(const JobConfig& job, WorkerId worker, const LaneSchedule& schedule,
                         const std::vector<UnitSpec>& units, TrainStep& step, BatchLoader& loader,
                         EvalLoader* evaluation, std::function<void(SessionEvent)> report,
                         ComputeTrace* trace)
    : job_(job),
      worker_(worker),
      schedule_(schedule),
      batches_(schedule.of_batches()),
      units_(units),
      step_(step),
      loader_(loader),
      evaluation_(evaluation),
      report_(std::move(report)),
      orders_(4 * units.size() + 64),
      trace_(trace),
      track_(trace == nullptr ? nullptr : &trace->thread),
      local_(job.train.push == PushKind::kDelta ? &step.local() : nullptr) {
  if (trace_ != nullptr) step_.trace(trace_->device);
  for (const ParameterSpec& parameter : step_.parameters()) {
    pools_.emplace_back(parameter.element_count() * sizeof(float),
                        kGradientsKept + job_.train.steps_in_flight,
                        [&step](size_t bytes) { return step.allocate_host(bytes); });
  }
}

void ComputeLoop::push(ComputeOrder order) {
  orders_.push(std::move(order));
}

void ComputeLoop::close() {
  closing_.request_stop();
  orders_.close();
}

void ComputeLoop::run() {
  take_orders();
  drop_prefetched();
}

void ComputeLoop::take_orders() {
  if (local_ != nullptr) {
    if (Status taken = local_->allocate(job_.train.optimizer); !taken.ok()) {
      return fail(std::move(taken).because(fmt::format("on worker {}", worker_.value())));
    }
  }
  while (auto order = next_order()) {
    Status status = go_on();
    if (status.ok()) status = carry_out(*order);
    const bool computed = !std::holds_alternative<session_effect::DeliverWeights>(*order);
    if (computed && trace_ != nullptr) write_trace();
    if (!status.ok()) return fail(std::move(status));
    if (!computed) prefetch_next();
  }
}

void ComputeLoop::fail(Status status) {
  if (status.code() != Code::kStopped) report_(session_event::ComputeFailed{std::move(status)});
  orders_.close();  // nobody takes orders any more: the session must not wait for room
}

// What it waits for are answers to pushes, and weights.
std::optional<ComputeOrder> ComputeLoop::next_order() {
  if (next_) return std::exchange(next_, std::nullopt);
  if (track_ == nullptr || !clock_) return orders_.pop();
  const TraceSpan waits(track_, "wait", *clock_);
  return orders_.pop();
}

// After a step, when as a rule the thread would wait for answers.
void ComputeLoop::write_trace() {
  const TraceSpan writes(clock_ ? track_ : nullptr, "write trace", clock_.value_or(0));
  trace_->flush_when_due(monotonic_now());
}

Status ComputeLoop::go_on() const {
  return closing_.stop_requested() ? Status(Code::kStopped, "the worker ends") : Status();
}

Status ComputeLoop::carry_out(const ComputeOrder& order) {
  if (const auto* weights = std::get_if<session_effect::DeliverWeights>(&order)) {
    return take_weights(*weights);
  }
  if (const auto* job = std::get_if<session_effect::Compute>(&order)) return compute(*job);
  return evaluate(std::get<session_effect::EvaluateSlices>(order));
}

Result<UnitSpec> ComputeLoop::unit_of(const session_effect::DeliverWeights& order) const {
  const UnitSpec& unit = units_.at(order.unit.value());
  if (order.weights.size() == unit.bytes()) return unit;
  return Status(Code::kInternal, fmt::format("weights of unit {} have {} bytes, expected {}",
                                             unit.id.value(), order.weights.size(), unit.bytes()));
}

Status ComputeLoop::take_weights(const session_effect::DeliverWeights& order) {
  const TraceSpan traced(clock_ ? track_ : nullptr, "take weights", clock_.value_or(0),
                         {"unit", order.unit.value()});
  BALLAST_ASSIGN(const UnitSpec unit, unit_of(order));
  step_.take_weights(unit.parameter, unit.first_element, order.weights.bytes());
  return Status();
}

// Weights for the steps after this one are copied from their frames while the device computes.
// Between two units it is asked again, so that it waits for one of them at most.
Status ComputeLoop::stage_weights() {
  while (true) {
    if (!next_) next_ = orders_.try_pop();
    const auto* order = next_ ? std::get_if<session_effect::DeliverWeights>(&*next_) : nullptr;
    if (order == nullptr || !step_.can_stage(units_.at(order->unit.value()).parameter)) break;
    const TraceSpan traced(track_, "stage weights", *clock_, {"unit", order->unit.value()});
    BALLAST_ASSIGN(const UnitSpec unit, unit_of(*order));
    step_.stage(unit.parameter, unit.first_element, order->weights.bytes());
    next_.reset();
  }
  return Status();
}

// Stragglers on purpose (FaultConfig): for benches and tests.
void ComputeLoop::disturb(Clock clock, Duration worked) {
  const FaultConfig& fault = job_.fault;
  Duration pause{};
  if (fault.slow_worker == static_cast<int32_t>(worker_.value()) && fault.slow_factor > 1) {
    pause += Duration(
        static_cast<int64_t>(static_cast<double>(worked.count()) * (fault.slow_factor - 1)));
  }
  if (unit_double(hash_numbers({job_.seed, worker_.value(), clock})) < fault.pause_chance) {
    pause += std::chrono::milliseconds(fault.pause_ms);
  }
  if (pause <= Duration{}) return;
  const TraceSpan traced(track_, "pause", clock);
  std::mutex mutex;  // guards nothing: only close() ends the pause
  std::unique_lock lock(mutex);
  std::condition_variable_any never;
  never.wait_for(lock, closing_.get_token(), pause, [] { return false; });
}

// ---------------------------------------------------------------- evaluation

Status ComputeLoop::evaluate(const session_effect::EvaluateSlices& order) {
  const TraceSpan traced(clock_ ? track_ : nullptr, "evaluate", clock_.value_or(0));
  const Time started = monotonic_now();
  drop_prefetched();
  session_event::EvaluationDone done{.job = order.job, .parts = {}, .seconds = 0};
  for (LaneId lane : order.lanes) {
    Result<SliceResult> slice = evaluate_slice(step_, *evaluation_, job_.model.loss, lane, [this] {
      report_(session_event::Beat{});
      return go_on();
    });
    if (!slice.ok()) {
      return slice.status().because(fmt::format("on worker {}", worker_.value()));
    }
    const MetricSums& sums = slice->sums;
    done.parts.emplace_back(
        lane,
        wire::EvaluationSums{.rows = sums.rows,
                             .weight_sum = sums.weight_sum,
                             .loss_sum = sums.loss_sum,
                             .correct = sums.correct,
                             .squared_error_sum = sums.squared_error_sum,
                             .scores = Buffer::copy_of(std::as_bytes(std::span(slice->run)))});
  }
  done.seconds = to_seconds(monotonic_now() - started);
  report_(std::move(done));
  return Status();
}

}  // namespace ballast
