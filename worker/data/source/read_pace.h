// ReadPace: how many reads of a server are under way at once, when one of them is slow, and how
// long a failed one rests. Pure; one thread.
//
// Reads at once begin with 8. Each good answer adds one until the server first says that it has too
// much to do, from then on each window of them does (slow start and congestion avoidance: Jacobson,
// SIGCOMM 1988). Once a window they shrink by half of the share of answers that lately said so
// (DCTCP: Alizadeh et al., SIGCOMM 2010): a server that refuses one read in a hundred for reasons
// of its own is hardly asked less, one that refuses all of them half as much.
//
// More reads at once than the link carries only wait in it, and a read that has to be asked for
// again then waits as long once more. So where the median answer takes more than twice what it took
// at best, they shrink to as many as would take twice that (by Little's law the time is in
// proportion to their number; the idea is TCP Vegas', Brakmo and Peterson, 1995), but not below 8.
// Every 64 windows the best is measured anew, with a quarter of the reads (as BBR does: Cardwell et
// al., ACM Queue 14(5), 2016).
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

#include "common/base/time.h"

namespace ballast {

class ReadPace {
 public:
  // reads_most >= 1; pause_most: of every pause.
  ReadPace(uint32_t reads_most, Duration pause_most);

  // An answer with what was asked for; `taken`: since it was asked, nullopt where that says nothing
  // about the next one.
  void on_good(std::optional<Duration> taken);
  // An answer to what began at `started`: too much to do.
  void on_overload(Time started, Time now);

  [[nodiscard]] double reads_at_once() const { return reads_at_once_; }
  [[nodiscard]] bool has_room(size_t under_way) const {
    return static_cast<double>(under_way + 1) <= reads_at_once_;
  }
  // The time that 95 of the last 100 answers took less than; nullopt: too few to say.
  [[nodiscard]] std::optional<Duration> slow_after() const;
  // The longest rest after so many failed attempts (>= 1) at one read: what an answer takes,
  // doubled with each.
  [[nodiscard]] Duration pause_after(uint32_t failed) const;

 private:
  void note(bool overloaded);
  void end_window();
  void adapt(Duration typical);
  void end_measuring();
  [[nodiscard]] double window() const;
  [[nodiscard]] Duration taken_by(size_t percent) const;
  [[nodiscard]] Duration median_of_last(size_t count) const;

  const double reads_most_;
  const Duration pause_most_;
  double reads_at_once_;
  double overloaded_share_ = 0;  // of the last answers, older ones less
  bool growing_fast_ = true;     // the server has never had too much to do
  Time slowed_down_;             // answers to what began before say nothing new
  std::deque<Duration> taken_;   // of the last good answers
  enum class Phase { kUsual, kDraining, kMeasuring };
  Phase phase_ = Phase::kUsual;
  double usual_ = 0;          // reads at once before kDraining
  uint32_t windows_ = 0;      // since the best was measured
  size_t answers_ = 0;        // good ones of this window that say how long they took
  Duration quickest_{};       // median of a window at best; 0: none yet
  bool is_queueing_ = false;  // the last window's was more than kQueueing times that
};

}  // namespace ballast
