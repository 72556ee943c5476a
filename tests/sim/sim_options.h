// What one simulated run is: a mode, a seed, and perhaps a planted bug. The seed draws the rest:
// the shape of the job, the cluster, the faults.
#pragma once

#include <cstdint>
#include <map>
#include <stdexcept>
#include <string>

#include "common/config/job_config.h"

namespace ballast::sim {

// Bugs that a run must find; each is planted through a policy handed to a constructor, or between a
// process and its transport.
enum class Plant {
  kNone,
  kStalenessOffByOne,  // a reader may lead one step too many
  kRepeatApplied,      // a push that is sent again is applied again
  kStaleGradient,      // a push now and then carries the gradient of the one before
  kWrongRows,          // a push now and then names the rows of the step after it
};

struct SimOptions {
  Mode mode = Mode::kSync;
  uint64_t seed = 0;
  Plant plant = Plant::kNone;
  bool trace = false;  // print every event
};

// Something that must never be was. The message says what, where and when.
struct Violation : std::runtime_error {
  explicit Violation(const std::string& what, Plant shows_in = Plant::kNone)
      : std::runtime_error(what), shows(shows_in) {}

  Plant shows;  // the planted bug whose sign this is; kNone: no sign of any
};

// How often what happened; summed over the seeds of a run.
using Counts = std::map<std::string, uint64_t>;

struct SimResult {
  Counts counts;
  uint64_t trace_hash = 0;
  std::string violation;  // empty: none
  Plant shows = Plant::kNone;
};

}  // namespace ballast::sim
