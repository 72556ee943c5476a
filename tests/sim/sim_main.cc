// ballast-sim: runs the whole cluster from seeds and says what happened how often.
//
//   ballast-sim --mode sync|ssp|async|all [--seeds N] [--first K]     500 seeds a mode by default
//   ballast-sim --mode ssp --seed 4417 --trace                        one seed, every event
//   ballast-sim --plant staleness|repeat|gradient         must find the bug within 200 seeds
//
// The last line but one is a hash of the traces of all runs: the same arguments give the same line
// in every process. Exit code 0: no violation, every counted thing happened, and every tenth seed
// had the same trace twice. With --plant: 0 when it was found, by a violation that is its sign. 2:
// wrong arguments.
#include <fmt/format.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "tests/sim/cluster.h"

namespace ballast::sim {
namespace {

// What a run over all modes must have seen at least once. `moved` and `rewound` are reserved
// replies.
const std::vector<std::string> kMustHappen = {"reply closed",
                                              "step computed ahead of answers",
                                              "reply applied",
                                              "reply already",
                                              "reply split",
                                              "reply early",
                                              "reply weights",
                                              "reply passed",
                                              "reply fenced",
                                              "reply busy",
                                              "worker killed",
                                              "shard killed",
                                              "coordinator killed",
                                              "coordinator killed between effects",
                                              "shard lost for good",
                                              "job failed",
                                              "power cut",
                                              "stop requested",
                                              "stopped on request",
                                              "resumed from a checkpoint",
                                              "checkpoint committed",
                                              "damaged checkpoint passed over",
                                              "server with several shards killed",
                                              "join refused",
                                              "job cut short by max_steps",
                                              "long evaluation",
                                              "lane move asked",
                                              "evaluation",
                                              "fingerprint checked",
                                              "early push parked",
                                              "held",
                                              "message lost",
                                              "message repeated",
                                              "message delayed",
                                              "message reordered",
                                              "message partitioned",
                                              "connection reset",
                                              "request sent again"};

struct Arguments {
  std::vector<Mode> modes;
  uint64_t first = 0;
  uint64_t seeds = 500;
  bool one = false;
  bool trace = false;
  Plant plant = Plant::kNone;
};

const char* mode_name(Mode mode) {
  return mode == Mode::kSync ? "sync" : mode == Mode::kSsp ? "ssp" : "async";
}

void report(Mode mode, uint64_t seed, const std::string& violation) {
  fmt::print("VIOLATION mode={} seed={}: {}\n  replay: ballast-sim --mode {} --seed {} --trace\n",
             mode_name(mode), seed, violation, mode_name(mode), seed);
  std::fflush(stdout);  // also when the run is cut off
}

int run_plant(const Arguments& arguments) {
  const Mode mode = arguments.plant == Plant::kStalenessOffByOne ? Mode::kSsp : Mode::kAsync;
  for (uint64_t seed = arguments.first; seed < arguments.first + 200; ++seed) {
    const SimResult result = Cluster({.mode = mode, .seed = seed, .plant = arguments.plant}).run();
    if (result.violation.empty()) continue;
    const bool found = result.shows == arguments.plant;
    fmt::print("{} at seed {}: {}\n", found ? "planted bug found" : "VIOLATION of another rule",
               seed, result.violation);
    return found ? 0 : 1;
  }
  fmt::print("planted bug not found in 200 seeds\n");
  return 1;
}

// "report: " lines are repeated on the screen by tests/run.
void print_counts(const Counts& counts) {
  std::string line;
  for (const auto& [what, times] : counts) {
    std::string item = fmt::format("{} {}", what, times);
    if (!line.empty() && line.size() + item.size() > 90) {
      fmt::print("report: {}\n", line);
      line.clear();
    }
    line += (line.empty() ? "" : ", ") + item;
  }
  fmt::print("report: {}\n", line);
}

int run(const Arguments& arguments) {
  Counts total;
  uint64_t traces = 0;
  uint64_t violations = 0;
  for (Mode mode : arguments.modes) {
    for (uint64_t seed = arguments.first; seed < arguments.first + arguments.seeds; ++seed) {
      const SimOptions options{.mode = mode, .seed = seed, .trace = arguments.trace};
      const SimResult result = Cluster(options).run();
      for (const auto& [what, times] : result.counts) total[what] += times;
      traces = hash_numbers({traces, result.trace_hash});
      if (!result.violation.empty()) {
        ++violations;
        report(mode, seed, result.violation);
      } else if (seed % 10 == 0 && Cluster(options).run().trace_hash != result.trace_hash) {
        ++violations;
        report(mode, seed, "two runs of the same seed have different traces");
      }
    }
  }
  print_counts(total);
  uint64_t never = 0;
  if (!arguments.one && arguments.modes.size() == 3) {
    for (const std::string& what : kMustHappen) {
      if (total[what] > 0) continue;
      ++never;
      fmt::print("NEVER happened: {}\n", what);
    }
  }
  fmt::print("report: traces {}\n", hex64(traces));
  fmt::print("report: {} seeds a mode, {} violations, {} things never happened\n", arguments.seeds,
             violations, never);
  return violations + never == 0 ? 0 : 1;
}

int usage() {
  fmt::print(stderr,
             "usage: ballast-sim --mode sync|ssp|async|all [--seeds N] [--first K] [--seed K]"
             " [--trace] [--plant staleness|repeat|gradient|rows]\n");
  return 2;
}

bool read_number(std::string_view text, uint64_t least, uint64_t& number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number >= least;
}

int main(int argc, char** argv) {
  Arguments arguments;
  std::string mode = "all";
  for (int i = 1; i < argc; ++i) {
    const std::string key = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : nullptr;
    if (key == "--trace") {
      arguments.trace = true;
      continue;
    }
    if (value == nullptr) return usage();
    ++i;
    if (key == "--mode") {
      mode = value;
    } else if (key == "--seeds") {
      if (!read_number(value, 1, arguments.seeds)) return usage();
    } else if (key == "--first") {
      if (!read_number(value, 0, arguments.first)) return usage();
    } else if (key == "--seed") {
      if (!read_number(value, 0, arguments.first)) return usage();
      arguments.seeds = 1;
      arguments.one = true;
    } else if (key == "--plant" && std::strcmp(value, "staleness") == 0) {
      arguments.plant = Plant::kStalenessOffByOne;
    } else if (key == "--plant" && std::strcmp(value, "repeat") == 0) {
      arguments.plant = Plant::kRepeatApplied;
    } else if (key == "--plant" && std::strcmp(value, "gradient") == 0) {
      arguments.plant = Plant::kStaleGradient;
    } else if (key == "--plant" && std::strcmp(value, "rows") == 0) {
      arguments.plant = Plant::kWrongRows;
    } else {
      return usage();
    }
  }
  if (mode == "sync" || mode == "all") arguments.modes.push_back(Mode::kSync);
  if (mode == "ssp" || mode == "all") arguments.modes.push_back(Mode::kSsp);
  if (mode == "async" || mode == "all") arguments.modes.push_back(Mode::kAsync);
  if (arguments.modes.empty()) return usage();
  return arguments.plant == Plant::kNone ? run(arguments) : run_plant(arguments);
}

}  // namespace
}  // namespace ballast::sim

int main(int argc, char** argv) {
  return ballast::sim::main(argc, argv);
}
