// FakeWorker: keeps a worker's side of the protocol (lanes, numbers, handovers, evaluations) and
// pushes its steps straight to the FakeShards; computes nothing. Some pushes fail, by chance.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "tests/server/coordinator/fake_shard.h"
#include "tests/server/coordinator/fake_world.h"

namespace ballast::testing {

struct FakeWorker {
  // `world_in` and `shards_in` outlive the worker; the cluster owns all three.
  FakeWorker(FakeWorld& world_in, const FakeShards& shards_in, uint32_t index_in, Incarnation life)
      : world(world_in), shards(shards_in), index(index_in), incarnation(life) {}

  struct Lane {
    Clock clock = 0;
    Fence fence = 0;
    uint64_t number = 0;
    std::optional<Clock> until;
    bool busy = false;
    std::set<uint32_t> units;  // of the step in flight, not yet answered
  };

  void tick();
  void handle(const wire::Any& any);
  [[nodiscard]] Peer self() const { return {Role::kWorker, index, incarnation}; }

  void say(wire::Any message) { world.send(self(), kCoordinator, std::move(message)); }
  void join();
  void heartbeat();
  [[nodiscard]] std::vector<wire::LaneProgress> lanes_now() const;
  void evaluate_if_due(uint32_t id, Clock before, Clock clock);
  void work(uint32_t cost);
  [[nodiscard]] bool may_step(const Lane& lane) const;
  [[nodiscard]] bool readable(Clock clock) const;
  [[nodiscard]] FakeShard* shard_of(uint32_t unit) const;
  void begin(Lane& lane);
  void push(uint32_t id, Lane& lane, uint32_t cost);
  void assign(const wire::LaneAssignment& m);
  void hand_over(const wire::Handover& m);

  FakeWorld& world;
  const FakeShards& shards;
  const uint32_t index;
  const Incarnation incarnation;
  bool welcome = false;
  bool ended = false;
  bool pausing = false;
  std::optional<Clock> stop_at;
  uint64_t leader = 0;
  uint64_t answered = 0;  // by which leader
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
};

}  // namespace ballast::testing
