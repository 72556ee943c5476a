// What must hold after every event, at every read, answer, order and commit, and at the end.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "common/base/hash.h"
#include "tests/sim/nodes.h"

namespace ballast::sim {

void Cluster::forget_history() {
  const size_t units = model_->units.size();
  marks_.assign(units, std::vector<Clock>(job_.train.lanes, 0));
  promised_ = marks_;
  states_.assign(units, {});
  asked_.clear();
  applied_.clear();
  given_.assign(job_.train.lanes, 0);
  computed_.clear();
}

// After every event of a shard.
void Cluster::check_shard(ShardNode& node) {
  if (!node.decider->serving()) return;
  for (const Unit* unit : node.decider->units()) {
    check_unit(node, *unit);
    check_room(*unit);
    marks_[unit->id().value()] = unit->marks();
    states_[unit->id().value()][xxh3(unit->weights().current().bytes())] = unit->marks();
  }
  node.served = true;
}

void Cluster::check_unit(const ShardNode& node, const Unit& unit) {
  const uint32_t id = unit.id().value();
  const UnitSpec& spec = model_->units[id];
  const std::vector<Clock> marks = unit.marks();
  double samples = 0;
  for (uint32_t lane = 0; lane < marks.size(); ++lane) {
    if (marks[lane] < promised_[id][lane]) {
      throw Violation(fmt::format("unit {} has lane {} at {}, although {} was acknowledged", id,
                                  lane, marks[lane], promised_[id][lane]));
    }
    if (node.served && marks[lane] < marks_[id][lane]) {
      throw Violation(fmt::format("the mark of lane {} at unit {} falls from {} to {}", lane, id,
                                  marks_[id][lane], marks[lane]));
    }
    for (Clock t = 0; t < std::min<Clock>(marks[lane], model_->schedule.steps()); ++t) {
      samples += model_->schedule.samples_of(LaneId(lane), t);
    }
  }
  if (samples != unit.weights().samples_applied()) {
    throw Violation(fmt::format("unit {} applied {} samples, its marks say {}", id,
                                unit.weights().samples_applied(), samples),
                    Plant::kRepeatApplied);
  }
  if (samples != unit.weights().weight_applied()) {  // each weighs 1 here
    throw Violation(fmt::format("unit {} applied a weight of {}, its marks say {}", id,
                                unit.weights().weight_applied(), samples),
                    Plant::kRepeatApplied);
  }
  check_ledger(unit, marks);
  if (model_->has_fingerprints()) check_fingerprint(unit, marks);
  if (options_.mode != Mode::kSync) return;
  const auto& expected = reference_[spec.parameter].at(unit.version());
  if (std::memcmp(unit.weights().current().data(), expected.data() + spec.first_element,
                  spec.bytes()) != 0) {
    throw Violation(
        fmt::format("unit {} version {} has other bits than the reference", id, unit.version()));
  }
}

// The ledger of each lane names the rows of the steps below its mark, each once, and no other.
void Cluster::check_ledger(const Unit& unit, const std::vector<Clock>& marks) {
  for (uint32_t lane = 0; lane < marks.size(); ++lane) {
    uint64_t expected = 0;
    for (Clock t = 0; t < std::min<Clock>(marks[lane], model_->schedule.steps()); ++t) {
      if (!model_->schedule.present(LaneId(lane), t)) continue;
      expected += model_->rows_hash(LaneId(lane), t);
    }
    if (unit.ledger().at(lane) == expected) continue;
    throw Violation(fmt::format("unit {} has other rows in the ledger of lane {} than those below "
                                "its mark {}",
                                unit.id().value(), lane, marks[lane]),
                    Plant::kWrongRows);
  }
}

// Async, ssp: the weights hold the gradient of every step below the marks, each once, and no other.
void Cluster::check_fingerprint(const Unit& unit, const std::vector<Clock>& marks) {
  // Each update rounds by half a unit in the last place of a sum that stays below 2^20.
  constexpr double kRounding = 4;
  const UnitSpec& spec = model_->units[unit.id().value()];
  const auto* weights = reinterpret_cast<const float*>(unit.weights().current().data());
  for (uint64_t i = 0; i < spec.element_count; ++i) {
    const double expected = model_->expected(spec.parameter, spec.first_element + i, marks);
    if (std::abs(weights[i] - expected) <= kRounding) continue;
    throw Violation(
        fmt::format("element {} of unit {} is {}, the gradients below its marks make {}", i,
                    spec.id.value(), weights[i], expected),
        Plant::kStaleGradient);
  }
  count("fingerprint checked");
}

// Every queue within its limit, at most two versions.
void Cluster::check_room(const Unit& unit) const {
  const UnitOccupancy now = unit.occupancy();
  const size_t lanes = job_.train.lanes;
  // In a step a lane is in flight once for its owner and perhaps once more for an owner that was
  // fenced and whose connection still stands; a task may be sent again after a split.
  const size_t pushes_max = lanes * (workers_.size() + 1);
  const size_t parked_max = parked_max_of(job_);
  const size_t reads_max = options_.seed % 4 == 0 ? 1 : 2 * workers_.size() * (lanes + 1);
  if (now.versions > 2 || now.pushes > pushes_max || now.parked > parked_max ||
      now.reads > reads_max || now.snapshots > 1) {
    throw Violation(
        fmt::format("unit {} keeps {} versions, {} pushes, {} parked, {} reads, {} "
                    "snapshots: at most 2, {}, {}, {}, 1",
                    unit.id().value(), now.versions, now.pushes, now.parked, now.reads,
                    now.snapshots, pushes_max, parked_max, reads_max));
  }
  if (unit.counters().malformed > 0) throw Violation("a push of ours was malformed");
}

// Bounded staleness: every update older than the bound is in the weights that the step computes
// from, whatever the unit or the session believe.
void Cluster::check_read(const WorkerNode& node, const session_effect::Compute& job) {
  if (job_.train.mode == Mode::kAsync) return;
  const Clock allowed = job_.train.mode == Mode::kSync ? 0 : job_.train.staleness;
  const Clock bound = job.clock - std::min<Clock>(job.clock, allowed);
  for (const UnitSpec& unit : model_->units) {
    const auto* first = node.weights[unit.parameter].data() + unit.first_element;
    const auto bytes = std::as_bytes(std::span(first, unit.element_count));
    const auto state = states_[unit.id.value()].find(xxh3(bytes));
    if (state == states_[unit.id.value()].end()) {
      count("read between two updates");  // parked pushes followed within one event
      continue;
    }
    for (uint32_t lane = 0; lane < job_.train.lanes; ++lane) {
      const Clock mark = state->second[lane];
      if (mark >= bound && (job_.train.mode != Mode::kSync || mark == job.clock)) continue;
      throw Violation(
          fmt::format("worker {} computes clock {} from weights of unit {} with lane {} at {} "
                      "(staleness {})",
                      node.self.index, job.clock, unit.id.value(), lane, mark, allowed),
          Plant::kStalenessOffByOne);
    }
  }
}

// A lane has one owner under one fence, or two that share its clocks at a planned move.
void Cluster::check_owner(const WorkerNode& node, const session_effect::Compute& job) {
  const std::vector<wire::LaneProgress> lanes = node.decider->progress(network_->now()).lanes;
  for (const LaneGroup& group : job.groups) {
    for (LaneId lane : group.lanes) {
      for (const wire::LaneProgress& mine : lanes) {
        if (mine.lane != lane) continue;
        count("step computed ahead of answers", mine.clock < job.clock);
        const auto [first, fresh] = computed_.try_emplace({lane, mine.fence, job.clock}, node.self);
        if (first->second == node.self) continue;
        throw Violation(fmt::format("{} and {} both compute lane {} at clock {} under fence {}",
                                    to_string(first->second), to_string(node.self), lane.value(),
                                    job.clock, mine.fence));
      }
    }
  }
}

// A push names its lanes and their fences; the answer only its sequence.
void Cluster::check_push(const Peer& worker, const wire::Push& push) {
  for (const wire::PushEntry& entry : push.entries) {
    asked_[{worker, entry.sequence}] = entry.lanes;
  }
}

// Acknowledged means durable, a step of a lane is applied once, and none under a fence that is
// over.
void Cluster::check_answer(const Peer& worker, const wire::ReplyEntry& entry) {
  const bool applied =
      entry.code == wire::ReplyCode::kClosed || entry.code == wire::ReplyCode::kApplied;
  if (!applied && entry.code != wire::ReplyCode::kAlready) return;
  const auto asked = asked_.find({worker, entry.sequence});
  if (asked == asked_.end()) throw Violation("an answer to a push that nobody sent");
  for (const wire::LaneStamp& stamp : asked->second) {
    const uint32_t lane = stamp.lane.value();
    Clock& promised = promised_[entry.unit.value()][lane];
    promised = std::max(promised, stamp.clock + 1);
    if (applied && stamp.fence < given_[lane]) {
      throw Violation(fmt::format("unit {} took clock {} of lane {} under fence {}, in force is {}",
                                  entry.unit.value(), stamp.clock, lane, stamp.fence,
                                  given_[lane]));
    }
    if (entry.code != wire::ReplyCode::kApplied) continue;
    if (!applied_.insert({entry.unit, stamp.lane, stamp.clock}).second) {
      throw Violation(fmt::format("unit {} applied clock {} of lane {} twice", entry.unit.value(),
                                  stamp.clock, lane),
                      Plant::kRepeatApplied);
    }
  }
}

// A lane that was taken away starts again at the least of its marks.
void Cluster::check_assignment(const wire::LaneAssignment& assign) {
  Fence& given = given_[assign.lane.value()];
  if (assign.fence < given) throw Violation("a lane is given away under a fence that is over");
  if (assign.fence == given) return;  // repeated, or a planned move
  given = assign.fence;
  Clock least = kNever;
  for (const auto& marks : marks_) least = std::min(least, marks[assign.lane.value()]);
  if (assign.start <= least) return;
  throw Violation(fmt::format("lane {} is given away from clock {}, but its least mark is {}",
                              assign.lane.value(), assign.start, least));
}

// Sync: one exact cut; every mode: each unit once.
void Cluster::check_checkpoint(const CommitManifest& checkpoint) {
  std::set<UnitId> units;
  size_t ledgers = 0;
  for (const CheckpointPart& part : checkpoint.parts) {
    ledgers += !part.ledger.empty();
    for (const CheckpointEntry& entry : part.entries) {
      if (!units.insert(entry.unit).second) throw Violation("a checkpoint has a unit twice");
      if (job_.train.mode != Mode::kSync || entry.version == checkpoint.clock) continue;
      throw Violation(fmt::format("checkpoint {} of clock {} has unit {} at version {}",
                                  checkpoint.id, checkpoint.clock, entry.unit.value(),
                                  entry.version));
    }
  }
  if (units.size() != model_->units.size()) throw Violation("a checkpoint lacks units");
  if (ledgers != 1) throw Violation("a checkpoint has no order ledger, or two");
}

void Cluster::check_end() {
  if (job_.train.max_steps > 0 && model_->schedule.steps() == job_.train.max_steps) {
    count("job cut short by max_steps");
  }
  for (const auto& shard : shards_) {
    if (!shard) continue;
    for (const Unit* unit : shard->decider->units()) {
      count("held", unit->counters().held);
      count("early push parked", unit->counters().parked);
      for (Clock mark : unit->marks()) {
        if (mark < model_->schedule.steps()) {
          throw Violation(fmt::format("the job is done, but unit {} is at {} of {}",
                                      unit->id().value(), mark, model_->schedule.steps()));
        }
      }
    }
  }
  if (job_.resolved.test_rows == 0) return;
  for (const MetricRow& row : rows_) count("evaluation without a slice", !row.missing.empty());
  if (rows_.empty() || !rows_.back().final) throw Violation("the final evaluation is missing");
  if (rows_.back().test.rows != job_.resolved.test_rows && rows_.back().missing.empty()) {
    throw Violation(fmt::format("the final evaluation has {} rows of {}", rows_.back().test.rows,
                                job_.resolved.test_rows));
  }
}

}  // namespace ballast::sim
