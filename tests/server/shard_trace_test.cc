#include "server/shard_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/common/storage/temporary_folder.h"
#include "tests/support/trace_spans.h"

namespace ballast {
namespace {

using ::testing::SizeIs;

constexpr Peer kFirst{Role::kWorker, 0, 1}, kSecond{Role::kWorker, 1, 1};

constexpr Time at(int64_t nanoseconds) {
  return Time(Duration(nanoseconds));
}

wire::Push push(uint64_t sequence, UnitId unit, Clock clock) {
  wire::PushEntry entry;
  entry.sequence = sequence;
  entry.unit = unit;
  entry.lanes = {{LaneId(0), 0, clock, 1.0, 0}};
  return {{}, {entry}};
}

wire::ReplyEntry answer(uint64_t sequence) {
  wire::ReplyEntry entry;
  entry.sequence = sequence;
  return entry;
}

class ShardTraceTest : public ::testing::Test {
 protected:
  void take(const Peer& from, const wire::Any& message, int64_t begin, int64_t end) {
    shard_->arrived(from, message, at(begin));
    shard_->handled(at(end));
  }

  std::vector<testing::ReadSpan> end() {
    shard_.reset();
    trace_.reset();
    return testing::trace_spans(path_);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/server-0.jsonl";
  std::unique_ptr<Trace> trace_ =
      Trace::open({.path = path_, .role = "server", .steps = 10}).value();
  std::optional<ShardTrace> shard_{std::in_place, *trace_, ShardId(3)};
};

TEST_F(ShardTraceTest, APushThatIsAnsweredAtOnceIsOnlyApplied) {
  take(kFirst, push(1, UnitId(5), 2), 100, 160);
  shard_->answered(kFirst, answer(1), at(170));

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(1));
  EXPECT_EQ(spans[0].track, "shard 3");
  EXPECT_EQ(spans[0].name, "apply");
  EXPECT_FALSE(spans[0].overlaps);
  EXPECT_EQ(spans[0].begin, 100u);
  EXPECT_EQ(spans[0].end, 160u);
  const std::map<std::string, uint64_t> args = {{"step", 2}, {"worker", 0}, {"units", 1}};
  EXPECT_EQ(spans[0].args, args);
}

TEST_F(ShardTraceTest, ARequestThatWaitsForAnotherIsHeldUntilItsAnswer) {
  take(kFirst, push(1, UnitId(5), 2), 100, 110);
  take(kFirst, wire::Pull{{}, {{.sequence = 2, .unit = UnitId(6), .clock = 3}}}, 120, 121);
  take(kSecond, push(1, UnitId(5), 2), 200, 250);  // the same sequence, of somebody else
  shard_->answered(kFirst, answer(1), at(260));
  shard_->answered(kSecond, answer(1), at(260));
  shard_->answered(kFirst, answer(2), at(270));

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(4));  // two of them applied
  EXPECT_EQ(spans[2].name, "held push");
  EXPECT_TRUE(spans[2].overlaps);
  EXPECT_EQ(spans[2].begin, 100u);
  EXPECT_EQ(spans[2].end, 260u);
  EXPECT_EQ(spans[2].args.at("worker"), 0u);
  EXPECT_EQ(spans[3].name, "held pull");
  EXPECT_EQ(spans[3].begin, 120u);
  EXPECT_EQ(spans[3].end, 270u);
  EXPECT_EQ(spans[3].args.at("unit"), 6u);
}

TEST_F(ShardTraceTest, APushThatWaitsForItsJournalIsHeldAlthoughNoMessageComesBetween) {
  take(kFirst, push(1, UnitId(5), 2), 100, 110);
  shard_->settled();
  shard_->answered(kFirst, answer(1), at(900));

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(2));
  EXPECT_EQ(spans[1].name, "held push");
  EXPECT_EQ(spans[1].end, 900u);
}

TEST_F(ShardTraceTest, RequestsOfSomebodyWhoIsGoneAreForgottenAndOthersAreMarked) {
  take(kFirst, push(1, UnitId(5), 2), 100, 110);
  take(kSecond, push(1, UnitId(5), 2), 200, 210);
  shard_->lost(kFirst);

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(3));
  EXPECT_EQ(spans[2].name, "held push");
  EXPECT_EQ(spans[2].args.at("worker"), 1u);
  EXPECT_EQ(spans[2].args.at("unanswered"), 1u);
}

TEST_F(ShardTraceTest, EvaluatorsReadersOfNoLaneAndOtherStepsLeaveNothing) {
  take(kFirst, push(1, UnitId(5), 2), 100, 110);
  shard_->answered(kFirst, answer(1), at(115));
  take(kFirst, wire::Pull{{}, {{.sequence = 2, .unit = UnitId(6), .snapshot = 4}}}, 120, 121);
  take(kFirst, wire::Pull{{}, {{.sequence = 3, .unit = UnitId(6), .clock = kNever}}}, 122, 123);
  take(kFirst, push(4, UnitId(5), 99), 130, 140);
  take(kFirst, push(5, UnitId(5), 99), 150, 160);

  EXPECT_THAT(end(), SizeIs(1));
}

}  // namespace
}  // namespace ballast
