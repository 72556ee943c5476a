#include "tests/server/coordinator/fake_world.h"

#include <utility>

namespace ballast::testing {

FakeWorld::FakeWorld(ClusterOptions wanted)
    : options(std::move(wanted)),
      schedule(options.rows, options.lanes, options.batch, options.epochs),
      random(options.seed),
      units(options.units) {
  for (uint32_t u = 0; u < options.units; ++u) placement.push_back(ShardId(u % options.shards));
}

void FakeWorld::send(const Peer& from, const Peer& to, wire::Any message) {
  const Peer& worker = from.role == Role::kWorker ? from : to;
  if (worker.role == Role::kWorker && cut_off[worker.index]) return;
  if (random.chance(options.loss)) return;
  if (random.chance(options.repeat)) net.push_back({from, to, message});
  net.push_back({from, to, std::move(message)});
}

}  // namespace ballast::testing
