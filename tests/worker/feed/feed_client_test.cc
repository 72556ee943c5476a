#include "worker/feed/feed_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr wire::FeedStamp kStamp{7, 8};
constexpr PortionShape kShape{8, 1};

wire::RowRun run_of(uint32_t lane, uint64_t first) {
  return {0, LaneId(lane), first, 4};
}

// The answer a feeder gives: a pure function of the run.
wire::FeedAnswer rows_of(const wire::RowRun& run) {
  wire::FeedAnswer answer;
  answer.stamp = kStamp;
  answer.run = run;
  lay_out(answer, kShape, run.rows, Buffer::allocate(run.rows * kShape.row_bytes()));
  answer.ids.data()[0] = static_cast<std::byte>(run.first);
  answer.xxh3 = hash_of(answer);
  return answer;
}

wire::FeedAnswer excuse(const wire::RowRun& run, wire::FeedCode code, std::string reason = {}) {
  wire::FeedAnswer answer;
  answer.stamp = kStamp;
  answer.run = run;
  answer.code = code;
  answer.reason = std::move(reason);
  return answer;
}

class FeedClientTest : public testing::Test {
 protected:
  explicit FeedClientTest(uint32_t feeders = 2) : client_(config(feeders), now_) {}

  static FeedClientConfig config(uint32_t feeders) {
    FeedClientConfig config;
    config.feeders = feeders;
    config.stamp = kStamp;
    config.shape = kShape;
    config.asks_per_feeder = 3;
    return config;
  }
  static Peer feeder(uint32_t index, Incarnation life = 1) { return {Role::kFeeder, index, life}; }

  void handle(FeedEvent event) {
    effects_.clear();
    client_.handle(std::move(event), now_, effects_);
  }
  void pass(Duration time) {
    now_ += time;
    handle(feed_event::Tick{});
  }
  void bring_up(uint32_t feeders) {
    for (uint32_t i = 0; i < feeders; ++i) handle(feed_event::PeerUp{feeder(i)});
  }

  // Whom the last event had asked, in order.
  [[nodiscard]] std::vector<uint32_t> asked() const {
    std::vector<uint32_t> found;
    for (const FeedEffect& effect : effects_) {
      if (const auto* send = std::get_if<feed_effect::Send>(&effect)) {
        found.push_back(send->to.index);
      }
    }
    return found;
  }
  template <typename Effect>
  [[nodiscard]] size_t count() const {
    return static_cast<size_t>(std::count_if(
        effects_.begin(), effects_.end(),
        [](const FeedEffect& effect) { return std::holds_alternative<Effect>(effect); }));
  }
  [[nodiscard]] std::string note() const {
    for (const FeedEffect& effect : effects_) {
      if (const auto* note = std::get_if<feed_effect::Note>(&effect)) return note->text;
    }
    return {};
  }

  Time now_{1s};
  FeedClient client_;
  FeedEffects effects_;
};

TEST_F(FeedClientTest, AsksTheHomeOfALaneAndDeliversWhatItGives) {
  bring_up(2);

  handle(feed_event::Want{run_of(0, 0)});
  EXPECT_EQ(asked(), std::vector<uint32_t>{0});
  handle(feed_event::Want{run_of(1, 0)});
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});
  handle(feed_event::Received{feeder(1), rows_of(run_of(1, 0))});

  EXPECT_EQ(count<feed_effect::Deliver>(), 1u);
  EXPECT_EQ(client_.wanted(), 1u);
  EXPECT_EQ(client_.counts()[1].portions, 1u);
  EXPECT_EQ(client_.counts()[1].rows, 4u);
}

TEST_F(FeedClientTest, TurnsFromFeederToFeederWhereNoBlocksAreHeld) {
  FeedClientConfig in_memory = config(2);
  in_memory.lane_has_home = false;
  FeedClient client(in_memory, now_);
  for (uint32_t i = 0; i < 2; ++i) client.handle(feed_event::PeerUp{feeder(i)}, now_, effects_);
  effects_.clear();

  for (uint64_t first : {0, 4}) client.handle(feed_event::Want{run_of(0, first)}, now_, effects_);

  EXPECT_EQ(asked(), (std::vector<uint32_t>{0, 1}));
}

TEST_F(FeedClientTest, WaitsForTheFirstFeederAMomentAndThenReadsLocally) {
  handle(feed_event::Want{run_of(0, 0)});
  EXPECT_THAT(effects_, IsEmpty());
  EXPECT_EQ(client_.next_due(), now_ + 2s);

  pass(2s);
  EXPECT_EQ(count<feed_effect::ReadLocally>(), 1u);
  handle(feed_event::Want{run_of(0, 4)});
  EXPECT_EQ(count<feed_effect::ReadLocally>(), 1u);
}

TEST_F(FeedClientTest, AsksAnotherAtOnceWhenAFeederDies) {
  bring_up(2);
  handle(feed_event::Want{run_of(0, 0)});

  handle(feed_event::PeerDown{feeder(0)});

  EXPECT_EQ(asked(), std::vector<uint32_t>{1});
  EXPECT_EQ(note(), "feeder 0 went with 1 portions unanswered");
  handle(feed_event::PeerDown{feeder(1)});
  EXPECT_EQ(count<feed_effect::ReadLocally>(), 1u);
}

TEST_F(FeedClientTest, AsksAnotherWhenAFeederIsLateAndTheLateOneOnlyBesides) {
  bring_up(2);
  handle(feed_event::Want{run_of(0, 0)});
  pass(5s);
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});
  EXPECT_THAT(note(), HasSubstr("feeder 0 is late"));

  pass(1s);  // the pause is over: one portion is asked of it too
  handle(feed_event::Want{run_of(0, 4)});
  EXPECT_EQ(asked(), (std::vector<uint32_t>{0, 1}));
  handle(feed_event::Want{run_of(0, 8)});
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});

  handle(feed_event::Received{feeder(0), rows_of(run_of(0, 4))});  // it is back
  EXPECT_EQ(count<feed_effect::Deliver>(), 1u);
  handle(feed_event::Want{run_of(0, 12)});
  EXPECT_EQ(asked(), std::vector<uint32_t>{0});
}

TEST_F(FeedClientTest, LearnsHowLongAnAnswerTakes) {
  bring_up(2);
  for (uint64_t first = 0; first < 80; first += 4) {
    handle(feed_event::Want{run_of(0, first)});
    now_ += 1s;
    handle(feed_event::Received{feeder(0), rows_of(run_of(0, first))});
  }
  handle(feed_event::Want{run_of(0, 80)});

  EXPECT_GT(client_.next_due(), now_ + 2s);
  EXPECT_LT(client_.next_due(), now_ + 4s);
}

TEST_F(FeedClientTest, DropsWhatComesTwiceLateOrUnasked) {
  bring_up(2);
  handle(feed_event::Want{run_of(0, 0)});
  handle(feed_event::Received{feeder(0), rows_of(run_of(0, 0))});
  ASSERT_EQ(count<feed_effect::Deliver>(), 1u);

  handle(feed_event::Received{feeder(0), rows_of(run_of(0, 0))});
  EXPECT_THAT(effects_, IsEmpty());
  handle(feed_event::Received{feeder(0), rows_of(run_of(3, 0))});
  EXPECT_THAT(effects_, IsEmpty());
  handle(feed_event::Received{feeder(0, 99), rows_of(run_of(0, 0))});
  EXPECT_THAT(effects_, IsEmpty());
}

TEST_F(FeedClientTest, GivesUpAPortionForWhichEveryoneIsBusy) {
  bring_up(1);
  handle(feed_event::Want{run_of(0, 0)});
  size_t asks = 1;
  while (count<feed_effect::ReadLocally>() == 0) {
    ASSERT_LT(asks, 100u);
    handle(feed_event::Received{feeder(0), excuse(run_of(0, 0), wire::FeedCode::kBusy)});
    EXPECT_THAT(asked(), IsEmpty());
    pass(client_.next_due() - now_);
    asks += asked().size();
  }

  EXPECT_GT(asks, 40u);  // every 20 ms for a second
}

TEST_F(FeedClientTest, AsksAnotherForWhatOneCannotReadAndThenReadsItLocally) {
  bring_up(2);
  handle(feed_event::Want{run_of(0, 0)});

  handle(feed_event::Received{feeder(0), excuse(run_of(0, 0), wire::FeedCode::kFailed, "no disk")});
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});
  EXPECT_EQ(note(), "feeder 0 cannot give rows 0 to 3 of lane 0 in epoch 1: no disk");
  handle(feed_event::Received{feeder(1), excuse(run_of(0, 0), wire::FeedCode::kFailed, "no disk")});
  handle(feed_event::Received{feeder(0), excuse(run_of(0, 0), wire::FeedCode::kFailed, "no disk")});

  EXPECT_EQ(count<feed_effect::ReadLocally>(), 1u);
}

TEST_F(FeedClientTest, RefusesAFeederOfAnotherJobOrDataSetByName) {
  bring_up(2);
  handle(feed_event::Want{run_of(0, 0)});
  wire::FeedAnswer other = rows_of(run_of(0, 0));
  other.stamp.dataset = 9;

  handle(feed_event::Received{feeder(0), std::move(other)});
  EXPECT_EQ(note(),
            "feeder 0 is of no use: it reads the data set with manifest xxh3 0000000000000009, "
            "expected 0000000000000008; start it for this job, with its data");
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});
  handle(feed_event::Want{run_of(2, 0)});  // at home with 0
  EXPECT_EQ(asked(), std::vector<uint32_t>{1});

  other = rows_of(run_of(0, 0));
  other.stamp.job = 1;
  handle(feed_event::Received{feeder(1), std::move(other)});
  EXPECT_THAT(note(), HasSubstr("feeds the job with job_hash 0000000000000001, expected 000000"));
  EXPECT_EQ(count<feed_effect::ReadLocally>(), 2u);

  handle(feed_event::PeerDown{feeder(0)});
  handle(feed_event::PeerUp{feeder(0, 2)});  // started anew, perhaps as it should be
  handle(feed_event::Want{run_of(0, 4)});
  EXPECT_EQ(asked(), std::vector<uint32_t>{0});
}

TEST_F(FeedClientTest, RefusesAFeederThatGivesDamagedRows) {
  bring_up(1);
  handle(feed_event::Want{run_of(0, 0)});
  wire::FeedAnswer damaged = rows_of(run_of(0, 0));
  damaged.labels.data()[0] ^= std::byte{1};

  handle(feed_event::Received{feeder(0), std::move(damaged)});

  EXPECT_THAT(note(), HasSubstr("damaged rows 0 to 3 of lane 0 in epoch 1: xxh3"));
  EXPECT_EQ(count<feed_effect::Deliver>(), 0u);
  EXPECT_EQ(count<feed_effect::ReadLocally>(), 1u);
}

TEST_F(FeedClientTest, AsksNoFeederForMoreThanItAcceptsAndAsksOnAsItAnswers) {
  bring_up(1);
  size_t asks = 0;
  for (uint64_t first = 0; first < 40; first += 4) {
    handle(feed_event::Want{run_of(0, first)});
    asks += asked().size();
  }
  EXPECT_EQ(asks, 3u);

  handle(feed_event::Received{feeder(0), rows_of(run_of(0, 0))});
  EXPECT_EQ(asked().size(), 1u);
}

TEST_F(FeedClientTest, ForgetsWhatIsDropped) {
  bring_up(1);
  handle(feed_event::Want{run_of(0, 0)});

  handle(feed_event::Drop{run_of(0, 0)});

  EXPECT_EQ(client_.wanted(), 0u);
  EXPECT_EQ(client_.next_due(), kEndOfTime);
}

}  // namespace
}  // namespace ballast
