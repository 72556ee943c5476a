// WorkerSession: the decider of a worker: what to load, compute, send and evaluate next. It owns
// the parameter client and the worker's lanes; whoever drives it carries out its effects and
// reports back. A state machine without thread, socket, file or clock. Same events, same effects.
//
// A step of some lanes at one clock is a Task: gather the weights its clock asks for, compute,
// push, and be done when every unit has answered for every lane. As a rule one task is in flight; a
// lane that is adopted at a clock not above it starts its own at once, because the wait may need
// that lane. In async and ssp up to train.steps_in_flight are: the next one is computed, from the
// newest weights that are there, once all of the one before has been sent. Pushes of a lane leave
// in the order of its clocks, and a unit takes them in that order.
//
// Every wait of the coordinator has a deadline, so a worker that hears it waits for as long as it
// is told to. One that does not get on and hears nothing from it either fails after
// cluster.join_deadline_ms (before its welcome) or cluster.stuck_after_ms, and says what it waited
// for. Owner thread: the one that owns the transport.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/base/silence.h"
#include "common/config/job_config.h"
#include "common/optimizer/fold.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/wire/messages.h"
#include "worker/client/param_client.h"

namespace ballast {

struct SessionConfig {
  WorkerId worker;
  Incarnation incarnation = 0;
  JobConfig job;
  std::vector<ParameterSpec> parameters;
  std::vector<UnitSpec> units;
  std::string job_hash;
  uint64_t run = 0;  // run_number(), in every data message
  std::string host;
  uint32_t process = 0;
  std::string arithmetic{};   // Backend::arithmetic()
  Duration retry_after = 2s;  // an unanswered request is sent again
};

// Lanes whose gradients are summed before they are sent. Sync: tree node [low, high) and the lanes
// in it that have rows, each computed alone; async, ssp: all lanes of the step, computed as one
// batch.
struct LaneGroup {
  LaneRange node;
  std::vector<LaneId> lanes;
};

namespace session_event {
struct Received {
  Peer from;
  wire::Any message;
};
struct PeerUp {
  Peer peer;
};
struct PeerDown {
  Peer peer;
};
// Gradients of one group, of parameters that became final together (a layer's), are final; their
// bytes do not change any more. Together, because each event is sent as a message of its own.
struct GradientReady {
  struct Part {
    uint32_t parameter = 0;
    Buffer gradient;
  };
  uint64_t job = 0;
  size_t group = 0;
  std::vector<Part> parts;
  std::vector<double> lane_weights;   // of the group's lanes, in its order: sums of sample weights
  std::vector<uint64_t> rows_hashes;  // likewise (wire::LaneStamp)
};
struct ComputeDone {
  uint64_t job = 0;
  double loss_sum = 0;      // over rows, each times its weight
  double weight_sum = 0;    // of the rows
  double load_seconds = 0;  // waited for the batch
  double compute_seconds = 0;
  wire::LoaderProgress loader = {};  // since the worker started
};
// Where the training rows came from so far. Told before the step they were for is done.
struct Fed {
  wire::FedShare share;
};
struct EvaluationDone {
  uint64_t job = 0;
  std::vector<std::pair<LaneId, wire::EvaluationSums>> parts;
  double seconds = 0;
};
// A sign that a long job gets on.
struct Beat {};
struct ComputeFailed {
  Status status;
};
struct Tick {};
}  // namespace session_event
using SessionEvent =
    std::variant<session_event::Received, session_event::PeerUp, session_event::PeerDown,
                 session_event::GradientReady, session_event::Fed, session_event::ComputeDone,
                 session_event::EvaluationDone, session_event::Beat, session_event::ComputeFailed,
                 session_event::Tick>;

namespace session_effect {
struct Send {
  Peer to;
  wire::Any message;
};
struct Connect {
  Peer shard;
  std::string endpoint;
};
// To the computing side, in this order: weights for the jobs after it, also while one is computed;
// jobs, one at a time.
struct DeliverWeights {
  UnitId unit;
  Buffer weights;
};
struct Compute {
  uint64_t job = 0;
  Clock clock = 0;
  std::vector<LaneGroup> groups;
};
struct EvaluateSlices {
  uint64_t job = 0;
  std::vector<LaneId> lanes;
};
// A hint for the loader: these lanes go on from this clock.
struct Follow {
  std::vector<LaneId> lanes;
  Clock clock = 0;
};
struct WakeAt {
  Time time;
};
struct Note {
  std::string text;
};
struct Fail {
  Status status;
};
struct End {
  wire::EndKind kind;
  std::string reason;  // of a failure elsewhere
};
}  // namespace session_effect
using SessionEffect =
    std::variant<session_effect::Send, session_effect::Connect, session_effect::DeliverWeights,
                 session_effect::Compute, session_effect::EvaluateSlices, session_effect::Follow,
                 session_effect::WakeAt, session_effect::Note, session_effect::Fail,
                 session_effect::End>;
using SessionEffects = std::vector<SessionEffect>;

class WorkerSession {
 public:
  explicit WorkerSession(SessionConfig config);

  void start(Time now, SessionEffects& out);
  void handle(SessionEvent event, Time now, SessionEffects& out);

  // For tests and status.
  [[nodiscard]] size_t tasks_in_flight() const { return tasks_.size(); }
  [[nodiscard]] const ParamClient& client() const { return client_; }
  [[nodiscard]] wire::WorkerProgress progress(Time now) const;

 private:
  struct Lane {
    Clock clock = 0;  // the first step that is not done; kNever: no rows left
    Fence fence = 0;
    uint64_t number = 0;         // of the assignment
    std::optional<Clock> until;  // handed over at this clock
    uint64_t evaluated = 0;      // sync: the last evaluation done
  };
  // What one unit still owes a task.
  struct Debt {
    std::vector<LaneId> owed;                 // lanes whose push is not answered
    std::vector<std::vector<LaneId>> flying;  // pushes in flight
    Buffer pulled;  // sync: the version of the task's clock, when older than known
  };
  enum class TaskKind { kStep, kFinalEvaluation, kSnapshotEvaluation };
  struct Task {
    TaskKind kind = TaskKind::kStep;
    uint64_t number = 0;    // tag of its requests
    Clock clock = 0;        // sync: also the version it needs
    uint64_t snapshot = 0;  // kSnapshotEvaluation
    std::map<LaneId, Fence> lanes;
    std::vector<LaneId> to_evaluate;
    std::vector<Debt> debts;  // by unit
    bool computed = false;
  };
  // The newest weights of a unit that we were told.
  struct Known {
    bool valid = false;
    Version version = 0;
    Clock readable_until = 0;  // ssp: lanes up to this clock may read them
    Buffer weights;
  };
  // The weights of a unit that the computing side holds.
  struct Delivered {
    std::optional<Version> version;
    bool ahead = false;  // since the job under way began
  };
  // What the computing side is doing.
  struct Job {
    uint64_t number = 0;
    uint64_t task = 0;
    bool evaluates = false;
    std::vector<LaneGroup> groups;
    std::vector<Version> base;  // by unit: the versions it computes from
  };

  void on(session_event::Received& event, Time now, SessionEffects& out);
  void on(session_event::PeerUp& event, Time now, SessionEffects& out);
  void on(session_event::PeerDown& event, Time now, SessionEffects& out);
  void on(session_event::GradientReady& event, Time now, SessionEffects& out);
  void on(session_event::Fed& event, Time now, SessionEffects& out);
  void on(session_event::ComputeDone& event, Time now, SessionEffects& out);
  void on(session_event::EvaluationDone& event, Time now, SessionEffects& out);
  void on(session_event::Beat& event, Time now, SessionEffects& out);
  void on(session_event::ComputeFailed& event, Time now, SessionEffects& out);
  void on(session_event::Tick& event, Time now, SessionEffects& out);

  void on_control(wire::Any& message, Time now, SessionEffects& out);
  void on_view(const wire::View& view, Time now, SessionEffects& out);
  void on_assignment(const wire::LaneAssignment& assign, SessionEffects& out);
  void on_handover(const wire::Handover& handover, SessionEffects& out);
  void on_evaluate(const wire::Evaluate& order);
  void on_outcome(Outcome& outcome, SessionEffects& out);
  void on_push_outcome(Task& task, Outcome& outcome, SessionEffects& out);
  void on_pull_outcome(Task& task, Outcome& outcome, SessionEffects& out);

  // Everything that may have become possible: finish tasks, start tasks, start a job, send.
  void advance(Time now, SessionEffects& out);
  void finish_tasks(SessionEffects& out);
  void finish_step(const Task& task, SessionEffects& out);
  void start_tasks(SessionEffects& out);
  void start_final_evaluation();
  void start_job(SessionEffects& out);
  [[nodiscard]] bool gather(Task& task);
  [[nodiscard]] bool weights_coming(const Task& task, UnitId unit) const;
  void launch(Task& task, SessionEffects& out);
  [[nodiscard]] std::vector<LaneId> next_lanes(const Task& task) const;
  [[nodiscard]] std::vector<LaneGroup> group(const std::vector<LaneId>& lanes, Clock clock) const;
  void push_unit(Task& task, const Job& job, const session_event::GradientReady& ready,
                 const UnitSpec& unit, const Buffer& gradient);
  void drop_lane(LaneId lane);
  void erase_task(uint64_t number);
  void learn(const wire::ReplyEntry& reply, SessionEffects& out);
  void store_parts(uint64_t evaluation, session_event::EvaluationDone& done, SessionEffects& out);
  void send_handing(LaneId lane, SessionEffects& out);
  void send_progress(Time now, SessionEffects& out);
  void check_silence(Time now, SessionEffects& out);
  void account(Time now);

  [[nodiscard]] bool sync() const { return config_.job.train.mode == Mode::kSync; }
  [[nodiscard]] bool busy(LaneId lane) const;
  // The first clock of the lane that no task has reached.
  [[nodiscard]] Clock unreached(LaneId id, const Lane& lane) const;
  [[nodiscard]] bool may_start(Clock clock) const;
  [[nodiscard]] bool follows_another(const Task& task) const;
  [[nodiscard]] bool evaluation_due(Clock clock) const;
  [[nodiscard]] uint64_t evaluation_number(Clock clock) const;
  [[nodiscard]] bool current(uint64_t leader);
  [[nodiscard]] wire::Join join() const;
  [[nodiscard]] Duration heartbeat() const;

  const SessionConfig config_;
  const LaneSchedule schedule_;
  const Peer coordinator_;
  ParamClient client_;

  uint64_t leader_ = 0;
  bool welcomed_ = false;
  bool ended_ = false;
  std::map<LaneId, Lane> lanes_;
  std::map<LaneId, uint64_t> numbers_;  // the highest assignment of each lane ever seen
  std::map<uint64_t, Task> tasks_;      // by number
  uint64_t next_number_ = 1;            // of tasks and jobs
  std::optional<Job> job_;              // what is being computed
  std::vector<Known> known_;            // by unit
  std::vector<Delivered> delivered_;    // by unit
  std::map<std::pair<uint64_t, LaneId>, wire::EvalPart> unacked_parts_;
  uint64_t snapshot_done_ = 0;       // newest snapshot evaluation begun
  std::set<LaneId> snapshot_lanes_;  // of that one
  bool paused_ = false;
  Clock stop_at_ = 0;    // paused: lanes below go on up to it
  bool report_ = false;  // something the coordinator should hear at once

  Time next_beat_{};
  Silence silence_;
  Time accounted_{};
  wire::WorkerProgress totals_;
};

}  // namespace ballast
