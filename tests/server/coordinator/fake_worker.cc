#include "tests/server/coordinator/fake_worker.h"

#include <algorithm>

namespace ballast::testing {

void FakeWorker::tick() {
  if (ended) return;
  if (world.now >= next_beat) {
    next_beat = world.now + kHeartbeat;
    heartbeat();
  }
  const uint32_t slow = index < world.options.slow.size() ? world.options.slow[index] : 0;
  if (turns++ % (slow + 1) == 0) work(1 + slow);
}

void FakeWorker::join() {
  wire::Join join;
  join.index = index;
  join.incarnation = incarnation;
  join.job_hash = "hash";
  join.host = "here";
  join.process = 200 + index;
  join.arithmetic = index < world.options.arithmetic.size() ? world.options.arithmetic[index] : "";
  say(join);
}

void FakeWorker::heartbeat() {
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
    part.sums.weight_sum = 10 + lane;
    say(part);
  }
}

std::vector<wire::LaneProgress> FakeWorker::lanes_now() const {
  std::vector<wire::LaneProgress> now;
  for (const auto& [id, lane] : lanes) {
    now.push_back({LaneId(id), lane.fence, lane.number, lane.clock, lane.busy});
  }
  return now;
}

void FakeWorker::evaluate_if_due(uint32_t id, Clock before, Clock clock) {
  if (world.options.mode != Mode::kSync || !world.options.test_set) return;
  const uint64_t each = world.schedule.steps_per_epoch();
  const Clock job_steps = world.schedule.steps();
  const uint64_t last = (job_steps + each - 1) / each;
  for (uint64_t e = 1; e <= last; ++e) {
    const Clock boundary = std::min(job_steps, e * each);
    const bool due = e == last || (world.options.eval_every && e % world.options.eval_every == 0);
    if (due && before < boundary && boundary <= clock) parts.insert({e, id});
  }
}

// Sync: all lanes do their lowest step together; async: any lane that may.
void FakeWorker::work(uint32_t cost) {
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

bool FakeWorker::may_step(const Lane& lane) const {
  return lane.clock != kNever && (!lane.until || lane.clock < *lane.until) &&
         (stop_at ? lane.clock < *stop_at : !pausing);
}

// Sync: a step begins with the version of its clock in every unit.
bool FakeWorker::readable(Clock clock) const {
  return world.options.mode != Mode::kSync ||
         std::all_of(world.units.begin(), world.units.end(),
                     [&](const FakeUnit& unit) { return unit.version >= clock; });
}

FakeShard* FakeWorker::shard_of(uint32_t unit) const {
  const auto shard = shards.find(world.placement[unit].value());
  return shard == shards.end() ? nullptr : shard->second.get();
}

void FakeWorker::begin(Lane& lane) {
  lane.busy = true;
  for (uint32_t u = 0; u < world.placement.size(); ++u) lane.units.insert(u);
}

void FakeWorker::push(uint32_t id, Lane& lane, uint32_t cost) {
  for (uint32_t u : std::set<uint32_t>(lane.units)) {
    if (world.random.chance(0.3)) continue;  // not every push gets through at once
    FakeShard* shard = shard_of(u);
    if (shard == nullptr) continue;
    const auto answer = shard->push(u, id, lane.fence, lane.clock);
    if (answer == FakeShard::Answer::kFenced) {
      lanes.erase(id);
      return;
    }
    if (answer == FakeShard::Answer::kDone) lane.units.erase(u);
  }
  if (!lane.units.empty()) return;
  const uint32_t rows = world.schedule.rows_at(LaneId(id), lane.clock);
  ++steps;
  samples += rows;
  busy_seconds += 0.01 * rows * cost;
  const Clock before = lane.clock;
  lane.clock = world.schedule.present_from(LaneId(id), lane.clock + 1);
  lane.busy = false;
  evaluate_if_due(id, before, lane.clock);
}

void FakeWorker::handle(const wire::Any& any) {
  if (const auto* m = std::get_if<wire::Welcome>(&any)) welcome = m->leader > 0;
  if (const auto* m = std::get_if<wire::End>(&any)) ended = m->leader > 0;
  if (const auto* m = std::get_if<wire::BeatAnswer>(&any)) {
    if (m->view > view || m->leader > answered) join();
    answered = std::max(answered, m->leader);
  }
  if (const auto* m = std::get_if<wire::View>(&any)) view = std::max(view, m->number);
  if (const auto* m = std::get_if<wire::Assign>(&any); m && m->leader >= leader) {
    leader = m->leader;
    for (const wire::LaneAssignment& lane : m->lanes) assign(lane);
  }
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
  if (const auto* m = std::get_if<wire::EvalAck>(&any)) {
    parts.erase({m->evaluation, m->lane.value()});
  }
}

void FakeWorker::assign(const wire::LaneAssignment& m) {
  const uint32_t id = m.lane.value();
  if (!numbers.contains(id) || numbers[id] < m.number) {
    numbers[id] = m.number;
    lanes[id] = Lane();
    lanes[id].clock = world.schedule.present_from(m.lane, m.start);
    lanes[id].fence = m.fence;
    lanes[id].number = m.number;
    // What ends exactly at the start may not have been evaluated by whoever came before.
    if (m.start > 0) evaluate_if_due(id, m.start - 1, m.start);
  }
  say(wire::Assigned{WorkerId(index), m.lane, m.number});
}

void FakeWorker::hand_over(const wire::Handover& m) {
  const auto it = lanes.find(m.lane.value());
  if (m.leader < leader || it == lanes.end()) return;
  Lane& lane = it->second;
  if (lane.fence != m.fence || lane.number != m.number) return;
  if (!lane.until) {
    lane.until = std::max(m.clock, lane.clock == kNever ? kNever : lane.clock + lane.busy);
  }
  wire::Handing handing;
  handing.worker = WorkerId(index);
  handing.lane = m.lane;
  handing.fence = m.fence;
  handing.number = m.number;
  handing.clock = *lane.until;
  handing.done = lane.clock >= *lane.until && !lane.busy;
  say(handing);
}

}  // namespace ballast::testing
