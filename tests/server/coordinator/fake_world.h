// FakeWorld: what the imitated shards and workers of a FakeCluster share: the job, the time, the
// units as they lie on disk, one source of chance, and a network that loses and repeats.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "server/coordinator/coordinator.h"

namespace ballast::testing {

inline constexpr Duration kHeartbeat = 50ms;
inline const Peer kCoordinator{Role::kCoordinator, 0, 1};

struct ClusterOptions {
  Mode mode = Mode::kSync;
  uint32_t shards = 2;
  uint32_t workers = 2;
  uint32_t lanes = 4;
  uint64_t rows = 37;  // of an epoch
  uint32_t batch = 8;
  uint32_t epochs = 3;
  uint32_t units = 5;
  uint64_t checkpoint_every = 4;
  uint32_t eval_every = 1;
  bool test_set = true;
  Durability durability = Durability::kCheckpoint;
  uint64_t seed = 1;
  double loss = 0;    // chance that a message is lost
  double repeat = 0;  // or comes twice
  bool reorder = false;
  std::vector<uint32_t> slow;           // by worker: steps it skips for one it does
  std::vector<std::string> arithmetic;  // by worker: what it says it computes with
};

// The units' durable part: survives the shard when its journal does.
struct FakeUnit {
  Version version = 0;
  std::vector<Clock> marks;
  std::set<uint32_t> slots;  // sync: lanes whose push for `version` is here
};

struct InFlight {
  Peer from;
  Peer to;
  wire::Any message;
};

struct FakeWorld {
  explicit FakeWorld(ClusterOptions wanted);

  // Puts a message on the network, or loses it, or puts it there twice.
  void send(const Peer& from, const Peer& to, wire::Any message);

  const ClusterOptions options;
  const LaneSchedule schedule;
  std::vector<ShardId> placement;  // by unit
  Random random;
  Time now{Duration(1s)};
  std::vector<FakeUnit> units;
  std::vector<InFlight> net;
  std::map<uint32_t, bool> cut_off;  // workers
  std::string violation;             // what broke a rule of the protocol; empty: nothing
};

}  // namespace ballast::testing
