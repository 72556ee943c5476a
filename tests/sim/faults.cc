// The storm: what goes wrong when, and how the job is started again after a power cut.
#include <fmt/format.h>

#include <algorithm>

#include "common/wire/codec.h"
#include "tests/sim/draw.h"
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
    if (!intruder_ && rng_.chance(0.3)) start_intruder(worker);
    after(some(5ms, 400ms), [this, worker] {
      if (worker >= workers_.size() || workers_[worker]) return;
      if (intruder_ && intruder_->join.index == worker) end_intruder();
      start_worker(worker);
    });
  } else if (kind == 2 || kind == 3) {
    if (!shards_[shard]) return;
    if (!journal) {
      if (rng_.chance(0.8)) return;
      count("shard lost for good");
      shard_lost_ = true;
    }
    const uint32_t each = job_.cluster.shards_per_server;
    const uint32_t first = shard / each * each;
    kill_server(shard / each);
    after(some(2ms, 60ms), [this, first, each] {
      for (uint32_t i = first; i < std::min<size_t>(first + each, shards_.size()); ++i) {
        if (!shards_[i]) start_shard(i);
      }
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
  end_intruder();
  ++lives_;
  job_.resolved.run = fmt::format("run {}", lives_);
  finish_.reset();
  stop_requested_ = shard_lost_ = false;
  saved_state_.reset();
  resume_.reset();
  forget_history();
  if (rng_.chance(0.3)) damage_newest_checkpoint();
  if (const Result<CheckpointManifest> newest = store_->newest_checkpoint(); newest.ok()) {
    resume_ = ResumePoint{newest->id, "", newest->clock, newest->mode};
    count("resumed from a checkpoint");
    store_->set_aside_newer_than(newest->id);
  } else {
    store_->set_aside_newer_than(0);
  }
  if (job_.checkpoint.durability == Durability::kCheckpoint) {
    draw_servers(job_.cluster, rng_);
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

// A bit of a part flips while nobody runs: the start must pass the checkpoint over.
void Cluster::damage_newest_checkpoint() {
  const Result<CheckpointManifest> newest = store_->newest_checkpoint();
  if (!newest.ok()) return;
  const CheckpointPart& part = newest->parts[rng_.below(newest->parts.size())];
  Buffer* bytes = store_->part_bytes(newest->id, ShardId(part.shard));
  if (bytes == nullptr || bytes->empty()) return;
  *bytes = Buffer::copy_of(bytes->bytes());
  bytes->data()[rng_.below(bytes->size())] ^= std::byte{4};
  trace(fmt::format("checkpoint {} damaged", newest->id));
  const Result<CheckpointManifest> left = store_->newest_checkpoint();
  if (left.ok() && left->id == newest->id) throw Violation("a damaged checkpoint passes for whole");
  count(left.ok() ? "damaged checkpoint passed over" : "only checkpoint damaged");
}

// ---------------------------------------------------------------- intruders

void Cluster::start_intruder(uint32_t index) {
  intruder_ = std::make_unique<IntruderNode>();
  wire::Join& join = intruder_->join;
  join.role = Role::kWorker;
  join.index = index;
  join.incarnation = next_incarnation_++;
  join.job_hash = "sim";
  join.run = job_.resolved.run;
  const uint64_t kind = rng_.below(3);
  if (kind == 0) join.job_hash = "another job";
  if (kind == 1) join.run = "another run";
  if (kind == 2) join.protocol_min = join.protocol_max = wire::kProtocolMax + 1;
  intruder_->transport = network_->make(intruder_->self());
  if (!intruder_->transport->connect({Role::kCoordinator, 0, 0}, kCoordinatorEndpoint).ok()) {
    throw Violation("intruder cannot connect");
  }
  trace(fmt::format("intruder at the place of worker {}", index));
  knock(join.incarnation);
}

void Cluster::knock(Incarnation life) {
  if (!intruder_ || intruder_->join.incarnation != life) return;
  (void)intruder_->transport->send({Role::kCoordinator, 0, 0}, wire::encode(intruder_->join));
  after(20ms, [this, life] { knock(life); });
}

// Of a job that is over it may hear just that.
void Cluster::hear_intruder() {
  while (intruder_) {
    auto event = intruder_->transport->receive(network_->now());
    if (!event) return;
    auto* in = std::get_if<MessageIn>(&*event);
    if (in == nullptr) continue;
    const Result<wire::Any> message = wire::decode(std::move(in->message));
    if (!message.ok()) throw Violation("an intruder is told what does not decode");
    if (std::holds_alternative<wire::Refused>(*message)) {
      count("join refused");
      end_intruder();
    } else if (!std::holds_alternative<wire::End>(*message)) {
      throw Violation(fmt::format("an intruder is told {}", wire::message_name(*message)));
    }
  }
}

void Cluster::end_intruder() {
  if (!intruder_) return;
  network_->kill(intruder_->self());
  intruder_.reset();
}

}  // namespace ballast::sim
