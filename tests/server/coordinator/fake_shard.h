// FakeShard: keeps a shard's side of the protocol (fences, marks, slots, leaders, parts) over the
// units of a FakeWorld; holds no weights. A broken rule becomes the world's violation.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "tests/server/coordinator/fake_world.h"

namespace ballast::testing {

struct FakeShard {
  // `world_in` outlives the shard; the cluster owns both.
  FakeShard(FakeWorld& world_in, uint32_t index_in, Incarnation life, bool journal_in)
      : world(world_in), index(index_in), incarnation(life), journal(journal_in) {}

  // kDone: applied, also when it was here already. kLater: ask again.
  enum class Answer { kDone, kLater, kFenced };

  void tick();
  void handle(const wire::Any& any);
  Answer push(uint32_t u, uint32_t lane, Fence fence, Clock clock);
  [[nodiscard]] Peer self() const { return {Role::kServer, index, incarnation}; }
  [[nodiscard]] std::vector<uint32_t> own() const;  // units placed here

  void say(wire::Any message) { world.send(self(), kCoordinator, std::move(message)); }
  void join();
  void done(uint64_t checkpoint);
  void load(const wire::Load& m);
  void store(const std::vector<Fence>& higher);
  void fence(const wire::FenceOrder& m);
  Answer push_sync(FakeUnit& unit, uint32_t lane, Clock clock);
  Answer push_async(FakeUnit& unit, uint32_t lane, Clock clock);
  void cut_if_due();

  FakeWorld& world;
  const uint32_t index;
  const Incarnation incarnation;
  const bool journal;
  bool welcome = false;
  bool loaded = false;
  bool ended = false;
  uint64_t leader = 0;
  uint64_t beat = 0;
  uint64_t cut = 0;
  std::vector<Fence> fences;
  Time next_beat{};
};

using FakeShards = std::map<uint32_t, std::unique_ptr<FakeShard>>;  // those that live, by index

}  // namespace ballast::testing
