// What a seed draws before the run: the job with its cluster, and the weather on the network. Pure
// functions of the generator.
#pragma once

#include "common/base/random.h"
#include "common/config/job_config.h"
#include "common/net/sim_network.h"

namespace ballast::sim {

// A job of at least 20 steps, 2 shards, 3 workers and 4 lanes, different for every seed.
[[nodiscard]] JobConfig draw_job(Mode mode, Random& rng);
// 2 to 4 shards, each in a process of its own or two in each.
void draw_servers(ClusterConfig& cluster, Random& rng);
[[nodiscard]] SimFaults draw_weather(Random& rng);

}  // namespace ballast::sim
