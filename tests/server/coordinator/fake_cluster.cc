#include "tests/server/coordinator/fake_cluster.h"

#include <algorithm>

#include "common/base/check.h"

namespace ballast::testing {
namespace {

constexpr Duration kTurn = 5ms;

}  // namespace

FakeCluster::FakeCluster(ClusterOptions wanted) : world_(std::move(wanted)) {
  start_coordinator();
  for (uint32_t i = 0; i < options().shards; ++i) start_shard(i, false);
  for (uint32_t i = 0; i < options().workers; ++i) start_worker(i);
}

CoordinatorSetup FakeCluster::setup() const {
  const ClusterOptions& wanted = options();
  CoordinatorSetup setup{
      JobConfig(), world_.schedule, world_.placement, "hash", "ballast run --resume runs/x",
      resume,      saved_};
  JobConfig& config = setup.config;
  config.train.mode = wanted.mode;
  config.train.epochs = wanted.epochs;
  config.train.batch = wanted.batch;
  config.train.lanes = wanted.lanes;
  config.train.eval_every_epochs = wanted.eval_every;
  config.resolved.test_rows = wanted.test_set ? 46 : 0;
  config.cluster.servers = wanted.shards;
  config.cluster.workers = wanted.workers;
  config.cluster.heartbeat_ms = 50;
  config.cluster.dead_after_ms = 500;
  config.cluster.stuck_after_ms = 4000;
  config.cluster.join_deadline_ms = 3000;
  config.checkpoint.every_steps = wanted.checkpoint_every;
  config.checkpoint.durability = wanted.durability;
  return setup;
}

void FakeCluster::start_coordinator() {
  if (coordinator_) return;
  auto made = Coordinator::create(setup());
  BALLAST_CHECK_MSG(made.ok(), made.status().to_string());
  coordinator_ = std::move(made).value();
  wake_ = world_.now;
  // The main reports what it finds committed.
  if (saved_ && !committed_.empty()) event(ManifestCommitted{*committed_.rbegin()});
}

void FakeCluster::crash_coordinator() {
  coordinator_.reset();
  to_coordinator_.clear();
}

void FakeCluster::crash_coordinator_in(uint64_t call, size_t effects) {
  crash_at_ = call;
  crash_after_ = effects;
}

void FakeCluster::start_worker(uint32_t index) {
  const Incarnation life = ++lives_[{Role::kWorker, index, 0}];
  workers_[index] = std::make_unique<FakeWorker>(world_, shards_, index, life);
}

void FakeCluster::crash_worker(uint32_t index, bool told) {
  if (!workers_.contains(index)) return;
  const Peer peer = workers_[index]->self();
  workers_.erase(index);
  if (told) event(PeerLost{peer});
}

void FakeCluster::start_shard(uint32_t index, bool journal_survived) {
  const Incarnation life = ++lives_[{Role::kServer, index, 0}];
  shards_[index] = std::make_unique<FakeShard>(world_, index, life, journal_survived);
}

void FakeCluster::crash_shard(uint32_t index, bool told) {
  if (!shards_.contains(index)) return;
  const Peer peer = shards_[index]->self();
  for (uint32_t u : shards_[index]->own()) world_.units[u].slots.clear();  // never journaled
  shards_.erase(index);
  if (told) event(PeerLost{peer});
}

void FakeCluster::event(const CoordinatorEvent& event) {
  if (!coordinator_) return;
  CoordinatorEffects effects;
  ++calls_;
  coordinator_->handle(event, world_.now, effects);
  carry_out(std::move(effects));
}

void FakeCluster::deliver_to_coordinator(const Peer& from, wire::Any message) {
  event(Received{from, std::move(message)});
}

void FakeCluster::carry_out(CoordinatorEffects effects) {
  const bool crashes = crash_at_ != 0 && calls_ == crash_at_;
  size_t done = 0;
  for (CoordinatorEffect& effect : effects) {
    if (crashes && done++ == crash_after_) break;
    if (auto* it = std::get_if<Send>(&effect)) {
      ++sent_[std::string(wire::message_name(it->message))];
      if (const auto* said = std::get_if<wire::End>(&it->message)) last_end_ = *said;
      world_.send(kCoordinator, it->to, std::move(it->message));
    }
    if (auto* it = std::get_if<SaveState>(&effect)) saved_ = it->state;
    if (auto* it = std::get_if<CommitManifest>(&effect)) {
      if (it->parts.size() != options().shards) world_.violation = "a manifest without all parts";
      committed_.insert(it->id);
      to_coordinator_.push_back(ManifestCommitted{it->id});
    }
    if (auto* it = std::get_if<MetricRow>(&effect)) rows_[it->evaluation] = *it;
    if (auto* it = std::get_if<Note>(&effect)) notes_.push_back(it->text);
    if (auto* it = std::get_if<WakeAt>(&effect)) wake_ = it->at;
    if (auto* it = std::get_if<Finish>(&effect)) finish_ = *it;
  }
  if (crashes) crash_coordinator();
}

void FakeCluster::deliver(const InFlight& flight) {
  if (flight.to.role == Role::kCoordinator) return event(Received{flight.from, flight.message});
  const auto is_meant = [&](Incarnation life) { return life == flight.to.incarnation; };
  if (flight.to.role == Role::kServer) {
    const auto shard = shards_.find(flight.to.index);
    if (shard != shards_.end() && is_meant(shard->second->incarnation)) {
      shard->second->handle(flight.message);
    }
    return;
  }
  const auto worker = workers_.find(flight.to.index);
  if (worker != workers_.end() && is_meant(worker->second->incarnation)) {
    worker->second->handle(flight.message);
  }
}

void FakeCluster::turn() {
  world_.now += kTurn;
  if (coordinator_ && world_.now >= wake_) event(Tick{});
  std::vector<CoordinatorEvent> events;
  events.swap(to_coordinator_);
  for (const CoordinatorEvent& it : events) event(it);
  for (auto& [index, shard] : shards_) shard->tick();
  for (auto& [index, worker] : workers_) worker->tick();
  std::vector<InFlight> net;
  net.swap(world_.net);
  while (!net.empty()) {
    const size_t pick = options().reorder ? world_.random.below(net.size()) : 0;
    const InFlight flight = net[pick];
    net.erase(net.begin() + static_cast<std::ptrdiff_t>(pick));
    if (options().reorder && world_.random.chance(0.1)) {
      world_.net.push_back(flight);  // late
    } else {
      deliver(flight);
    }
  }
}

void FakeCluster::run(Duration limit, const std::function<void(FakeCluster&)>& disturb) {
  const Time end = world_.now + limit;
  while (world_.now < end && !finish_ && world_.violation.empty()) {
    if (disturb) disturb(*this);
    turn();
  }
}

bool FakeCluster::run_until(const std::function<bool(const FakeCluster&)>& condition,
                            Duration limit) {
  const Time end = world_.now + limit;
  while (world_.now < end && !condition(*this)) turn();
  return condition(*this);
}

std::string FakeCluster::all_notes() const {
  std::string text;
  for (const std::string& note : notes_) text += note + "\n";
  return text;
}

uint32_t FakeCluster::lanes_of_worker(uint32_t index) const {
  const auto worker = workers_.find(index);
  return worker == workers_.end() ? 0 : static_cast<uint32_t>(worker->second->lanes.size());
}

uint64_t FakeCluster::sent(const std::string& name) const {
  const auto it = sent_.find(name);
  return it == sent_.end() ? 0 : it->second;
}

bool FakeCluster::whole() const {
  return std::all_of(world_.units.begin(), world_.units.end(), [&](const FakeUnit& unit) {
    if (options().mode == Mode::kSync) return unit.version == world_.schedule.steps();
    return std::all_of(unit.marks.begin(), unit.marks.end(),
                       [](Clock mark) { return mark == kNever; });
  });
}

uint64_t FakeCluster::version_of(uint32_t unit) const {
  return world_.units[unit].version;
}

}  // namespace ballast::testing
