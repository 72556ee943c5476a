// Bounds: says of each bound of a bench whether it was met, a line each, and with what the bench
// ends: `bench/run` calls a bench failed by its exit code. bench/bounds.py is the same for scripts.
// Owner thread: main.
#pragma once

#include <fmt/format.h>

#include <string_view>

namespace ballast::bench {

class Bounds {
 public:
  // The sizes of --smoke say nothing: bounds are printed, the exit code stays 0.
  explicit Bounds(bool smoke) : smoke_(smoke) {}

  void at_least(std::string_view name, double value, double bound) {
    judge(name, value, ">=", bound, value >= bound);
  }
  void at_most(std::string_view name, double value, double bound) {
    judge(name, value, "<=", bound, value <= bound);
  }

  [[nodiscard]] int exit_code() const { return missed_ && !smoke_ ? 1 : 0; }

 private:
  // What is not a number meets no bound.
  void judge(std::string_view name, double value, std::string_view relation, double bound,
             bool met) {
    fmt::print("bound {}: {:.3f} ({} {}): {}\n", name, value, relation, bound,
               met ? "met" : "missed");
    missed_ = missed_ || !met;
  }

  const bool smoke_;
  bool missed_ = false;
};

}  // namespace ballast::bench
