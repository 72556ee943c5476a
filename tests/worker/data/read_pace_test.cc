// How many reads at a time a server is asked for, and how long failed ones rest.
#include "worker/data/source/read_pace.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>

namespace ballast {
namespace {

Time at(int milliseconds) {
  return Time() + std::chrono::milliseconds(milliseconds);
}

// `windows` windows of answers: each of them overloaded where `refused` says so of its number.
template <typename Refused>
double after_windows(ReadPace& pace, int windows, Refused refused) {
  int answer = 0;
  for (int window = 1; window <= windows; ++window) {
    const int reads = static_cast<int>(pace.reads_at_once());
    for (int i = 0; i < reads; ++i) {
      if (refused(answer++)) {
        pace.on_overload(at(window * 100), at(window * 100 + 50));
      } else {
        pace.on_good(30ms);
      }
    }
  }
  return pace.reads_at_once();
}

TEST(ReadPace, DoublesInAWindowUntilTheServerHasTooMuchToDo) {
  ReadPace pace(64, 8s);
  EXPECT_EQ(after_windows(pace, 1, [](int) { return false; }), 16);
  EXPECT_EQ(after_windows(pace, 1, [](int) { return false; }), 32);
  EXPECT_EQ(after_windows(pace, 5, [](int) { return false; }), 64) << "never more than the most";
}

TEST(ReadPace, GrowsByOneInAWindowAfterThat) {
  ReadPace pace(64, 8s);
  pace.on_overload(at(1), at(2));
  const double before = pace.reads_at_once();
  const double after = after_windows(pace, 3, [](int) { return false; });
  EXPECT_GT(after, before + 2);
  EXPECT_LE(after, before + 3.2);
}

TEST(ReadPace, ServesAServerThatRefusesOneInAHundredAlmostInFull) {
  ReadPace pace(64, 8s);
  EXPECT_GT(after_windows(pace, 100, [](int answer) { return answer % 100 == 50; }), 50);
}

TEST(ReadPace, LetsAServerGoThatRefusesEverything) {
  ReadPace pace(64, 8s);
  after_windows(pace, 4, [](int) { return false; });
  const double before = pace.reads_at_once();
  EXPECT_LT(after_windows(pace, 3, [](int) { return true; }), before / 3);
  EXPECT_EQ(after_windows(pace, 40, [](int) { return true; }), 1);
}

TEST(ReadPace, FindsHowManyAServerBearsThatRefusesWhatIsBeyond) {
  ReadPace pace(64, 8s);
  // Of each window only the first 20 are served.
  for (int window = 1; window <= 200; ++window) {
    const int reads = static_cast<int>(pace.reads_at_once());
    for (int i = 0; i < reads; ++i) {
      if (i < 20) {
        pace.on_good(30ms);
      } else {
        pace.on_overload(at(window * 100), at(window * 100 + 50));
      }
    }
    if (window > 20) {
      EXPECT_GT(pace.reads_at_once(), 14) << window;
      EXPECT_LT(pace.reads_at_once(), 24) << window;
    }
  }
}

// A link that carries `carried` reads at once in `alone` each; more only wait in it. Reads are
// asked for as long as there is room, and answered in their order.
class Link {
 public:
  Link(double carried, Duration alone) : carried_(carried), alone_(alone) {}

  // -> how long the link had nothing to do, of all the time
  double serve(ReadPace& pace, int answers) {
    double idle = 0;
    const double begun = now_;
    for (int i = 0; i < answers; ++i) {
      while (pace.has_room(asked_.size())) asked_.push_back(now_);
      const double ready = std::max(asked_.front() + to_seconds(alone_), free_at_);
      idle += std::max(0.0, ready - std::max(free_at_, now_) - to_seconds(alone_) / carried_);
      free_at_ = ready + to_seconds(alone_) / carried_;
      now_ = std::max(now_, ready);
      pace.on_good(from_seconds(now_ - asked_.front()));
      asked_.pop_front();
    }
    return idle / (now_ - begun);
  }

 private:
  const double carried_;
  const Duration alone_;
  std::deque<double> asked_;
  double now_ = 0, free_at_ = 0;
};

TEST(ReadPace, FillsALinkAndAsMuchAgainButNoMore) {
  ReadPace pace(64, 8s);
  Link link(12, 30ms);
  link.serve(pace, 10000);
  for (int i = 0; i < 100; ++i) {
    EXPECT_LT(link.serve(pace, 2000), 0.03) << i;
    EXPECT_LE(pace.reads_at_once(), 36) << i;
  }
}

TEST(ReadPace, FollowsALinkThatGrowsWider) {
  ReadPace pace(64, 8s);
  Link(5, 30ms).serve(pace, 2000);
  Link(1000, 30ms).serve(pace, 4000);
  EXPECT_GE(pace.reads_at_once(), 60);
}

TEST(ReadPace, FollowsAServerThatGrowsSlower) {
  ReadPace pace(64, 8s);
  Link(1000, 10ms).serve(pace, 2000);
  Link(1000, 100ms).serve(pace, 6000);
  EXPECT_GE(pace.reads_at_once(), 40);
}

TEST(ReadPace, KeepsEightReadsHoweverLongTheyTake) {
  ReadPace pace(64, 8s);
  Link(1, 30ms).serve(pace, 40000);
  EXPECT_GE(pace.reads_at_once(), 8);
  EXPECT_LE(pace.reads_at_once(), 17);
}

TEST(ReadPace, TakesUnevenTimesForWhatTheyAre) {
  ReadPace pace(64, 8s);
  for (int i = 0; i < 4000; ++i)
    pace.on_good(std::chrono::milliseconds(i % 10 == 0 ? 300 : 20 + i % 30));
  EXPECT_EQ(pace.reads_at_once(), 64) << "nothing queues";
}

TEST(ReadPace, ShrinksOnceForAnswersToWhatBeganTogether) {
  ReadPace pace(64, 8s);
  pace.on_overload(at(10), at(50));
  const double once = pace.reads_at_once();
  pace.on_overload(at(10), at(51));
  EXPECT_EQ(pace.reads_at_once(), once);
  pace.on_overload(at(60), at(90));
  EXPECT_LT(pace.reads_at_once(), once);
}

TEST(ReadPace, RestsAsLongAsAnAnswerTakesAndTwiceAsLongEachTime) {
  ReadPace pace(64, 200ms);
  EXPECT_EQ(pace.pause_after(1), 100ms) << "before anything is known";
  for (int i = 0; i < 20; ++i) pace.on_good(30ms);
  EXPECT_EQ(pace.pause_after(1), 30ms);
  EXPECT_EQ(pace.pause_after(3), 120ms);
  EXPECT_EQ(pace.pause_after(4), 200ms) << "the most";
  EXPECT_EQ(pace.pause_after(4'000'000'000u), 200ms);
}

TEST(ReadPace, CallsSlowWhatNineteenOfTwentyAreQuickerThan) {
  ReadPace pace(64, 8s);
  for (int i = 0; i < 19; ++i) pace.on_good(std::chrono::milliseconds(30 + i));
  EXPECT_EQ(pace.slow_after(), std::nullopt);
  pace.on_good(900ms);
  EXPECT_EQ(pace.slow_after(), 900ms);
  for (int i = 0; i < 20; ++i) pace.on_good(30ms);
  EXPECT_EQ(pace.slow_after(), 48ms);
}

}  // namespace
}  // namespace ballast
