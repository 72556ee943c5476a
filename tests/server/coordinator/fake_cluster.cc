#include "tests/server/coordinator/fake_cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/check.h"

namespace ballast::testing {
namespace {

constexpr Duration kTurn = 5ms;
constexpr Duration kHeartbeat = 50ms;
const Peer kCoordinator{Role::kCoordinator, 0, 1};

}  // namespace

// ---------------------------------------------------------------- a shard

struct FakeCluster::FakeShard {
  FakeCluster& cluster;
  FakeShard(FakeCluster& cluster_in, uint32_t index_in, Incarnation life, bool journal_in)
      : cluster(cluster_in), index(index_in), incarnation(life), journal(journal_in) {}

  uint32_t index;
  Incarnation incarnation;
  bool journal;
  bool welcome = false;
  bool loaded = false;
  bool ended = false;
  uint64_t leader = 0;
  uint64_t beat = 0;
  uint64_t cut = 0;
  std::vector<Fence> fences;
  Time next_beat{};

  [[nodiscard]] Peer self() const { return {Role::kServer, index, incarnation}; }
  void say(wire::Any message) { cluster.send(self(), kCoordinator, std::move(message)); }

  [[nodiscard]] std::vector<uint32_t> own() const {
    std::vector<uint32_t> units;
    for (uint32_t u = 0; u < cluster.placement_.size(); ++u) {
      if (cluster.placement_[u].value() == index) units.push_back(u);
    }
    return units;
  }

  void tick() {
    if (ended || cluster.now_ < next_beat) return;
    next_beat = cluster.now_ + kHeartbeat;
    if (!welcome || !loaded) {
      wire::Join join;
      join.role = Role::kServer;
      join.index = index;
      join.incarnation = incarnation;
      join.job_hash = "hash";
      join.endpoint = fmt::format("ipc://shard-{}-{}", index, incarnation);
      join.host = "here";
      join.process = 100 + index;
      join.journal_survived = journal;
      say(join);
    }
    wire::ShardProgress progress;
    progress.shard = ShardId(index);
    progress.incarnation = incarnation;
    progress.beat = ++beat;
    progress.version_min = loaded && !own().empty() ? cluster.units_[own().front()].version : 0;
    say(progress);
  }

  void handle(const wire::Any& any) {
    if (const auto* m = std::get_if<wire::Welcome>(&any)) welcome = m->leader > 0;
    if (const auto* m = std::get_if<wire::End>(&any)) ended = m->leader > 0;
    if (const auto* m = std::get_if<wire::Load>(&any)) load(*m);
    if (const auto* m = std::get_if<wire::FenceOrder>(&any)) fence(*m);
    if (const auto* m = std::get_if<wire::TakeSnapshot>(&any); m && loaded) {
      say(wire::SnapshotTaken{ShardId(index), m->snapshot});
    }
    if (const auto* m = std::get_if<wire::CheckpointOrder>(&any); m && loaded) done(m->checkpoint);
  }

  void done(uint64_t checkpoint) {
    wire::PartDone part;
    part.shard = ShardId(index);
    part.checkpoint = checkpoint;
    part.part.shard = index;
    part.part.file = part_file_name(index);
    part.part.xxh3 = part_xxh3({});
    say(part);
    if (cluster.options.mode != Mode::kSync) return;
    for (uint32_t u : own()) {
      if (cluster.units_[u].version < checkpoint) {
        cluster.violation_ =
            fmt::format("checkpoint {} of a unit at {}", checkpoint, cluster.units_[u].version);
      }
    }
  }

  void load(const wire::Load& m) {
    if (m.leader < leader || m.incarnation != incarnation) return;
    leader = m.leader;
    if (!loaded && m.source != wire::LoadSource::kJournal) {
      const Clock start = m.source == wire::LoadSource::kCheckpoint ? m.checkpoint : 0;
      for (uint32_t u : own()) {
        FakeUnit& unit = cluster.units_[u];
        unit = FakeUnit();
        unit.version = start;
        for (uint32_t l = 0; l < cluster.options.lanes; ++l) {
          unit.marks.push_back(cluster.schedule_.present_from(LaneId(l), start));
        }
      }
    }
    loaded = true;
    store(m.fences);
    say(wire::Loaded{ShardId(index), incarnation, 0});
  }

  void store(const std::vector<Fence>& higher) {
    if (fences.empty()) fences.resize(higher.size(), 0);
    for (size_t l = 0; l < higher.size(); ++l) fences[l] = std::max(fences[l], higher[l]);
  }

  void fence(const wire::FenceOrder& m) {
    if (m.leader < leader || !loaded) return;
    leader = m.leader;
    store(m.fences);
    wire::FenceMarks marks;
    marks.shard = ShardId(index);
    marks.incarnation = incarnation;
    marks.fences = fences;
    for (uint32_t u : own()) {
      const FakeUnit& unit = cluster.units_[u];
      wire::UnitMarks row{UnitId(u), 0, unit.version, unit.marks};
      if (cluster.options.mode == Mode::kSync) row.marks.assign(fences.size(), unit.version);
      marks.units.push_back(std::move(row));
    }
    say(marks);
  }

  // True: answered, also when it was here already. False: ask again later.
  enum class Answer { kDone, kLater, kFenced };
  Answer push(uint32_t u, uint32_t lane, Fence fence, Clock clock) {
    if (!loaded || ended) return Answer::kLater;
    if (fence > fences[lane]) cluster.violation_ = "a fence the shard was never told";
    if (fence < fences[lane]) return Answer::kFenced;
    FakeUnit& unit = cluster.units_[u];
    return cluster.options.mode == Mode::kSync ? push_sync(unit, lane, clock)
                                               : push_async(unit, lane, clock);
  }

  Answer push_sync(FakeUnit& unit, uint32_t lane, Clock clock) {
    if (clock < unit.version) return Answer::kDone;
    if (clock > unit.version) {
      cluster.violation_ = fmt::format("push of step {} at version {}", clock, unit.version);
      return Answer::kLater;
    }
    unit.slots.insert(lane);
    for (uint32_t l = 0; l < cluster.options.lanes; ++l) {
      if (cluster.schedule_.present(LaneId(l), clock) && !unit.slots.contains(l)) {
        return Answer::kLater;
      }
    }
    unit.slots.clear();
    ++unit.version;
    cut_if_due();
    return Answer::kDone;
  }

  Answer push_async(FakeUnit& unit, uint32_t lane, Clock clock) {
    if (unit.marks[lane] > clock) return Answer::kDone;
    if (unit.marks[lane] < clock) return Answer::kLater;  // early
    unit.marks[lane] = cluster.schedule_.present_from(LaneId(lane), clock + 1);
    ++unit.version;
    return Answer::kDone;
  }

  void cut_if_due() {
    const uint64_t every = cluster.options.checkpoint_every;
    if (every == 0) return;
    Version least = ~Version{0};
    for (uint32_t u : own()) least = std::min(least, cluster.units_[u].version);
    if (least % every != 0 || least == cut) return;
    cut = least;
    done(least);
  }
};

// ---------------------------------------------------------------- a worker

struct FakeCluster::FakeWorker {
  struct Lane {
    Clock clock = 0;
    Fence fence = 0;
    uint64_t number = 0;
    std::optional<Clock> until;
    bool busy = false;
    std::set<uint32_t> units;  // of the step in flight, not yet answered
  };

  FakeWorker(FakeCluster& cluster_in, uint32_t index_in, Incarnation life)
      : cluster(cluster_in), index(index_in), incarnation(life) {}

  FakeCluster& cluster;
  uint32_t index;
  Incarnation incarnation;
  bool welcome = false;
  bool ended = false;
  bool pausing = false;
  std::optional<Clock> stop_at;
  uint64_t leader = 0;
  uint64_t view = 0;
  uint64_t beat = 0;
  uint64_t steps = 0;
  uint64_t samples = 0;
  uint64_t turns = 0;
  double busy_seconds = 0;
  std::map<uint32_t, Lane> lanes;
  std::map<uint32_t, uint64_t> numbers;
  std::set<std::pair<uint64_t, uint32_t>> evaluated;
  std::set<std::pair<uint64_t, uint32_t>> parts;  // evaluation, lane: not acknowledged
  Time next_beat{};

  [[nodiscard]] Peer self() const { return {Role::kWorker, index, incarnation}; }
  void say(wire::Any message) { cluster.send(self(), kCoordinator, std::move(message)); }

  void tick() {
    if (ended) return;
    if (cluster.now_ >= next_beat) {
      next_beat = cluster.now_ + kHeartbeat;
      heartbeat();
    }
    const uint32_t slow = index < cluster.options.slow.size() ? cluster.options.slow[index] : 0;
    if (turns++ % (slow + 1) == 0) work(1 + slow);
  }

  void join() {
    wire::Join join;
    join.index = index;
    join.incarnation = incarnation;
    join.job_hash = "hash";
    join.host = "here";
    join.process = 200 + index;
    say(join);
  }

  void heartbeat() {
    if (!welcome) return join();
    wire::WorkerProgress progress;
    progress.worker = WorkerId(index);
    progress.incarnation = incarnation;
    progress.beat = ++beat;
    progress.lanes = lanes_now();
    progress.steps = steps;
    progress.samples = samples;
    progress.loss_sum = static_cast<double>(samples) * 0.5;
    progress.weight_sum = static_cast<double>(samples);
    progress.busy_seconds = busy_seconds;
    say(progress);
    for (const auto& [evaluation, lane] : parts) {
      wire::EvalPart part;
      part.worker = WorkerId(index);
      part.evaluation = evaluation;
      part.lane = LaneId(lane);
      part.sums.rows = 10 + lane;
      say(part);
    }
  }

  [[nodiscard]] std::vector<wire::LaneProgress> lanes_now() const {
    std::vector<wire::LaneProgress> now;
    for (const auto& [id, lane] : lanes) {
      now.push_back({LaneId(id), lane.fence, lane.number, lane.clock, lane.busy});
    }
    return now;
  }

  void evaluate_if_due(uint32_t id, Clock before, Clock clock) {
    if (cluster.options.mode != Mode::kSync || !cluster.options.test_set) return;
    const uint64_t each = cluster.schedule_.steps_per_epoch();
    const Clock job_steps = cluster.schedule_.steps();
    const uint64_t last = (job_steps + each - 1) / each;
    for (uint64_t e = 1; e <= last; ++e) {
      const Clock boundary = std::min(job_steps, e * each);
      const bool due =
          e == last || (cluster.options.eval_every && e % cluster.options.eval_every == 0);
      if (due && before < boundary && boundary <= clock) parts.insert({e, id});
    }
  }

  // Sync: all lanes do their lowest step together; async: any lane that may.
  void work(uint32_t cost) {
    if (view == 0) return;
    Clock lowest = kNever;
    for (auto& [id, lane] : lanes) {
      if (may_step(lane)) lowest = std::min(lowest, lane.clock);
    }
    for (auto it = lanes.begin(); it != lanes.end();) {
      const uint32_t id = it->first;
      Lane& lane = it->second;
      ++it;
      if (!lane.busy && may_step(lane) && lane.clock == lowest && readable(lane.clock)) begin(lane);
      if (lane.busy) push(id, lane, cost);
    }
  }

  [[nodiscard]] bool may_step(const Lane& lane) const {
    return lane.clock != kNever && (!lane.until || lane.clock < *lane.until) &&
           (stop_at ? lane.clock < *stop_at : !pausing);
  }

  // Sync: a step begins with the version of its clock in every unit.
  [[nodiscard]] bool readable(Clock clock) const {
    return cluster.options.mode != Mode::kSync ||
           std::all_of(cluster.units_.begin(), cluster.units_.end(),
                       [&](const FakeUnit& unit) { return unit.version >= clock; });
  }

  void begin(Lane& lane) {
    lane.busy = true;
    for (uint32_t u = 0; u < cluster.placement_.size(); ++u) lane.units.insert(u);
  }

  void push(uint32_t id, Lane& lane, uint32_t cost) {
    for (uint32_t u : std::set<uint32_t>(lane.units)) {
      if (cluster.random_.chance(0.3)) continue;  // not every push gets through at once
      FakeShard* shard = cluster.shard_of(u);
      if (shard == nullptr) continue;
      const auto answer = shard->push(u, id, lane.fence, lane.clock);
      if (answer == FakeShard::Answer::kFenced) {
        lanes.erase(id);
        return;
      }
      if (answer == FakeShard::Answer::kDone) lane.units.erase(u);
    }
    if (!lane.units.empty()) return;
    const uint32_t rows = cluster.schedule_.rows_at(LaneId(id), lane.clock);
    ++steps;
    samples += rows;
    busy_seconds += 0.01 * rows * cost;
    const Clock before = lane.clock;
    lane.clock = cluster.schedule_.present_from(LaneId(id), lane.clock + 1);
    lane.busy = false;
    evaluate_if_due(id, before, lane.clock);
  }

  void handle(const wire::Any& any) {
    if (const auto* m = std::get_if<wire::Welcome>(&any)) welcome = m->leader > 0;
    if (const auto* m = std::get_if<wire::End>(&any)) ended = m->leader > 0;
    if (const auto* m = std::get_if<wire::BeatAnswer>(&any); m && m->view > view) join();
    if (const auto* m = std::get_if<wire::View>(&any)) view = std::max(view, m->number);
    if (const auto* m = std::get_if<wire::Assign>(&any)) assign(*m);
    if (const auto* m = std::get_if<wire::Handover>(&any)) hand_over(*m);
    if (std::holds_alternative<wire::Pause>(any)) {
      pausing = true;
      say(wire::Paused{WorkerId(index), lanes_now()});
    }
    if (const auto* m = std::get_if<wire::StopAt>(&any)) stop_at = m->clock;
    if (const auto* m = std::get_if<wire::Evaluate>(&any)) {
      for (LaneId lane : m->lanes) {  // each slice once
        if (evaluated.insert({m->snapshot, lane.value()}).second) {
          parts.insert({m->snapshot, lane.value()});
        }
      }
    }
    if (const auto* m = std::get_if<wire::EvalAck>(&any))
      parts.erase({m->evaluation, m->lane.value()});
  }

  void assign(const wire::Assign& m) {
    if (m.leader < leader) return;
    leader = m.leader;
    const uint32_t id = m.lane.value();
    if (!numbers.contains(id) || numbers[id] < m.number) {
      numbers[id] = m.number;
      lanes[id] = Lane();
      lanes[id].clock = cluster.schedule_.present_from(m.lane, m.start);
      lanes[id].fence = m.fence;
      lanes[id].number = m.number;
      // What ends exactly at the start may not have been evaluated by whoever came before.
      if (m.start > 0) evaluate_if_due(id, m.start - 1, m.start);
    }
    say(wire::Assigned{WorkerId(index), m.lane, m.number});
  }

  void hand_over(const wire::Handover& m) {
    const auto it = lanes.find(m.lane.value());
    if (m.leader < leader || it == lanes.end()) return;
    Lane& lane = it->second;
    if (lane.fence != m.fence || lane.number != m.number) return;
    if (!lane.until)
      lane.until = std::max(m.clock, lane.clock == kNever ? kNever : lane.clock + lane.busy);
    wire::Handing handing;
    handing.worker = WorkerId(index);
    handing.lane = m.lane;
    handing.fence = m.fence;
    handing.number = m.number;
    handing.clock = *lane.until;
    handing.done = lane.clock >= *lane.until && !lane.busy;
    say(handing);
  }
};

// ---------------------------------------------------------------- the cluster

FakeCluster::FakeCluster(ClusterOptions wanted)
    : options(std::move(wanted)),
      schedule_(options.rows, options.lanes, options.batch, options.epochs),
      random_(options.seed),
      units_(options.units) {
  for (uint32_t u = 0; u < options.units; ++u) placement_.push_back(ShardId(u % options.shards));
  start_coordinator();
  for (uint32_t i = 0; i < options.shards; ++i) start_shard(i, false);
  for (uint32_t i = 0; i < options.workers; ++i) start_worker(i);
}

FakeCluster::~FakeCluster() = default;

CoordinatorSetup FakeCluster::setup() const {
  CoordinatorSetup setup{JobConfig(), schedule_, placement_, "hash", "ballast run --resume runs/x",
                         resume,      saved_};
  JobConfig& config = setup.config;
  config.train.mode = options.mode;
  config.train.epochs = options.epochs;
  config.train.batch = options.batch;
  config.train.lanes = options.lanes;
  config.train.eval_every_epochs = options.eval_every;
  config.resolved.test_rows = options.test_set ? 46 : 0;
  config.cluster.servers = options.shards;
  config.cluster.workers = options.workers;
  config.cluster.heartbeat_ms = 50;
  config.cluster.dead_after_ms = 500;
  config.cluster.stuck_after_ms = 4000;
  config.cluster.join_deadline_ms = 3000;
  config.checkpoint.every_steps = options.checkpoint_every;
  config.checkpoint.durability = options.durability;
  return setup;
}

void FakeCluster::start_coordinator() {
  if (coordinator_) return;
  auto made = Coordinator::create(setup());
  BALLAST_CHECK_MSG(made.ok(), made.status().to_string());
  coordinator_ = std::move(made).value();
  wake_ = now_;
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
  workers_[index].reset(new FakeWorker(*this, index, life));
}

void FakeCluster::crash_worker(uint32_t index, bool told) {
  if (!workers_.contains(index)) return;
  const Peer peer = workers_[index]->self();
  workers_.erase(index);
  if (told) event(PeerLost{peer});
}

void FakeCluster::start_shard(uint32_t index, bool journal_survived) {
  const Incarnation life = ++lives_[{Role::kServer, index, 0}];
  shards_[index].reset(new FakeShard(*this, index, life, journal_survived));
}

void FakeCluster::crash_shard(uint32_t index, bool told) {
  if (!shards_.contains(index)) return;
  const Peer peer = shards_[index]->self();
  for (uint32_t u : shards_[index]->own()) units_[u].slots.clear();  // never journaled
  shards_.erase(index);
  if (told) event(PeerLost{peer});
}

void FakeCluster::event(const CoordinatorEvent& event) {
  if (!coordinator_) return;
  CoordinatorEffects effects;
  ++calls_;
  coordinator_->handle(event, now_, effects);
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
      send(kCoordinator, it->to, std::move(it->message));
    }
    if (auto* it = std::get_if<SaveState>(&effect)) saved_ = it->state;
    if (auto* it = std::get_if<CommitManifest>(&effect)) {
      if (it->parts.size() != options.shards) violation_ = "a manifest without all parts";
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

void FakeCluster::send(const Peer& from, const Peer& to, wire::Any message) {
  const Peer& worker = from.role == Role::kWorker ? from : to;
  if (worker.role == Role::kWorker && cut_off_[worker.index]) return;
  if (random_.chance(options.loss)) return;
  if (random_.chance(options.repeat)) net_.push_back({from, to, message});
  net_.push_back({from, to, std::move(message)});
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

FakeCluster::FakeShard* FakeCluster::shard_of(uint32_t unit) {
  const auto shard = shards_.find(placement_[unit].value());
  return shard == shards_.end() ? nullptr : shard->second.get();
}

void FakeCluster::turn() {
  now_ += kTurn;
  if (coordinator_ && now_ >= wake_) event(Tick{});
  std::vector<CoordinatorEvent> events;
  events.swap(to_coordinator_);
  for (const CoordinatorEvent& it : events) event(it);
  for (auto& [index, shard] : shards_) shard->tick();
  for (auto& [index, worker] : workers_) worker->tick();
  std::vector<InFlight> net;
  net.swap(net_);
  while (!net.empty()) {
    const size_t pick = options.reorder ? random_.below(net.size()) : 0;
    const InFlight flight = net[pick];
    net.erase(net.begin() + static_cast<std::ptrdiff_t>(pick));
    if (options.reorder && random_.chance(0.1)) {
      net_.push_back(flight);  // late
    } else {
      deliver(flight);
    }
  }
}

void FakeCluster::run(Duration limit, const std::function<void(FakeCluster&)>& disturb) {
  const Time end = now_ + limit;
  while (now_ < end && !finish_ && violation_.empty()) {
    if (disturb) disturb(*this);
    turn();
  }
}

bool FakeCluster::run_until(const std::function<bool(const FakeCluster&)>& condition,
                            Duration limit) {
  const Time end = now_ + limit;
  while (now_ < end && !condition(*this)) turn();
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
  return std::all_of(units_.begin(), units_.end(), [&](const FakeUnit& unit) {
    if (options.mode == Mode::kSync) return unit.version == schedule_.steps();
    return std::all_of(unit.marks.begin(), unit.marks.end(),
                       [](Clock mark) { return mark == kNever; });
  });
}

uint64_t FakeCluster::version_of(uint32_t unit) const {
  return units_[unit].version;
}

}  // namespace ballast::testing
