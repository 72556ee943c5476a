#include "tests/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/base/hash.h"
#include "common/wire/codec.h"
#include "tests/sim/nodes.h"

namespace ballast::sim {
namespace {

constexpr const char* kCoordinatorEndpoint = "sim://coordinator";
constexpr Duration kStormLength = 700ms;
constexpr uint64_t kEventsMax = 400'000;  // far above what the longest seed needs
// At one instant of virtual time: more is a livelock, because no time passes.
constexpr uint64_t kInstantEventsMax = 2'000;
const SimFaults kFairWeather{};

// A job of at least 20 steps, 2 shards, 3 workers and 4 lanes, different for every seed.
JobConfig draw_job(Mode mode, Random& rng) {
  JobConfig job;
  job.name = "sim";
  job.seed = rng.next();
  job.train.mode = mode;
  job.train.lanes = rng.chance(0.7) ? 4 : 8;
  job.train.batch = job.train.lanes * static_cast<uint32_t>(rng.between(2, 4));
  job.train.staleness = static_cast<uint32_t>(rng.between(0, 3));
  job.train.optimizer.kind =
      std::array{OptimizerKind::kSgd, OptimizerKind::kMomentum, OptimizerKind::kAdam}[rng.below(3)];
  job.train.optimizer.learning_rate = 0.05;
  if (mode != Mode::kSync && job.train.optimizer.kind == OptimizerKind::kSgd) {
    job.train.optimizer.learning_rate = 1;  // fingerprints: ToyModel
    job.train.scale_by_share = false;
  }
  job.resolved.train_rows =
      job.train.batch * 3 + static_cast<uint64_t>(rng.between(1, job.train.batch));
  job.train.epochs = static_cast<uint32_t>(rng.between(6, 9));
  job.train.eval_every_epochs = static_cast<uint32_t>(rng.between(0, 3));
  job.resolved.test_rows = static_cast<uint64_t>(rng.between(0, 40));
  if (job.resolved.test_rows > 0) job.data.test = "test";
  job.resolved.input_width = 3;
  job.model.layers.push_back(
      {.kind = LayerKind::kDense, .units = 4, .activation = Activation::kRelu});
  job.model.layers.push_back({.kind = LayerKind::kDense, .units = 2});
  job.cluster.unit_bytes = 32;
  job.cluster.servers = static_cast<uint32_t>(rng.between(2, 4));
  job.cluster.workers = static_cast<uint32_t>(rng.between(3, 4));
  job.cluster.heartbeat_ms = 20;
  job.cluster.dead_after_ms = 150;
  job.cluster.stuck_after_ms = 1000;
  job.cluster.join_deadline_ms = 60000;
  job.checkpoint.every_steps = static_cast<uint64_t>(rng.between(0, 5));
  job.checkpoint.durability = rng.chance(0.6) ? Durability::kProcess : Durability::kCheckpoint;
  return job;
}

SimFaults draw_weather(Random& rng) {
  const double how_bad = std::array{0.0, 0.3, 1.0, 2.0}[rng.below(4)];
  SimFaults faults;
  faults.loss = 0.02 * how_bad;
  faults.repeat = 0.03 * how_bad;
  faults.delay = 0.03 * how_bad;
  faults.reorder = 0.05 * how_bad;
  faults.reset = 0.002 * how_bad;
  return faults;
}

}  // namespace

// ---------------------------------------------------------------- processes

Cluster::Cluster(const SimOptions& options)
    : options_(options),
      rng_(hash_numbers({options.seed, static_cast<uint64_t>(options.mode)})),
      job_(draw_job(options.mode, rng_)) {
  if (options.plant == Plant::kStalenessOffByOne) job_.train.mode = Mode::kSsp;
  model_.emplace(job_, rng_.next());
  if (options.mode == Mode::kSync) reference_ = model_->sync_reference();
  network_ = std::make_unique<SimNetwork>(rng_.next(), draw_weather(rng_));
  store_ = std::make_unique<MemoryStore>();
  forget_history();
}

Cluster::~Cluster() = default;

void Cluster::at(Time time, std::function<void()> what) {
  later_.push({time, next_order_++, std::move(what)});
}

Duration Cluster::some(Duration low, Duration high) {
  return Duration(rng_.between(low.count(), high.count()));
}

void Cluster::trace(const std::string& line) {
  trace_hash_ = hash_numbers(
      {trace_hash_, static_cast<uint64_t>(network_->now().time_since_epoch().count()), xxh3(line)});
  if (options_.trace) {
    fmt::print("{:>12.6f} {}\n", to_seconds(network_->now().time_since_epoch()), line);
  }
}

void Cluster::start_coordinator(std::optional<ResumePoint> resume) {
  auto node = std::make_unique<CoordinatorNode>();
  node->self = {Role::kCoordinator, 0, next_incarnation_++};
  node->transport = network_->make(node->self);
  if (!node->transport->bind(kCoordinatorEndpoint).ok()) throw Violation("coordinator cannot bind");
  Result<std::unique_ptr<Coordinator>> decider =
      Coordinator::create({.config = job_,
                           .schedule = model_->schedule,
                           .placement = propose_placement(model_->units, job_.shard_count()),
                           .job_hash = "sim",
                           .resume_command = "resume",
                           .resume = std::move(resume),
                           .state = saved_state_});
  if (!decider.ok()) throw Violation("coordinator: " + decider.status().to_string());
  node->decider = std::move(*decider);
  coordinator_ = std::move(node);
  trace("start coordinator");
  drive(*coordinator_, Tick{});
}

void Cluster::start_shard(uint32_t index) {
  auto node = std::make_unique<ShardNode>();
  node->self = {Role::kServer, index, next_incarnation_++};
  node->transport = network_->make(node->self);
  const std::string endpoint = fmt::format("sim://shard-{}-{}", index, node->self.incarnation);
  if (!node->transport->bind(endpoint).ok()) throw Violation("shard cannot bind");
  if (!node->transport->connect({Role::kCoordinator, 0, 0}, kCoordinatorEndpoint).ok()) {
    throw Violation("shard cannot connect");
  }
  node->journal =
      std::make_unique<MemoryJournal>(*store_, ShardId(index), job_.checkpoint.durability);
  ShardConfig config{.shard = ShardId(index),
                     .incarnation = node->self.incarnation,
                     .job = job_,
                     .parameters = model_->parameters,
                     .units = model_->units,
                     .job_hash = "sim",
                     .endpoint = endpoint,
                     .host = "sim",
                     .policy = {}};
  if (options_.plant == Plant::kStalenessOffByOne) config.policy.staleness_slack = 1;
  if (options_.plant == Plant::kRepeatApplied) config.policy.applies_repeats = true;
  if (options_.seed % 4 == 0) config.policy.reads_held_max = 1;
  if (options_.seed % 3 == 0) config.policy.parked_max = options_.seed % 2;
  node->decider = std::make_unique<Shard>(
      *node->journal, std::move(config),
      [this](const wire::Load& load) { return store_->read_manifest(load.checkpoint); });
  shards_[index] = std::move(node);
  trace(fmt::format("start shard {}", index));
  ShardEffects out;
  shards_[index]->decider->start(network_->now(), out);
  drive(*shards_[index], shard_event::Tick{});
}

void Cluster::start_worker(uint32_t index) {
  auto node = std::make_unique<WorkerNode>();
  node->self = {Role::kWorker, index, next_incarnation_++};
  node->transport = network_->make(node->self);
  if (!node->transport->connect({Role::kCoordinator, 0, 0}, kCoordinatorEndpoint).ok()) {
    throw Violation("worker cannot connect");
  }
  node->decider =
      std::make_unique<WorkerSession>(SessionConfig{.worker = WorkerId(index),
                                                    .incarnation = node->self.incarnation,
                                                    .job = job_,
                                                    .parameters = model_->parameters,
                                                    .units = model_->units,
                                                    .job_hash = "sim",
                                                    .host = "sim",
                                                    .retry_after = 30ms});
  for (const ParameterSpec& parameter : model_->parameters) {
    node->weights.emplace_back(parameter.element_count(), 0.0f);
  }
  workers_[index] = std::move(node);
  trace(fmt::format("start worker {}", index));
  SessionEffects out;
  workers_[index]->decider->start(network_->now(), out);
  drive(*workers_[index], session_event::Tick{});
}

void Cluster::kill_coordinator() {
  if (!coordinator_) return;
  trace("kill coordinator");
  count("coordinator killed");
  network_->kill(coordinator_->self);
  coordinator_.reset();
}

void Cluster::kill_shard(uint32_t index) {
  if (!shards_[index]) return;
  trace(fmt::format("kill shard {}", index));
  count("shard killed");
  network_->kill(shards_[index]->self);
  shards_[index].reset();
  store_->crash(ShardId(index), rng_.below(4));
}

void Cluster::kill_worker(uint32_t index) {
  if (!workers_[index]) return;
  trace(fmt::format("kill worker {}", index));
  count("worker killed");
  network_->kill(workers_[index]->self);
  workers_[index].reset();
}

// ---------------------------------------------------------------- effects

namespace {

// The process of this place if it still lives that life.
template <typename Node>
Node* living(const std::vector<std::unique_ptr<Node>>& nodes, uint32_t index, Incarnation life) {
  const bool lives = index < nodes.size() && nodes[index] && nodes[index]->self.incarnation == life;
  return lives ? nodes[index].get() : nullptr;
}

}  // namespace

// `find` gives the process, or null when that life is over.
template <typename Find>
void Cluster::wake_at(Find find, Time time) {
  Alarm& alarm = find()->alarm;
  alarm.wanted = std::max(time, network_->now());
  if (alarm.wanted >= alarm.scheduled) return;
  alarm.scheduled = alarm.wanted;
  at(alarm.wanted, [this, find] {
    auto* node = find();
    if (node == nullptr || node->alarm.scheduled > network_->now()) return;
    node->alarm.scheduled = kEndOfTime;
    const Time wanted = std::exchange(node->alarm.wanted, kEndOfTime);
    if (wanted > network_->now()) {
      if (wanted != kEndOfTime) wake_at(find, wanted);
    } else {
      drive(*node, typename std::remove_pointer_t<decltype(node)>::Due{});
    }
  });
}

// Every event a process handles passes here.
void Cluster::count_event() {
  if (instant_ != network_->now()) instant_events_ = 0;
  instant_ = network_->now();
  if (++instant_events_ > kInstantEventsMax) {
    throw Violation(fmt::format("livelock: {} events at {:.6f} s and no time passes",
                                instant_events_, to_seconds(instant_.time_since_epoch())));
  }
}

void Cluster::drive(CoordinatorNode& node, const CoordinatorEvent& event) {
  count_event();
  CoordinatorEffects effects;
  node.decider->handle(event, network_->now(), effects);
  const Incarnation life = node.self.incarnation;
  const auto alive = [this, life] {
    return coordinator_ && coordinator_->self.incarnation == life;
  };
  const std::optional<size_t> dies_after = std::exchange(coordinator_dies_after_, std::nullopt);
  if (dies_after && *dies_after < effects.size()) effects.resize(*dies_after);
  for (CoordinatorEffect& effect : effects) {
    if (auto* send = std::get_if<Send>(&effect)) {
      if (const auto* assign = std::get_if<wire::Assign>(&send->message)) check_assign(*assign);
      trace(fmt::format("coordinator -> {}: {}", to_string(send->to),
                        wire::message_name(send->message)));
      (void)node.transport->send(send->to, wire::encode(send->message));
    } else if (auto* save = std::get_if<SaveState>(&effect)) {
      saved_state_ = Buffer::copy_of(save->state.bytes());
    } else if (auto* commit = std::get_if<CommitManifest>(&effect)) {
      check_checkpoint(*commit);
      after(some(100us, 5ms), [this, alive, power = lives_, order = std::move(*commit)] {
        // A coordinator that died meanwhile had written the manifest already, or had not yet.
        if (power != lives_ || (!alive() && rng_.chance(0.5))) return;
        CheckpointManifest manifest;
        manifest.id = order.id;
        manifest.clock = order.clock;
        manifest.mode = job_.train.mode;
        manifest.lanes = job_.train.lanes;
        manifest.job_hash = "sim";
        manifest.parts = order.parts;
        const Status status = store_->commit_manifest(manifest);
        count("checkpoint committed");
        trace(fmt::format("checkpoint {} committed: {}", order.id, status.to_string()));
        if (alive()) drive(*coordinator_, ManifestCommitted{order.id});
      });
    } else if (auto* wake = std::get_if<WakeAt>(&effect)) {
      wake_at([this, alive] { return alive() ? coordinator_.get() : nullptr; }, wake->at);
    } else if (auto* row = std::get_if<MetricRow>(&effect)) {
      trace(fmt::format("evaluation {}: {} rows", row->evaluation, row->test.rows));
      count("evaluation");
      rows_.push_back(std::move(*row));
    } else if (auto* note = std::get_if<Note>(&effect)) {
      trace("coordinator: " + note->text);
    } else if (auto* finish = std::get_if<Finish>(&effect)) {
      trace("finish: " + finish->status.to_string());
      if (!finish_) finish_ = *finish;
    }
  }
}

void Cluster::drive(ShardNode& node, ShardEvent event) {
  count_event();
  ShardEffects effects;
  node.decider->handle(std::move(event), network_->now(), effects);
  const uint32_t index = node.self.index;
  const Incarnation life = node.self.incarnation;
  std::map<Peer, wire::Reply> replies;
  for (ShardEffect& effect : effects) {
    if (auto* reply = std::get_if<shard_effect::SendReply>(&effect)) {
      count(fmt::format("reply {}", wire::reply_code_name(reply->entry.code)));
      check_answer(reply->to, reply->entry);
      replies[reply->to].entries.push_back(std::move(reply->entry));
    } else if (auto* control = std::get_if<shard_effect::SendControl>(&effect)) {
      trace(fmt::format("shard {}: {}", index, wire::message_name(control->message)));
      (void)node.transport->send({Role::kCoordinator, 0, 0}, wire::encode(control->message));
    } else if (auto* wake = std::get_if<shard_effect::WakeAt>(&effect)) {
      wake_at([this, index, life] { return living(shards_, index, life); }, wake->time);
    } else if (auto* fail = std::get_if<shard_effect::Fail>(&effect)) {
      throw Violation(fmt::format("shard {} failed: {}", index, fail->status.to_string()));
    }
  }
  for (auto& [to, reply] : replies) (void)node.transport->send(to, wire::encode(std::move(reply)));
  check_shard(node);
}

void Cluster::drive(WorkerNode& node, SessionEvent event) {
  count_event();
  SessionEffects effects;
  node.decider->handle(std::move(event), network_->now(), effects);
  const uint32_t index = node.self.index;
  const Incarnation life = node.self.incarnation;
  for (SessionEffect& effect : effects) {
    if (auto* send = std::get_if<session_effect::Send>(&effect)) {
      trace(fmt::format("worker {} -> {}: {}", index, to_string(send->to),
                        wire::message_name(send->message)));
      if (auto* push = std::get_if<wire::Push>(&send->message)) {
        check_push(node.self, *push);
        if (options_.plant == Plant::kStaleGradient) make_stale(node, *push);
      }
      (void)node.transport->send(send->to, wire::encode(send->message));
    } else if (auto* connect = std::get_if<session_effect::Connect>(&effect)) {
      (void)node.transport->connect(connect->shard, connect->endpoint);
    } else if (auto* deliver = std::get_if<session_effect::DeliverWeights>(&effect)) {
      const UnitSpec& unit = model_->units[deliver->unit.value()];
      std::memcpy(node.weights[unit.parameter].data() + unit.first_element, deliver->weights.data(),
                  unit.bytes());
    } else if (auto* job = std::get_if<session_effect::Compute>(&effect)) {
      compute(node, *job);
    } else if (auto* slices = std::get_if<session_effect::EvaluateSlices>(&effect)) {
      evaluate(node, *slices);
    } else if (auto* wake = std::get_if<session_effect::WakeAt>(&effect)) {
      wake_at([this, index, life] { return living(workers_, index, life); }, wake->time);
    } else if (auto* fail = std::get_if<session_effect::Fail>(&effect)) {
      throw Violation(fmt::format("worker {} failed: {}", index, fail->status.to_string()));
    }
  }
  const size_t requests_max = 2 * model_->units.size() * (job_.train.lanes + 2);
  if (node.decider->client().in_flight_count() > requests_max) {
    throw Violation(fmt::format("worker {} has {} requests in flight, more than {}", index,
                                node.decider->client().in_flight_count(), requests_max));
  }
}

void Cluster::make_stale(WorkerNode& node, wire::Push& push) {
  for (wire::PushEntry& entry : push.entries) {
    Buffer& last = node.last_pushed[entry.unit];
    const Buffer right = entry.gradient;
    if (!last.empty() && rng_.chance(0.02)) entry.gradient = last;
    last = right;
  }
}

// The computing side of a worker: takes the weights as they are now, and hands the gradients of one
// parameter after another over, the last layer first.
void Cluster::compute(WorkerNode& node, const session_effect::Compute& job) {
  check_read(node, job);
  check_owner(node, job);
  trace(fmt::format("worker {} computes clock {}", node.self.index, job.clock));
  const uint32_t index = node.self.index;
  const Incarnation life = node.self.incarnation;
  const auto report = [this, index, life](Duration delay, SessionEvent event) {
    after(delay, [this, index, life, event = std::move(event)] {
      if (workers_[index] && workers_[index]->self.incarnation == life) {
        drive(*workers_[index], event);
      }
    });
  };
  Duration delay = some(500us, 6ms);
  double weight_sum = 0;
  for (size_t g = 0; g < job.groups.size(); ++g) {
    double push_weight = 0;
    for (LaneId lane : job.groups[g].lanes) {
      push_weight += model_->schedule.rows_at(lane, job.clock);
    }
    weight_sum += push_weight;
    for (uint32_t p = static_cast<uint32_t>(model_->parameters.size()); p-- > 0;) {
      std::vector<std::vector<float>> leaves;
      std::vector<GradientNode> nodes;
      for (LaneId lane : job.groups[g].lanes) {
        leaves.push_back(model_->gradient(lane, job.clock, p, node.weights[p], push_weight));
        nodes.push_back({lane.value(), lane.value() + 1, nullptr});
      }
      for (size_t i = 0; i < nodes.size(); ++i) {
        nodes[i].data = reinterpret_cast<const std::byte*>(leaves[i].data());
      }
      Buffer sum = Buffer::allocate(leaves[0].size() * sizeof(float));
      fold_gradients(nodes, model_->schedule.lanes(), sum.floats());
      delay += some(0us, 400us);
      report(delay, session_event::GradientReady{job.job, g, {{p, std::move(sum)}}});
    }
  }
  report(delay, session_event::ComputeDone{.job = job.job,
                                           .loss_sum = 1.0,
                                           .weight_sum = weight_sum,
                                           .load_seconds = 0,
                                           .compute_seconds = to_seconds(delay)});
}

void Cluster::evaluate(WorkerNode& node, const session_effect::EvaluateSlices& job) {
  session_event::EvaluationDone done{.job = job.job, .parts = {}, .seconds = 0};
  const uint64_t rows = job_.resolved.test_rows, lanes = job_.train.lanes;
  for (LaneId lane : job.lanes) {
    wire::EvaluationSums sums;
    sums.rows = rows * (lane.value() + 1) / lanes - rows * lane.value() / lanes;
    done.parts.emplace_back(lane, std::move(sums));
  }
  const uint32_t index = node.self.index;
  const Incarnation life = node.self.incarnation;
  after(some(200us, 2ms), [this, index, life, done = std::move(done)] {
    if (workers_[index] && workers_[index]->self.incarnation == life) {
      drive(*workers_[index], done);
    }
  });
}

// ---------------------------------------------------------------- the world turns

void Cluster::poll_network() {
  const auto decoded = [](Message message) {
    Result<wire::Any> any = wire::decode(std::move(message));
    if (!any.ok())
      throw Violation("a message of ours does not decode: " + any.status().to_string());
    return std::move(any).value();
  };
  if (coordinator_) {
    const Transport* transport = coordinator_->transport.get();
    while (coordinator_ && coordinator_->transport.get() == transport) {
      auto event = coordinator_->transport->receive(network_->now());
      if (!event) break;
      if (auto* in = std::get_if<MessageIn>(&*event)) {
        drive(*coordinator_, Received{in->from, decoded(std::move(in->message))});
      } else if (auto* down = std::get_if<PeerDown>(&*event)) {
        drive(*coordinator_, PeerLost{down->peer});
      }
    }
  }
  for (auto& shard : shards_) {
    while (shard) {
      auto event = shard->transport->receive(network_->now());
      if (!event) break;
      if (auto* in = std::get_if<MessageIn>(&*event)) {
        drive(*shard, shard_event::Received{in->from, decoded(std::move(in->message))});
      } else if (auto* down = std::get_if<PeerDown>(&*event)) {
        drive(*shard, shard_event::PeerLost{down->peer});
      }
    }
    while (shard) {
      auto event = shard->journal->poll();
      if (!event) break;
      drive(*shard, shard_event::Stored{std::move(*event)});
    }
  }
  for (auto& worker : workers_) {
    while (worker) {
      auto event = worker->transport->receive(network_->now());
      if (!event) break;
      if (auto* in = std::get_if<MessageIn>(&*event)) {
        drive(*worker, session_event::Received{in->from, decoded(std::move(in->message))});
      } else if (auto* up = std::get_if<PeerUp>(&*event)) {
        drive(*worker, session_event::PeerUp{up->peer});
      } else if (auto* down = std::get_if<PeerDown>(&*event)) {
        drive(*worker, session_event::PeerDown{down->peer});
      }
    }
  }
}

void Cluster::flush_disks() {
  for (uint32_t index = 0; index < shards_.size(); ++index) {
    if (store_->waiting(ShardId(index)) > 0) store_->flush(ShardId(index), 1 + rng_.below(4));
  }
  after(some(100us, 1500us), [this] { flush_disks(); });
}

void Cluster::step() {
  const std::optional<Time> network_next = network_->next_event();
  if (later_.empty() && !network_next) throw Violation("nothing happens any more");
  const Time own_next = later_.empty() ? kEndOfTime : later_.top().time;
  network_->advance_to(
      std::max(network_->now(), std::min(own_next, network_next.value_or(own_next))));
  while (!later_.empty() && later_.top().time <= network_->now()) {
    auto what = later_.top().what;
    later_.pop();
    what();
    poll_network();
  }
  poll_network();
  ++events_;
}

SimResult Cluster::run() {
  SimResult result;
  try {
    shards_.resize(job_.shard_count());
    workers_.resize(job_.cluster.workers);
    start_coordinator(std::nullopt);
    for (uint32_t i = 0; i < shards_.size(); ++i) start_shard(i);
    for (uint32_t i = 0; i < workers_.size(); ++i) start_worker(i);
    flush_disks();
    plan_storm();
    while (true) {
      step();
      if (events_ > kEventsMax || network_->now() > Time(120s)) {
        throw Violation("the job does not finish after the faults stopped: " +
                        (coordinator_ ? coordinator_->decider->status(network_->now()).waiting_for
                                      : std::string("no coordinator")));
      }
      if (!finish_) continue;
      if (finish_->kind == wire::EndKind::kDone) break;
      const bool in_memory = job_.checkpoint.durability == Durability::kCheckpoint;
      const bool may_fail = in_memory && (storm_ || shard_lost_);
      if (finish_->kind == wire::EndKind::kFailed && !may_fail) {
        throw Violation("the job failed: " + finish_->status.to_string());
      }
      count(finish_->kind == wire::EndKind::kStopped ? "stopped on request" : "job failed");
      power_cut();
    }
    check_end();
  } catch (const Violation& violation) {
    result.violation = violation.what();
    result.shows = violation.shows;
  }
  const SimCounters& net = network_->counters();
  count("message lost", net.lost);
  count("message repeated", net.repeated);
  count("message delayed", net.delayed);
  count("message reordered", net.reordered);
  count("message partitioned", net.partitioned);
  count("connection reset", net.resets);
  count("events", events_);
  for (const auto& worker : workers_) {
    if (worker) count("request sent again", worker->decider->client().resent());
  }
  result.counts = counts_;
  result.trace_hash = hash_numbers({trace_hash_, network_->trace_hash()});
  return result;
}

// ---------------------------------------------------------------- faults

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
