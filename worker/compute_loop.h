// ComputeLoop: the computing thread of a worker. It carries out the session's orders one after
// another: takes weights in, runs steps lane by lane and hands each layer's gradients over as soon
// as they are final, evaluates slices of the test set. It decides nothing. close() ends it within a
// layer of a step or a batch of an evaluation, because whoever stops a job waits for it.
//
// Owner thread: the one that calls run(); push() and close() belong to any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <variant>
#include <vector>

#include "common/base/bounded_queue.h"
#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/base/trace.h"
#include "common/config/job_config.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/units.h"
#include "worker/data/batch_loader.h"
#include "worker/data/eval_loader.h"
#include "worker/device_trace.h"
#include "worker/local_optimizer.h"
#include "worker/session.h"
#include "worker/train_step.h"

namespace ballast {

using ComputeOrder = std::variant<session_effect::DeliverWeights, session_effect::Compute,
                                  session_effect::EvaluateSlices>;

// What the computing thread and its device did when.
struct ComputeTrace {
  explicit ComputeTrace(Trace& trace) : thread(trace, "compute"), device(trace) {}
  void flush_when_due(Time now);

  TraceTrack thread;
  DeviceTracks device;
};

class ComputeLoop {
 public:
  // Everything outlives the loop. `evaluation`: null without a test set. `report` gets what the
  // session is to be told, on this loop's thread; it may wait until the session has taken some.
  // `trace`: null: nobody wants to know.
  ComputeLoop(const JobConfig& job, WorkerId worker, const LaneSchedule& schedule,
              const std::vector<UnitSpec>& units, TrainStep& step, BatchLoader& loader,
              EvalLoader* evaluation, std::function<void(SessionEvent)> report,
              ComputeTrace* trace = nullptr);

  // Orders wait here; never full, because the session gives one job at a time and weights once a
  // unit and version, and while there is a job once a unit.
  void push(ComputeOrder order);
  // What is being computed is given up, orders that wait are dropped, and neither is reported.
  void close();

  // Until close(). A step that fails is reported as ComputeFailed.
  void run();

 private:
  // A tree node whose right half is being computed: what its left half came to.
  using PendingHalves = std::vector<GradientSet>;

  void take_orders();
  std::optional<ComputeOrder> next_order();
  void fail(Status status);
  void write_trace();
  Status carry_out(const ComputeOrder& order);
  // kStopped once close() was called. Asked between layers, lanes and batches.
  [[nodiscard]] Status go_on() const;
  [[nodiscard]] Result<UnitSpec> unit_of(const session_effect::DeliverWeights& order) const;
  Status take_weights(const session_effect::DeliverWeights& order);
  Status stage_weights();
  Status compute(const session_effect::Compute& order);
  Status compute_batch(const session_effect::Compute& order, size_t group);
  Result<GradientSet> compute_node(const session_effect::Compute& order, size_t group,
                                   LaneRange node, PendingHalves& pending, bool emit);
  Result<Batch> load(Clock clock, Clock number, std::span<const LaneId> lanes);
  Result<GradientSet> compute_lanes(const session_effect::Compute& order, size_t group,
                                    std::span<const LaneId> lanes, const PendingHalves& pending,
                                    bool emit);
  Result<StepResult> compute_batches(Clock clock, std::span<const LaneId> lanes,
                                     std::span<double> weights, GradientSet& gradients,
                                     const StepHooks& hooks);
  void prefetch_next();
  void drop_prefetched();
  Result<Batch> take_batch(Clock clock, Clock number, std::span<const LaneId> lanes,
                           std::span<double> weights);
  [[nodiscard]] uint64_t batches_of(std::span<const LaneId> lanes, Clock clock) const;
  void emit_layer(const session_effect::Compute& order, size_t group, uint32_t layer,
                  const PendingHalves& pending, const GradientSet& last);
  Status evaluate(const session_effect::EvaluateSlices& order);
  [[nodiscard]] GradientSet take_gradients();
  [[nodiscard]] wire::LoaderProgress loader_progress() const;
  [[nodiscard]] std::string culprit(const Batch& batch) const;
  void disturb(Clock clock, Duration worked);

  const JobConfig& job_;
  const WorkerId worker_;
  const LaneSchedule& schedule_;
  const LaneSchedule batches_;  // the batches of its steps
  const std::vector<UnitSpec>& units_;
  TrainStep& step_;
  BatchLoader& loader_;
  EvalLoader* const evaluation_;
  const std::function<void(SessionEvent)> report_;
  BoundedQueue<ComputeOrder> orders_;
  std::optional<ComputeOrder> next_;  // of orders_, where a step was not to carry it out
  ComputeTrace* const trace_;
  TraceTrack* const track_;     // of trace_, the thread's; null without
  std::optional<Clock> clock_;  // of the step computed last, or being computed
  std::stop_source closing_;
  std::vector<BufferPool> pools_;            // by parameter
  std::shared_ptr<const Batch> prefetched_;  // lent to the step; null: none
  LocalOptimizer* const local_;              // the step's, where push = "delta"; null elsewhere
  session_event::ComputeDone done_;
  std::map<LaneId, uint64_t> rows_hashes_;  // of the lanes computed in this order so far
  std::vector<double> lane_weights_;        // of the group under way, of its lanes computed by now
};

}  // namespace ballast
