// SilenceLimit: how long a shard or a worker goes on while it hears nothing, and what it says when
// it gives up. cluster.join_deadline_ms until its welcome, cluster.stuck_after_ms from then on.
// Value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/base/silence.h"
#include "common/base/status.h"
#include "common/config/job_config.h"

namespace ballast {

class SilenceLimit {
 public:
  SilenceLimit(const ClusterConfig& cluster, bool welcomed)
      : key_(welcomed ? "stuck_after_ms" : "join_deadline_ms"),
        most_ms_(welcomed ? cluster.stuck_after_ms : cluster.join_deadline_ms) {}

  [[nodiscard]] bool is_reached(const Silence& silence) const {
    return silence.lasted() >= std::chrono::milliseconds(most_ms_);
  }
  // kDeadline. `silent`: who heard nothing of whom; `waiting_for`: what would have ended it.
  [[nodiscard]] Status status(const Silence& silence, const std::string& silent,
                              const std::string& waiting_for) const;

 private:
  std::string_view key_;
  uint64_t most_ms_;
};

}  // namespace ballast
