#include "tests/server/coordinator/fake_shard.h"

#include <fmt/format.h>

#include <algorithm>

namespace ballast::testing {

std::vector<uint32_t> FakeShard::own() const {
  std::vector<uint32_t> units;
  for (uint32_t u = 0; u < world.placement.size(); ++u) {
    if (world.placement[u].value() == index) units.push_back(u);
  }
  return units;
}

void FakeShard::tick() {
  if (ended || world.now < next_beat) return;
  next_beat = world.now + kHeartbeat;
  if (!welcome || !loaded) join();
  wire::ShardProgress progress;
  progress.shard = ShardId(index);
  progress.incarnation = incarnation;
  progress.beat = ++beat;
  progress.version_min = loaded && !own().empty() ? world.units[own().front()].version : 0;
  say(progress);
}

void FakeShard::join() {
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

void FakeShard::handle(const wire::Any& any) {
  if (const auto* m = std::get_if<wire::Welcome>(&any)) welcome = m->leader > 0;
  if (const auto* m = std::get_if<wire::End>(&any)) ended = m->leader > 0;
  if (const auto* m = std::get_if<wire::Load>(&any)) load(*m);
  if (const auto* m = std::get_if<wire::FenceOrder>(&any)) fence(*m);
  if (const auto* m = std::get_if<wire::TakeSnapshot>(&any); m && loaded) {
    say(wire::SnapshotTaken{ShardId(index), m->snapshot});
  }
  if (const auto* m = std::get_if<wire::CheckpointOrder>(&any); m && loaded) done(m->checkpoint);
}

void FakeShard::done(uint64_t checkpoint) {
  wire::PartDone part;
  part.shard = ShardId(index);
  part.checkpoint = checkpoint;
  part.part.shard = index;
  part.part.file = part_file_name(index);
  part.part.xxh3 = part_xxh3({});
  say(part);
  if (world.options.mode != Mode::kSync) return;
  for (uint32_t u : own()) {
    if (world.units[u].version < checkpoint) {
      world.violation =
          fmt::format("checkpoint {} of a unit at {}", checkpoint, world.units[u].version);
    }
  }
}

void FakeShard::load(const wire::Load& m) {
  if (m.leader < leader || m.incarnation != incarnation) return;
  leader = m.leader;
  if (!loaded && m.source != wire::LoadSource::kJournal) {
    const Clock start = m.source == wire::LoadSource::kCheckpoint ? m.checkpoint : 0;
    for (uint32_t u : own()) {
      FakeUnit& unit = world.units[u];
      unit = FakeUnit();
      unit.version = start;
      for (uint32_t l = 0; l < world.options.lanes; ++l) {
        unit.marks.push_back(world.schedule.present_from(LaneId(l), start));
      }
    }
  }
  loaded = true;
  store(m.fences);
  say(wire::Loaded{ShardId(index), incarnation, 0});
}

void FakeShard::store(const std::vector<Fence>& higher) {
  if (fences.empty()) fences.resize(higher.size(), 0);
  for (size_t l = 0; l < higher.size(); ++l) fences[l] = std::max(fences[l], higher[l]);
}

void FakeShard::fence(const wire::FenceOrder& m) {
  if (m.leader < leader || !loaded) return;
  leader = m.leader;
  store(m.fences);
  wire::FenceMarks marks;
  marks.shard = ShardId(index);
  marks.incarnation = incarnation;
  marks.fences = fences;
  for (uint32_t u : own()) {
    const FakeUnit& unit = world.units[u];
    wire::UnitMarks row{UnitId(u), 0, unit.version, unit.marks};
    if (world.options.mode == Mode::kSync) row.marks.assign(fences.size(), unit.version);
    marks.units.push_back(std::move(row));
  }
  say(marks);
}

FakeShard::Answer FakeShard::push(uint32_t u, uint32_t lane, Fence fence, Clock clock) {
  if (!loaded || ended) return Answer::kLater;
  if (fence > fences[lane]) world.violation = "a fence the shard was never told";
  if (fence < fences[lane]) return Answer::kFenced;
  FakeUnit& unit = world.units[u];
  return world.options.mode == Mode::kSync ? push_sync(unit, lane, clock)
                                           : push_async(unit, lane, clock);
}

FakeShard::Answer FakeShard::push_sync(FakeUnit& unit, uint32_t lane, Clock clock) {
  if (clock < unit.version) return Answer::kDone;
  if (clock > unit.version) {
    world.violation = fmt::format("push of step {} at version {}", clock, unit.version);
    return Answer::kLater;
  }
  unit.slots.insert(lane);
  for (uint32_t l = 0; l < world.options.lanes; ++l) {
    if (world.schedule.present(LaneId(l), clock) && !unit.slots.contains(l)) {
      return Answer::kLater;
    }
  }
  unit.slots.clear();
  ++unit.version;
  cut_if_due();
  return Answer::kDone;
}

FakeShard::Answer FakeShard::push_async(FakeUnit& unit, uint32_t lane, Clock clock) {
  if (unit.marks[lane] > clock) return Answer::kDone;
  if (unit.marks[lane] < clock) return Answer::kLater;  // early
  unit.marks[lane] = world.schedule.present_from(LaneId(lane), clock + 1);
  ++unit.version;
  return Answer::kDone;
}

void FakeShard::cut_if_due() {
  const uint64_t every = world.options.checkpoint_every;
  if (every == 0) return;
  Version least = ~Version{0};
  for (uint32_t u : own()) least = std::min(least, world.units[u].version);
  if (least % every != 0 || least == cut) return;
  cut = least;
  done(least);
}

}  // namespace ballast::testing
