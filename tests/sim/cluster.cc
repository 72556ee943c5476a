#include "tests/sim/cluster.h"

#include <fmt/format.h>

#include <algorithm>

#include "common/base/hash.h"
#include "common/wire/codec.h"
#include "tests/sim/draw.h"
#include "tests/sim/nodes.h"

namespace ballast::sim {
namespace {

constexpr uint64_t kEventsMax = 400'000;  // far above what the longest seed needs

}  // namespace

// ---------------------------------------------------------------- processes

Cluster::Cluster(const SimOptions& options)
    : options_(options),
      rng_(hash_numbers({options.seed, static_cast<uint64_t>(options.mode)})),
      job_(draw_job(options.mode, rng_)) {
  if (options.plant == Plant::kStalenessOffByOne) job_.train.mode = Mode::kSsp;
  job_.resolved.run = fmt::format("run {}", lives_);
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

void Cluster::kill_server(uint32_t index) {
  const uint32_t each = job_.cluster.shards_per_server;
  if (each > 1) count("server with several shards killed");
  for (uint32_t shard = index * each; shard < (index + 1) * each; ++shard) kill_shard(shard);
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
      } else if (auto* up = std::get_if<PeerUp>(&*event)) {
        drive(*coordinator_, PeerBack{up->peer});
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
      } else if (auto* up = std::get_if<PeerUp>(&*event)) {
        drive(*shard, shard_event::PeerUp{up->peer});
      }
    }
    while (shard) {
      auto event = shard->journal->poll();
      if (!event) break;
      drive(*shard, shard_event::Stored{std::move(*event)});
    }
  }
  hear_intruder();
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

}  // namespace ballast::sim
