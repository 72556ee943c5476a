// The processes of a simulated cluster: a decider each, with its transport. Private to Cluster.
#pragma once

#include "tests/sim/cluster.h"

namespace ballast::sim {

inline constexpr const char* kCoordinatorEndpoint = "sim://coordinator";

struct Cluster::CoordinatorNode {
  using Due = Tick;
  Peer self;
  Alarm alarm;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Coordinator> decider;
};

struct Cluster::ShardNode {
  using Due = shard_event::Tick;
  Peer self;
  Alarm alarm;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<Journal> journal;
  std::unique_ptr<Shard> decider;
  bool served = false;  // has been checked at least once since it serves
};

struct Cluster::WorkerNode {
  using Due = session_event::Tick;
  Peer self;
  Alarm alarm;
  std::unique_ptr<Transport> transport;
  std::unique_ptr<WorkerSession> decider;
  std::vector<std::vector<float>> weights;  // by parameter: what the computing side holds
  std::map<UnitId, Buffer> last_pushed;     // kStaleGradient
};

struct Cluster::IntruderNode {
  std::unique_ptr<Transport> transport;
  wire::Join join;

  [[nodiscard]] Peer self() const { return {join.role, join.index, join.incarnation}; }
};

}  // namespace ballast::sim
