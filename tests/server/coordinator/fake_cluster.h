// FakeCluster: a whole job around one real Coordinator, in one thread, from a seed. Shards and
// workers are small imitations (fake_shard.h, fake_worker.h) that keep the protocol's rules but
// hold no weights; the network may lose, repeat and reorder. For tests.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "server/coordinator/coordinator.h"
#include "tests/server/coordinator/fake_shard.h"
#include "tests/server/coordinator/fake_worker.h"
#include "tests/server/coordinator/fake_world.h"

namespace ballast::testing {

class FakeCluster {
 public:
  explicit FakeCluster(ClusterOptions wanted);
  FakeCluster(const FakeCluster&) = delete;  // shards and workers refer to its world
  FakeCluster& operator=(const FakeCluster&) = delete;

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
  void cut_off_worker(uint32_t index, bool cut) { world_.cut_off[index] = cut; }
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
  [[nodiscard]] JobStatus status() const { return coordinator_->status(world_.now); }
  [[nodiscard]] bool coordinator_up() const { return coordinator_ != nullptr; }
  [[nodiscard]] Time now() const { return world_.now; }
  [[nodiscard]] const LaneSchedule& schedule() const { return world_.schedule; }
  [[nodiscard]] uint32_t lanes_of_worker(uint32_t index) const;
  [[nodiscard]] bool worker_up(uint32_t index) const { return workers_.contains(index); }
  [[nodiscard]] bool shard_up(uint32_t index) const { return shards_.contains(index); }
  // Messages of this kind that the coordinator has sent.
  [[nodiscard]] uint64_t sent(const std::string& name) const;
  [[nodiscard]] const std::optional<wire::End>& last_end() const { return last_end_; }
  // Every unit has every step of every lane.
  [[nodiscard]] bool whole() const;
  // What broke a rule of the protocol; empty: nothing.
  [[nodiscard]] const std::string& violation() const { return world_.violation; }
  [[nodiscard]] uint64_t version_of(uint32_t unit) const;
  [[nodiscard]] CoordinatorSetup setup() const;
  [[nodiscard]] const ClusterOptions& options() const { return world_.options; }

  std::optional<ResumePoint> resume;  // where the next coordinator begins

 private:
  void deliver(const InFlight& flight);
  void carry_out(CoordinatorEffects effects);

  FakeWorld world_;
  FakeShards shards_;
  std::map<uint32_t, std::unique_ptr<FakeWorker>> workers_;
  std::map<Peer, Incarnation> lives_;
  std::unique_ptr<Coordinator> coordinator_;
  std::optional<Buffer> saved_;
  std::vector<CoordinatorEvent> to_coordinator_;  // not from the network
  Time wake_{};
  std::optional<Finish> finish_;
  std::map<uint64_t, MetricRow> rows_;
  std::set<uint64_t> committed_;
  std::vector<std::string> notes_;
  std::map<std::string, uint64_t> sent_;
  std::optional<wire::End> last_end_;
  uint64_t calls_ = 0;
  uint64_t crash_at_ = 0;
  size_t crash_after_ = 0;
};

}  // namespace ballast::testing
