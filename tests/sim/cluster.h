// Cluster: a whole job in one thread from one seed: the real coordinator, shards, clients and
// sessions on the simulated network, with virtual time, a store that loses what was not yet
// durable, and crashes and restarts of each. Invariants are checked after every event; a broken one
// throws Violation.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/net/sim_network.h"
#include "common/storage/memory_journal.h"
#include "server/coordinator/coordinator.h"
#include "server/shard/shard.h"
#include "tests/sim/sim_options.h"
#include "tests/sim/toy_model.h"
#include "worker/session.h"

namespace ballast::sim {

class Cluster {
 public:
  explicit Cluster(const SimOptions& options);
  ~Cluster();

  // Runs the job through its storm and to its end.
  SimResult run();

 private:
  struct CoordinatorNode;
  struct ShardNode;
  struct WorkerNode;
  struct IntruderNode;

  // When a process wants its next Tick: a later WakeAt replaces an earlier one, as in the mains.
  struct Alarm {
    Time wanted = kEndOfTime;
    Time scheduled = kEndOfTime;  // the earliest event in later_ that is for it
  };

  // ---- the world
  void at(Time time, std::function<void()> what);
  void after(Duration delay, std::function<void()> what) { at(network_->now() + delay, what); }
  Duration some(Duration low, Duration high);
  void count(const std::string& what, uint64_t by = 1) { counts_[what] += by; }
  void trace(const std::string& line);
  void step();
  void count_event();

  // ---- processes
  void start_coordinator(std::optional<ResumePoint> resume);
  void start_shard(uint32_t index);
  void start_worker(uint32_t index);
  void kill_coordinator();
  void kill_server(uint32_t index);  // with its shards
  void kill_shard(uint32_t index);
  void kill_worker(uint32_t index);
  void drive(CoordinatorNode& node, const CoordinatorEvent& event);
  void drive(ShardNode& node, ShardEvent event);
  void drive(WorkerNode& node, SessionEvent event);
  template <typename Find>
  void wake_at(Find find, Time time);
  void make_stale(WorkerNode& node, wire::Push& push);
  void name_wrong_rows(wire::Push& push);
  void compute(WorkerNode& node, const session_effect::Compute& job);
  void evaluate(WorkerNode& node, const session_effect::EvaluateSlices& job);
  void poll_network();
  void flush_disks();

  // ---- faults
  void plan_storm();
  void fault();
  void calm();
  void power_cut();
  void damage_newest_checkpoint();
  // A process that is not of this job, or not of this run of it, at the place of a worker.
  void start_intruder(uint32_t index);
  void knock(Incarnation life);
  void hear_intruder();
  void end_intruder();

  // ---- what must hold
  void check_shard(ShardNode& node);
  void check_unit(const ShardNode& node, const Unit& unit);
  void check_ledger(const Unit& unit, const std::vector<Clock>& marks);
  void check_fingerprint(const Unit& unit, const std::vector<Clock>& marks);
  void check_room(const Unit& unit) const;
  void check_read(const WorkerNode& node, const session_effect::Compute& job);
  void check_owner(const WorkerNode& node, const session_effect::Compute& job);
  void check_push(const Peer& worker, const wire::Push& push);
  void check_answer(const Peer& worker, const wire::ReplyEntry& entry);
  void check_assignment(const wire::LaneAssignment& assign);
  void forget_history();
  void check_checkpoint(const CommitManifest& checkpoint);
  void check_end();

  const SimOptions options_;
  Random rng_;
  JobConfig job_;
  std::optional<ToyModel> model_;
  std::vector<std::vector<std::vector<float>>> reference_;  // [parameter][version]
  std::unique_ptr<SimNetwork> network_;
  std::unique_ptr<MemoryStore> store_;

  struct Later {
    Time time;
    uint64_t order;
    std::function<void()> what;
    bool operator<(const Later& other) const {  // the earliest on top
      return std::tie(time, order) > std::tie(other.time, other.order);
    }
  };
  std::priority_queue<Later> later_;
  uint64_t next_order_ = 0;
  Incarnation next_incarnation_ = 1;

  std::unique_ptr<CoordinatorNode> coordinator_;
  std::vector<std::unique_ptr<ShardNode>> shards_;
  std::vector<std::unique_ptr<WorkerNode>> workers_;
  std::unique_ptr<IntruderNode> intruder_;
  std::optional<Buffer> saved_state_;
  std::optional<ResumePoint> resume_;
  // What the checks remember of this life of the job.
  std::vector<std::vector<Clock>> marks_;     // [unit][lane]: as they are now
  std::vector<std::vector<Clock>> promised_;  // [unit][lane]: acknowledged to a worker
  // [unit]: marks of every state ever seen, by the hash of its weights
  std::vector<std::map<uint64_t, std::vector<Clock>>> states_;
  std::map<std::pair<Peer, uint64_t>, std::vector<wire::LaneStamp>> asked_;  // pushes by sequence
  std::set<std::tuple<UnitId, LaneId, Clock>> applied_;
  std::vector<Fence> given_;  // by lane: of the newest assignment
  std::map<std::tuple<LaneId, Fence, Clock>, Peer> computed_;
  std::optional<size_t> coordinator_dies_after_;  // so many effects of its next event
  bool storm_ = true;
  bool stop_requested_ = false;
  bool shard_lost_ = false;  // and its units were in memory only: the job may fail
  std::optional<Finish> finish_;
  std::vector<MetricRow> rows_;
  Counts counts_;
  uint64_t trace_hash_ = 0;
  uint64_t events_ = 0;
  Time instant_{};               // the events since then...
  uint64_t instant_events_ = 0;  // ... tell a livelock
  uint32_t lives_ = 1;           // runs of the job: one more for each resume after a power cut
};

}  // namespace ballast::sim
