// Alternate: times contenders in turn, round by round, in one run, so that a machine that slows
// down slows all of them; reports medians and the median absolute deviation (MAD). Processor time
// of all threads stands beside wall time: on a busy machine it is the steadier of the two.
#pragma once

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "common/base/time.h"

namespace ballast::bench {

struct Contender {
  std::string name;
  std::function<void()> block;         // the work of one measurement
  std::function<void()> prepare = {};  // before each, untimed
};

struct Timing {
  std::string name;
  double median_seconds = 0;
  double mad_seconds = 0;
  double processor_seconds = 0;  // median
};

inline double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

inline double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

inline std::vector<Timing> alternate(const std::vector<Contender>& contenders, int rounds) {
  std::vector<std::vector<double>> seconds(contenders.size());
  std::vector<std::vector<double>> used(contenders.size());
  for (int round = -1; round < rounds; ++round) {  // round -1 warms up
    for (size_t c = 0; c < contenders.size(); ++c) {
      if (contenders[c].prepare) contenders[c].prepare();
      const double used_before = processor_seconds();
      const Time start = monotonic_now();
      contenders[c].block();
      if (round < 0) continue;
      seconds[c].push_back(to_seconds(monotonic_now() - start));
      used[c].push_back(processor_seconds() - used_before);
    }
  }
  std::vector<Timing> timings;
  for (size_t c = 0; c < contenders.size(); ++c) {
    const double middle = median(seconds[c]);
    std::vector<double> deviations;
    for (double s : seconds[c]) deviations.push_back(std::abs(s - middle));
    timings.push_back({contenders[c].name, middle, median(deviations), median(used[c])});
  }
  return timings;
}

}  // namespace ballast::bench
