// Silence: for how long nothing was heard of others. Counted from one tick to the next, so that
// time in which this process stood still itself (Ctrl-Z, a debugger) is not taken for the silence
// of others. Pure value.
#pragma once

#include <algorithm>

#include "common/base/time.h"

namespace ballast {

class Silence {
 public:
  // Ticks come at least every `step`; what a later one is late by does not count.
  Silence(Time now, Duration step) : step_(step), ticked_(now) {}

  void tick(Time now) {
    lasted_ += std::min(now - ticked_, 2 * step_);
    ticked_ = now;
  }
  void broken() { lasted_ = Duration{}; }
  [[nodiscard]] Duration lasted() const { return lasted_; }

 private:
  Duration step_;
  Time ticked_;
  Duration lasted_{};
};

}  // namespace ballast
