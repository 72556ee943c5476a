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
constexpr double kQueueing = 2;
constexpr uint32_t kWindowsABest = 64;

}  // namespace

ReadPace::ReadPace(uint32_t reads_most, Duration pause_most)
    : reads_most_(reads_most),
      pause_most_(pause_most),
      reads_at_once_(std::min(kReadsFirst, reads_most_)) {}

void ReadPace::on_good(std::optional<Duration> taken) {
  note(false);
  if (taken) {
    taken_.push_back(*taken);
    if (taken_.size() > kTakenKept) taken_.pop_front();
    ++answers_;
    if (answers_ >= kTakenLeast && static_cast<double>(answers_) >= window()) end_window();
  }
  if (is_queueing_ || phase_ != Phase::kUsual) return;
  reads_at_once_ += growing_fast_ ? 1 : 1 / reads_at_once_;
  reads_at_once_ = std::min(reads_at_once_, reads_most_);
}

// With a quarter the link is half full where as many again as it carries waited in it: to look for
// the best takes two windows of 64 at half the rate. Where more waited, the next look finds less.
void ReadPace::end_window() {
  const Duration typical = median_of_last(answers_);
  answers_ = 0;
  switch (phase_) {
    case Phase::kUsual:
      adapt(typical);
      if (++windows_ < kWindowsABest) return;
      phase_ = Phase::kDraining;
      usual_ = reads_at_once_;
      reads_at_once_ = std::max(reads_at_once_ / 4, std::min(kReadsFirst, reads_at_once_));
      return;
    case Phase::kDraining:
      phase_ = Phase::kMeasuring;
      return;
    case Phase::kMeasuring:
      quickest_ = typical;
      end_measuring();
  }
}

void ReadPace::adapt(Duration typical) {
  if (quickest_ == Duration() || typical < quickest_) quickest_ = typical;
  const double longer = to_seconds(typical) / to_seconds(quickest_);
  is_queueing_ = longer > kQueueing;
  if (!is_queueing_) return;
  growing_fast_ = false;
  const double fewest = std::min(kReadsFirst, reads_at_once_);
  reads_at_once_ = std::max(fewest, reads_at_once_ * kQueueing / longer);
}

void ReadPace::end_measuring() {
  if (phase_ != Phase::kUsual) reads_at_once_ = usual_;
  phase_ = Phase::kUsual;
  windows_ = 0;
}

void ReadPace::on_overload(Time started, Time now) {
  note(true);
  if (started < slowed_down_) return;
  slowed_down_ = now;
  growing_fast_ = false;
  end_measuring();
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

// Answers until all are to reads that began in it.
double ReadPace::window() const {
  return phase_ == Phase::kDraining ? usual_ : reads_at_once_;
}

Duration ReadPace::median_of_last(size_t count) const {
  const auto last = static_cast<ptrdiff_t>(std::min(count, taken_.size()));
  std::vector<Duration> taken(taken_.end() - last, taken_.end());
  const auto middle = taken.begin() + last / 2;
  std::nth_element(taken.begin(), middle, taken.end());
  return *middle;
}

// What so many of 100 answers took less than.
Duration ReadPace::taken_by(size_t percent) const {
  std::vector<Duration> taken(taken_.begin(), taken_.end());
  const auto place = taken.begin() + static_cast<ptrdiff_t>(taken.size() * percent / 100);
  std::nth_element(taken.begin(), place, taken.end());
  return *place;
}

}  // namespace ballast
