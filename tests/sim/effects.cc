// How the world carries out what its processes want: messages, orders, computations, timers.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "common/wire/codec.h"
#include "tests/sim/nodes.h"

namespace ballast::sim {
namespace {

// At one instant of virtual time: more is a livelock, because no time passes.
constexpr uint64_t kInstantEventsMax = 2'000;

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
      if (const auto* assign = std::get_if<wire::Assign>(&send->message)) {
        for (const wire::LaneAssignment& lane : assign->lanes) check_assignment(lane);
      }
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
        if (options_.plant == Plant::kWrongRows) name_wrong_rows(*push);
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
  const size_t requests_max =
      2 * model_->units.size() * (job_.train.lanes + 1 + job_.train.steps_in_flight);
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

void Cluster::name_wrong_rows(wire::Push& push) {
  for (wire::PushEntry& entry : push.entries) {
    wire::LaneStamp& stamp = entry.lanes.front();
    if (rng_.chance(0.02)) stamp.rows_hash = model_->rows_hash(stamp.lane, stamp.clock + 1);
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
    std::vector<double> lane_weights;
    std::vector<uint64_t> rows_hashes;
    for (LaneId lane : job.groups[g].lanes) {
      lane_weights.push_back(model_->schedule.samples_of(lane, job.clock));
      push_weight += lane_weights.back();
      rows_hashes.push_back(model_->rows_hash(lane, job.clock));
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
      report(delay, session_event::GradientReady{
                        job.job, g, {{p, std::move(sum)}}, lane_weights, rows_hashes});
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
  const auto report = [this, index, life](Duration delay, SessionEvent event) {
    after(delay, [this, index, life, event = std::move(event)] {
      if (auto* alive = living(workers_, index, life)) drive(*alive, event);
    });
  };
  Duration duration = some(200us, 2ms);
  if (rng_.chance(0.1)) {  // longer than a worker may be silent, and perhaps stuck
    count("long evaluation");
    duration = some(100ms, 1200ms);
  }
  for (Duration batch = 10ms; batch < duration; batch += 10ms) {
    report(batch, session_event::Beat{});
  }
  report(duration, std::move(done));
}

}  // namespace ballast::sim
