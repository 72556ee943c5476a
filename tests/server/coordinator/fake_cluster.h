// FakeCluster: a whole job around one real Coordinator, in one thread, from a seed. Shards and
// workers are small imitations that keep the protocol's rules (fences, marks, slots, numbers,
// leaders) but hold no weights; the network may lose, repeat and reorder. For tests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <set>

#include "common/base/random.h"
#include "server/coordinator/coordinator.h"

namespace ballast::testing {

struct ClusterOptions {
  Mode mode = Mode::kSync;
  uint32_t shards = 2;
  uint32_t workers = 2;
  uint32_t lanes = 4;
  uint64_t rows = 37;  // of an epoch
  uint32_t batch = 8;
  uint32_t epochs = 3;
  uint32_t units = 5;
  uint64_t checkpoint_every = 4;
  uint32_t eval_every = 1;
  bool test_set = true;
  Durability durability = Durability::kCheckpoint;
  uint64_t seed = 1;
  double loss = 0;    // chance that a message is lost
  double repeat = 0;  // or comes twice
  bool reorder = false;
  std::vector<uint32_t> slow;  // by worker: steps it skips for one it does
};

class FakeCluster {
 public:
  explicit FakeCluster(ClusterOptions options);
  ~FakeCluster();

  // Until Finish, or `limit` of simulated time; calls `disturb` before every turn.
  void run(Duration limit = 120s, const std::function<void(FakeCluster&)>& disturb = {});
  void turn();
  // Until the condition holds; fails the calling test by returning false.
  [[nodiscard]] bool run_until(const std::function<bool(const FakeCluster&)>& condition,
                               Duration limit = 60s);

  // ------------------------------------------------ disturbances
  void crash_worker(uint32_t index, bool told);  // told: the coordinator's transport notices
  void start_worker(uint32_t index);
  void crash_shard(uint32_t index, bool told);
  void start_shard(uint32_t index, bool journal_survived);
  void crash_coordinator();
  void start_coordinator();
  // Carries out only the first effects of the handle() call with this number, then crashes.
  void crash_coordinator_in(uint64_t call, size_t effects);
  void cut_off_worker(uint32_t index, bool cut) { cut_off_[index] = cut; }
  void event(const CoordinatorEvent& event);
  void deliver_to_coordinator(const Peer& from, wire::Any message);

  // ------------------------------------------------ what is seen
  [[nodiscard]] bool finished() const { return finish_.has_value(); }
  [[nodiscard]] const Finish& finish() const { return *finish_; }
  [[nodiscard]] const std::map<uint64_t, MetricRow>& rows() const { return rows_; }
  [[nodiscard]] const std::set<uint64_t>& committed() const { return committed_; }
  [[nodiscard]] const std::vector<std::string>& notes() const { return notes_; }
  [[nodiscard]] std::string all_notes() const;
  [[nodiscard]] uint64_t calls() const { return calls_; }
  [[nodiscard]] JobStatus status() const { return coordinator_->status(now_); }
  [[nodiscard]] bool coordinator_up() const { return coordinator_ != nullptr; }
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] const LaneSchedule& schedule() const { return schedule_; }
  [[nodiscard]] uint32_t lanes_of_worker(uint32_t index) const;
  [[nodiscard]] bool worker_up(uint32_t index) const { return workers_.contains(index); }
  [[nodiscard]] bool shard_up(uint32_t index) const { return shards_.contains(index); }
  // Messages of this kind that the coordinator has sent.
  [[nodiscard]] uint64_t sent(const std::string& name) const;
  [[nodiscard]] const std::optional<wire::End>& last_end() const { return last_end_; }
  // Every unit has every step of every lane.
  [[nodiscard]] bool whole() const;
  // What broke a rule of the protocol; empty: nothing.
  [[nodiscard]] const std::string& violation() const { return violation_; }
  [[nodiscard]] uint64_t version_of(uint32_t unit) const;
  [[nodiscard]] CoordinatorSetup setup() const;
  ClusterOptions options;
  std::optional<ResumePoint> resume;

  // The units' durable part: survives the shard when its journal does.
  struct FakeUnit {
    Version version = 0;
    std::vector<Clock> marks;
    std::set<uint32_t> slots;  // sync: lanes whose push for `version` is here
  };
  struct FakeShard;
  struct FakeWorker;

 private:
  struct InFlight {
    Peer from;
    Peer to;
    wire::Any message;
  };
  friend struct FakeShard;
  friend struct FakeWorker;

  void send(const Peer& from, const Peer& to, wire::Any message);
  void deliver(const InFlight& flight);
  void carry_out(CoordinatorEffects effects);
  [[nodiscard]] FakeUnit& unit(uint32_t index) { return units_[index]; }
  FakeShard* shard_of(uint32_t unit);

  LaneSchedule schedule_;
  std::vector<ShardId> placement_;
  Random random_;
  Time now_{Duration(1s)};
  Time wake_{};
  std::unique_ptr<Coordinator> coordinator_;
  std::optional<Buffer> saved_;
  std::map<uint32_t, std::unique_ptr<FakeShard>> shards_;
  std::map<uint32_t, std::unique_ptr<FakeWorker>> workers_;
  std::map<Peer, Incarnation> lives_;
  std::vector<FakeUnit> units_;
  std::vector<InFlight> net_;
  std::vector<CoordinatorEvent> to_coordinator_;  // not from the network
  std::map<uint32_t, bool> cut_off_;
  std::optional<Finish> finish_;
  std::map<uint64_t, MetricRow> rows_;
  std::set<uint64_t> committed_;
  std::vector<std::string> notes_;
  std::map<std::string, uint64_t> sent_;
  std::optional<wire::End> last_end_;
  std::string violation_;
  uint64_t calls_ = 0;
  uint64_t crash_at_ = 0;
  size_t crash_after_ = 0;
};

}  // namespace ballast::testing
