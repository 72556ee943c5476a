// Time as the deciders see it: a value that is handed in, never read. The mains read the monotonic
// clock; the simulator turns its own. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace ballast {

using Duration = std::chrono::nanoseconds;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""us;
using std::chrono_literals::operator""s;

struct MonotonicTag {
  using rep = int64_t;
  using period = std::nano;
  using duration = Duration;
  using time_point = std::chrono::time_point<MonotonicTag>;
  static constexpr bool is_steady = true;
};
using Time = std::chrono::time_point<MonotonicTag>;

inline constexpr Time kEndOfTime = Time::max();

// The machine's monotonic clock. Deciders never read it.
[[nodiscard]] Time monotonic_now();

[[nodiscard]] inline double to_seconds(Duration duration) {
  return std::chrono::duration<double>(duration).count();
}
[[nodiscard]] inline Duration from_seconds(double seconds) {
  return Duration(static_cast<int64_t>(seconds * 1e9));
}

// Wall-clock now as "2026-01-31T12:00:00.123Z", for logs and files people read.
[[nodiscard]] std::string utc_now();

}  // namespace ballast
