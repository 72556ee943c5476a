#include "worker/request_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "tests/common/storage/temporary_folder.h"
#include "tests/support/trace_spans.h"

namespace ballast {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Peer kShard{Role::kServer, 2, 77};

constexpr Time at(int64_t nanoseconds) {
  return Time(Duration(nanoseconds));
}

wire::Push push(uint64_t sequence, UnitId unit, Clock clock) {
  wire::PushEntry entry;
  entry.sequence = sequence;
  entry.unit = unit;
  entry.lanes = {{LaneId(0), 0, clock, 1.0, 0}};
  entry.gradient = Buffer::allocate(256);
  return {{}, {entry}};
}

wire::Pull pull(uint64_t sequence, UnitId unit, Clock clock, uint64_t snapshot = 0) {
  return {{}, {{.sequence = sequence, .unit = unit, .clock = clock, .snapshot = snapshot}}};
}

wire::Reply reply(uint64_t sequence, wire::ReplyCode code, size_t bytes = 0) {
  wire::ReplyEntry entry;
  entry.sequence = sequence;
  entry.code = code;
  if (bytes > 0) entry.weights = Buffer::allocate(bytes);
  return {{}, {entry}};
}

class RequestTraceTest : public ::testing::Test {
 protected:
  std::vector<testing::ReadSpan> end() {
    requests_.reset();
    trace_.reset();
    return testing::trace_spans(path_);
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/worker-0.jsonl";
  std::unique_ptr<Trace> trace_ =
      Trace::open({.path = path_, .role = "worker", .steps = 10}).value();
  std::optional<RequestTrace> requests_{std::in_place, *trace_,
                                        std::vector<uint32_t>{0, 0, 0, 1, 1, 2}};
};

TEST_F(RequestTraceTest, APushLastsFromItsFirstSendToTheAnswerThatSettlesIt) {
  requests_->sent(kShard, push(1, UnitId(5), 3), at(100));
  requests_->received(reply(1, wire::ReplyCode::kEarly), at(150));
  requests_->sent(kShard, push(1, UnitId(5), 3), at(200));  // again
  requests_->received(reply(1, wire::ReplyCode::kApplied, 128), at(300));
  requests_->received(reply(1, wire::ReplyCode::kAlready), at(400));  // late

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(1));
  EXPECT_EQ(spans[0].name, "push");
  EXPECT_TRUE(spans[0].overlaps);
  EXPECT_EQ(spans[0].begin, 100u);
  EXPECT_EQ(spans[0].end, 300u);
  const std::map<std::string, uint64_t> args = {
      {"step", 3}, {"layer", 2}, {"unit", 5}, {"shard", 2}, {"bytes", 256 + 128}};
  EXPECT_EQ(spans[0].args, args);
}

TEST_F(RequestTraceTest, APullOfASnapshotBelongsToTheStepBefore) {
  requests_->sent(kShard, push(1, UnitId(0), 4), at(100));
  requests_->sent(kShard, pull(2, UnitId(0), 0, /*snapshot=*/9), at(110));
  requests_->received(reply(2, wire::ReplyCode::kWeights, 64), at(120));
  requests_->received(reply(1, wire::ReplyCode::kClosed, 64), at(130));

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(2));
  EXPECT_EQ(spans[0].name, "pull");
  EXPECT_EQ(spans[0].args.at("step"), 4u);
}

TEST_F(RequestTraceTest, WhatHasNoAnswerAtTheEndIsMarked) {
  requests_->sent(kShard, pull(1, UnitId(5), 3), at(100));

  const auto spans = end();
  ASSERT_THAT(spans, SizeIs(1));
  EXPECT_EQ(spans[0].args.at("unanswered"), 1u);
  EXPECT_GT(spans[0].end, 100u);
}

TEST_F(RequestTraceTest, StepsThatAreNotTracedAndOtherMessagesLeaveNothing) {
  requests_->sent(kShard, push(1, UnitId(5), 3), at(100));
  requests_->received(reply(1, wire::ReplyCode::kApplied), at(110));
  requests_->sent(kShard, push(2, UnitId(5), 13), at(200));
  requests_->received(reply(2, wire::ReplyCode::kApplied), at(210));
  requests_->sent({Role::kCoordinator, 0, 0}, wire::Join{}, at(220));
  requests_->received(wire::Welcome{}, at(230));

  EXPECT_THAT(end(), SizeIs(1));
}

}  // namespace
}  // namespace ballast
