#include "worker/data/source/read_pace.h"

#include <algorithm>
#include <vector>

namespace ballast {
namespace {

constexpr double kReadsFirst = 8;
constexpr double kShareGain = 1.0 / 16;  // of one answer, as DCTCP's g
constexpr size_t kTakenKept = 128;
constexpr size_t kTakenLeast = 20;      // fewer say nothing about the slowest
constexpr Duration kSlowLeast = 20ms;   // a read quicker than this is not worth a second
constexpr Duration kPauseLeast = 10ms;  // before it doubles
constexpr Duration kPauseFirst = 100ms;

}  // namespace

ReadPace::ReadPace(uint32_t reads_most, Duration pause_most)
    : reads_most_(reads_most),
      pause_most_(pause_most),
      reads_at_once_(std::min(kReadsFirst, reads_most_)) {}

void ReadPace::on_good(std::optional<Duration> taken) {
  note(false);
  if (taken) taken_.push_back(*taken);
  if (taken_.size() > kTakenKept) taken_.pop_front();
  reads_at_once_ += growing_fast_ ? 1 : 1 / reads_at_once_;
  reads_at_once_ = std::min(reads_at_once_, reads_most_);
}

void ReadPace::on_overload(Time started, Time now) {
  note(true);
  if (started < slowed_down_) return;
  slowed_down_ = now;
  growing_fast_ = false;
  reads_at_once_ = std::max(1.0, reads_at_once_ * (1 - overloaded_share_ / 2));
}

void ReadPace::note(bool overloaded) {
  overloaded_share_ += kShareGain * ((overloaded ? 1 : 0) - overloaded_share_);
}

std::optional<Duration> ReadPace::slow_after() const {
  if (taken_.size() < kTakenLeast) return std::nullopt;
  return std::max(taken_by(95), kSlowLeast);
}

Duration ReadPace::pause_after(uint32_t failed) const {
  const Duration once =
      taken_.empty() ? kPauseFirst : std::clamp<Duration>(taken_by(50), kPauseLeast, kPauseFirst);
  return std::min<Duration>(once * (int64_t{1} << std::min<uint32_t>(failed - 1, 20)), pause_most_);
}

// What so many of 100 answers took less than.
Duration ReadPace::taken_by(size_t percent) const {
  std::vector<Duration> taken(taken_.begin(), taken_.end());
  const auto place = taken.begin() + static_cast<ptrdiff_t>(taken.size() * percent / 100);
  std::nth_element(taken.begin(), place, taken.end());
  return *place;
}

}  // namespace ballast
