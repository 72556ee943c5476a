// How long the coordinator waits for what, from the job's settings. Plain values.
#pragma once

#include <algorithm>

#include "common/base/time.h"
#include "common/config/job_config.h"

namespace ballast {

struct Patience {
  Duration tick{};   // between two repeats of an unanswered order
  Duration dead{};   // silence after which a process counts as dead
  Duration lost{};   // the same after its connection broke
  Duration stuck{};  // no progress of one step of a procedure: it is given up or the job fails
  Duration join{};   // for every process to join, and for a missing one to come back
};

[[nodiscard]] inline Patience patience_of(const ClusterConfig& cluster) {
  const auto ms = [](uint64_t count) { return Duration(std::chrono::milliseconds(count)); };
  Patience patience;
  patience.tick = std::clamp<Duration>(ms(cluster.heartbeat_ms) / 2, 1ms, 250ms);
  patience.dead = ms(cluster.dead_after_ms);
  patience.lost = std::min(patience.dead, 2 * ms(cluster.heartbeat_ms));
  patience.stuck = ms(cluster.stuck_after_ms);
  patience.join = ms(cluster.join_deadline_ms);
  return patience;
}

// "1.5 s", "20 ms", for sentences.
[[nodiscard]] std::string seconds_text(Duration duration);

}  // namespace ballast
