// The storm: what goes wrong when, and how the job is started again after a power cut.
#include <fmt/format.h>

#include <algorithm>

#include "tests/sim/nodes.h"

namespace ballast::sim {
namespace {

constexpr Duration kStormLength = 700ms;
const SimFaults kFairWeather{};

}  // namespace

void Cluster::plan_storm() {
  const uint64_t faults = rng_.below(14);
  for (uint64_t i = 0; i < faults; ++i) {
    at(Time(some(5ms, kStormLength)), [this] {
      if (storm_) fault();
    });
  }
  at(Time(kStormLength + 10ms), [this] { calm(); });
}

void Cluster::fault() {
  const bool journal = job_.checkpoint.durability != Durability::kCheckpoint;
  const uint32_t worker = static_cast<uint32_t>(rng_.below(workers_.size()));
  const uint32_t shard = static_cast<uint32_t>(rng_.below(shards_.size()));
  const uint64_t kind = rng_.below(10);
  if (kind <= 1) {
    if (!workers_[worker]) return;
    kill_worker(worker);
    after(some(5ms, 400ms), [this, worker] {
      if (worker < workers_.size() && !workers_[worker]) start_worker(worker);
    });
  } else if (kind == 2 || kind == 3) {
    if (!shards_[shard]) return;
    if (!journal) {
      if (rng_.chance(0.8)) return;
      count("shard lost for good");
      shard_lost_ = true;
    }
    kill_shard(shard);
    after(some(2ms, 60ms), [this, shard] {
      if (shard < shards_.size() && !shards_[shard]) start_shard(shard);
    });
  } else if (kind == 4) {
    if (!coordinator_ || finish_) return;
    if (rng_.chance(0.5)) {
      count("coordinator killed between effects");
      coordinator_dies_after_ = rng_.below(8);
      drive(*coordinator_, Tick{});
    }
    kill_coordinator();
    after(some(2ms, 200ms), [this, life = lives_] {
      if (!coordinator_ && life == lives_) start_coordinator(resume_);
    });
  } else if (kind == 5) {
    const Peer a{Role::kWorker, worker, 0};
    const Peer b =
        rng_.chance(0.5) ? Peer{Role::kServer, shard, 0} : Peer{Role::kCoordinator, 0, 0};
    network_->partition(a, b);
    after(some(5ms, 300ms), [this, a, b] { network_->heal(a, b); });
  } else if (kind <= 8) {
    if (!coordinator_) return;
    drive(*coordinator_,
          MoveLane{LaneId(static_cast<uint32_t>(rng_.below(job_.train.lanes))), WorkerId(worker)});
    count("lane move asked");
  } else if (rng_.chance(0.5)) {
    if (!coordinator_ || stop_requested_) return;
    stop_requested_ = true;
    count("stop requested");
    trace("stop requested");
    drive(*coordinator_, StopRequested{});
  } else if (!journal) {
    count("power cut");
    power_cut();
  }
}

void Cluster::calm() {
  storm_ = false;
  trace("calm");
  network_->set_faults(kFairWeather);
  network_->heal_all();
}

// Everything dies; the job is started again from its newest checkpoint, with another number of
// shards and workers.
void Cluster::power_cut() {
  trace("power cut");
  if (coordinator_) {
    network_->kill(coordinator_->self);
    coordinator_.reset();
  }
  for (auto& shard : shards_) {
    if (!shard) continue;
    network_->kill(shard->self);
    shard.reset();
  }
  for (uint32_t index = 0; index < shards_.size(); ++index) store_->crash(ShardId(index), 0);
  for (auto& worker : workers_) {
    if (!worker) continue;
    network_->kill(worker->self);
    worker.reset();
  }
  ++lives_;
  finish_.reset();
  stop_requested_ = shard_lost_ = false;
  saved_state_.reset();
  resume_.reset();
  forget_history();
  if (const Result<CheckpointManifest> newest = store_->newest_checkpoint(); newest.ok()) {
    resume_ = ResumePoint{newest->id, "", newest->clock, newest->mode};
    count("resumed from a checkpoint");
  }
  if (job_.checkpoint.durability == Durability::kCheckpoint) {
    job_.cluster.servers = static_cast<uint32_t>(rng_.between(2, 4));
    job_.cluster.workers = static_cast<uint32_t>(rng_.between(3, 4));
  }
  shards_.clear();
  workers_.clear();
  shards_.resize(job_.shard_count());
  workers_.resize(job_.cluster.workers);
  start_coordinator(resume_);
  for (uint32_t i = 0; i < shards_.size(); ++i) start_shard(i);
  for (uint32_t i = 0; i < workers_.size(); ++i) start_worker(i);
}

}  // namespace ballast::sim
