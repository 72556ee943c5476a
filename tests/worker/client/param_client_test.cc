#include "worker/client/param_client.h"

#include <gtest/gtest.h>

#include "common/wire/codec.h"

namespace ballast {
namespace {

const Time kStart{1s};
const ClientConfig kConfig{.run = 7, .retry_after = 100ms, .busy_backoff = 10ms};

// Units 0 and 2 on shard 0, unit 1 on shard 1; every shard in life `incarnation`.
wire::View view(uint64_t number, Incarnation incarnation = 1) {
  wire::View view;
  view.number = number;
  for (uint32_t shard : {0u, 1u}) {
    view.shards.push_back({ShardId(shard), "somewhere", incarnation});
  }
  for (uint32_t unit : {0u, 1u, 2u}) {
    view.units.push_back({UnitId(unit), ShardId(unit % 2), unit + 5});
  }
  return view;
}

ParamClient client_without_view() {
  std::vector<UnitSpec> units;
  for (uint32_t unit : {0u, 1u, 2u}) units.push_back({UnitId(unit), 0, unit * 4, 4});
  return ParamClient(kConfig, units);
}

ParamClient client_with_view() {
  ParamClient client = client_without_view();
  EXPECT_TRUE(client.set_view(view(1), kStart));
  return client;
}

RequestTag tag(uint64_t job, uint32_t unit) {
  return {job, UnitId(unit)};
}

wire::PushEntry push_of(std::vector<uint32_t> lanes, Clock clock = 3) {
  wire::PushEntry entry;
  for (uint32_t lane : lanes) entry.lanes.push_back({LaneId(lane), 1, clock, 2.0});
  entry.gradient = Buffer::allocate(16);
  return entry;
}

Peer shard(uint32_t index, Incarnation incarnation = 1) {
  return {Role::kServer, index, incarnation};
}

const wire::Push& push_in(const ShardMessage& message) {
  return std::get<wire::Push>(message.message);
}
const wire::Pull& pull_in(const ShardMessage& message) {
  return std::get<wire::Pull>(message.message);
}

wire::Reply reply(uint64_t sequence, uint32_t unit, wire::ReplyCode code) {
  wire::Reply reply;
  reply.entries.push_back({.sequence = sequence,
                           .unit = UnitId(unit),
                           .epoch = 0,
                           .code = code,
                           .fences = {},
                           .missing = {},
                           .weights = {}});
  return reply;
}

TEST(ParamClient, SendsNothingAndWantsNoTimerBeforeAViewSaysWhereUnitsLive) {
  ParamClient client = client_without_view();

  client.pull(tag(1, 0), 0);

  EXPECT_TRUE(client.flush(kStart).empty());
  EXPECT_EQ(client.next_due(), std::nullopt);  // otherwise whoever drives it spins
  ASSERT_TRUE(client.set_view(view(1), kStart));
  EXPECT_EQ(client.flush(kStart).size(), 1u);
  EXPECT_EQ(client.next_due(), kStart + kConfig.retry_after);
}

TEST(ParamClient, PacksOneMessageAShardAndKindFrontUnitsFirst) {
  ParamClient client = client_with_view();

  client.push(tag(1, 2), push_of({0, 1}));
  client.push(tag(1, 1), push_of({0, 1}));
  client.push(tag(1, 0), push_of({0, 1}));
  client.pull(tag(2, 0), 3);
  const std::vector<ShardMessage> messages = client.flush(kStart);

  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].to, shard(0));
  EXPECT_EQ(push_in(messages[0]).header.run, kConfig.run);
  ASSERT_EQ(push_in(messages[0]).entries.size(), 2u);
  EXPECT_EQ(push_in(messages[0]).entries[0].unit, UnitId(0));
  EXPECT_EQ(push_in(messages[0]).entries[1].unit, UnitId(2));
  EXPECT_EQ(push_in(messages[0]).entries[1].epoch, 7u);
  EXPECT_EQ(pull_in(messages[1]).entries.at(0).clock, 3u);
  EXPECT_EQ(messages[2].to, shard(1));
  EXPECT_TRUE(client.flush(kStart).empty());
}

TEST(ParamClient, SplitsWhatOneMessageCannotCarry) {
  constexpr uint32_t kUnits = 2 * wire::kEntriesMax + 5;
  std::vector<UnitSpec> units;
  wire::View all_on_one{1, 1, {{ShardId(0), "somewhere", 1}}, {}};
  for (uint32_t unit = 0; unit < kUnits; ++unit) {
    units.push_back({UnitId(unit), 0, unit * 4, 4});
    all_on_one.units.push_back({UnitId(unit), ShardId(0), 0});
  }
  ParamClient client(kConfig, units);
  ASSERT_TRUE(client.set_view(all_on_one, kStart));
  for (uint32_t unit = kUnits; unit-- > 0;) {
    client.push(tag(1, unit), push_of({0}));
    client.pull(tag(1, unit), 3);
  }

  uint32_t pushed = 0, pulled = 0;
  std::vector<size_t> sizes;
  for (const ShardMessage& message : client.flush(kStart)) {
    Result<wire::Any> received = wire::decode(wire::encode(message.message));
    ASSERT_TRUE(received.ok()) << received.status().to_string();
    if (const auto* push = std::get_if<wire::Push>(&*received)) {
      sizes.push_back(push->entries.size());
      EXPECT_EQ(push->header.run, kConfig.run);
      for (const auto& entry : push->entries) EXPECT_EQ(entry.unit, UnitId(pushed++));
    } else {
      sizes.push_back(std::get<wire::Pull>(*received).entries.size());
      for (const auto& entry : std::get<wire::Pull>(*received).entries) {
        EXPECT_EQ(entry.unit, UnitId(pulled++));
      }
    }
  }

  const size_t most = wire::kEntriesMax;
  EXPECT_EQ(sizes, (std::vector<size_t>{most, most, 5, most, most, 5}));
  EXPECT_EQ(pushed, kUnits);
  EXPECT_EQ(pulled, kUnits);
}

// A linear search, called for each of them, would take 20'000^2 steps.
TEST(ParamClient, KnowsAtOnceWhetherOneOfManyUnitsIsAskedFor) {
  constexpr uint32_t kUnits = 20'000;
  ParamClient client(kConfig, {});
  for (uint32_t unit = 0; unit < kUnits; ++unit) client.pull(tag(1, unit), 0);

  const Time started = monotonic_now();
  for (uint32_t unit = 0; unit < kUnits; ++unit) {
    ASSERT_TRUE(client.in_flight(tag(1, unit), RequestKind::kPull));
    ASSERT_FALSE(client.in_flight(tag(2, unit), RequestKind::kPull));
  }
  client.cancel(1);

  EXPECT_FALSE(client.in_flight(tag(1, 0), RequestKind::kPull));
  EXPECT_LT(monotonic_now() - started, 1s);
}

TEST(ParamClient, GivesAnAnswerBackOnce) {
  ParamClient client = client_with_view();
  client.push(tag(4, 1), push_of({0, 2}));
  const uint64_t sequence = push_in(client.flush(kStart).at(0)).entries.at(0).sequence;

  const auto first =
      client.handle(shard(1), reply(sequence, 1, wire::ReplyCode::kApplied), kStart + 1ms);
  const auto again =
      client.handle(shard(1), reply(sequence, 1, wire::ReplyCode::kApplied), kStart + 2ms);

  ASSERT_EQ(first.size(), 1u);
  EXPECT_EQ(first[0].tag, tag(4, 1));
  EXPECT_EQ(first[0].kind, RequestKind::kPush);
  EXPECT_EQ(first[0].lanes.size(), 2u);
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(client.in_flight_count(), 0u);
}

TEST(ParamClient, IgnoresAnAnswerForAnotherUnit) {
  ParamClient client = client_with_view();
  client.pull(tag(1, 1), 0);
  const uint64_t sequence = pull_in(client.flush(kStart).at(0)).entries.at(0).sequence;

  EXPECT_TRUE(
      client.handle(shard(1), reply(sequence, 2, wire::ReplyCode::kWeights), kStart).empty());
  EXPECT_TRUE(client.in_flight(tag(1, 1), RequestKind::kPull));
}

TEST(ParamClient, SendsAnUnansweredRequestAgainWithTheSameSequence) {
  ParamClient client = client_with_view();
  client.push(tag(1, 0), push_of({0}));
  const uint64_t sequence = push_in(client.flush(kStart).at(0)).entries.at(0).sequence;
  const Time due = client.next_due().value();

  client.tick(due - 1ms);
  EXPECT_TRUE(client.flush(due - 1ms).empty());
  client.tick(due);
  const auto again = client.flush(due);

  ASSERT_EQ(again.size(), 1u);
  EXPECT_EQ(push_in(again[0]).entries.at(0).sequence, sequence);
  EXPECT_EQ(client.resent(), 1u);
}

TEST(ParamClient, WaitsAWhileAfterEarlyAndBusy) {
  for (const wire::ReplyCode code : {wire::ReplyCode::kEarly, wire::ReplyCode::kBusy}) {
    ParamClient client = client_with_view();
    client.push(tag(1, 0), push_of({0}));
    const uint64_t sequence = push_in(client.flush(kStart).at(0)).entries.at(0).sequence;

    const auto outcomes = client.handle(shard(0), reply(sequence, 0, code), kStart);

    EXPECT_TRUE(outcomes.empty());
    EXPECT_TRUE(client.flush(kStart + kConfig.busy_backoff - 1ms).empty());
    EXPECT_EQ(client.next_due(), kStart + kConfig.busy_backoff);
    EXPECT_EQ(client.flush(kStart + kConfig.busy_backoff).size(), 1u);
  }
}

TEST(ParamClient, AsksAMovedUnitAgainUnderTheEpochOfANewerView) {
  ParamClient client = client_with_view();
  client.push(tag(1, 0), push_of({0}));
  const uint64_t sequence = push_in(client.flush(kStart).at(0)).entries.at(0).sequence;
  (void)client.handle(shard(0), reply(sequence, 0, wire::ReplyCode::kMoved), kStart);
  EXPECT_TRUE(client.flush(kStart).empty());

  wire::View newer = view(2);
  newer.units[0] = {UnitId(0), ShardId(1), 9};
  ASSERT_TRUE(client.set_view(newer, kStart + 1ms));
  const auto messages = client.flush(kStart + 1ms);

  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].to, shard(1));
  EXPECT_EQ(push_in(messages[0]).entries.at(0).epoch, 9u);
}

TEST(ParamClient, IgnoresAnOlderView) {
  ParamClient client = client_with_view();
  ASSERT_TRUE(client.set_view(view(5, 3), kStart));

  EXPECT_FALSE(client.set_view(view(4, 9), kStart));
  EXPECT_FALSE(client.set_view(view(5, 9), kStart));
  EXPECT_EQ(client.shard_of(UnitId(0)), shard(0, 3));
}

TEST(ParamClient, AsksANewLifeOfAShardAgainAtOnce) {
  ParamClient client = client_with_view();
  client.push(tag(1, 0), push_of({0}));
  client.push(tag(1, 1), push_of({0}));
  (void)client.flush(kStart);

  wire::View newer = view(2);
  newer.shards[1].incarnation = 8;
  ASSERT_TRUE(client.set_view(newer, kStart + 1ms));
  const auto messages = client.flush(kStart + 1ms);

  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].to, shard(1, 8));
}

TEST(ParamClient, AsksAgainWhenTheConnectionIsNew) {
  ParamClient client = client_with_view();
  client.push(tag(1, 0), push_of({0}));
  client.push(tag(1, 1), push_of({0}));
  (void)client.flush(kStart);

  client.peer_up(shard(1), kStart + 1ms);
  const auto messages = client.flush(kStart + 1ms);

  ASSERT_EQ(messages.size(), 1u);
  EXPECT_EQ(messages[0].to, shard(1));
}

TEST(ParamClient, DropsLateAnswersToWhatIsCancelled) {
  ParamClient client = client_with_view();
  client.push(tag(1, 0), push_of({0, 1}));
  client.push(tag(1, 0), push_of({2}));
  client.push(tag(2, 0), push_of({1}));
  client.pull(tag(1, 1), 3);
  const auto sent = client.flush(kStart);
  const uint64_t of_lanes_0_1 = push_in(sent.at(0)).entries.at(0).sequence;

  client.cancel_lane_pushes(1, LaneId(1));

  EXPECT_EQ(client.in_flight_count(), 3u);
  EXPECT_TRUE(
      client.handle(shard(0), reply(of_lanes_0_1, 0, wire::ReplyCode::kApplied), kStart).empty());
  client.cancel(1);
  EXPECT_EQ(client.in_flight_count(), 1u);
  EXPECT_TRUE(client.in_flight(tag(2, 0), RequestKind::kPush));
}

TEST(ParamClient, NamesTheOldestRequestWithoutAnAnswer) {
  ParamClient client = client_with_view();
  EXPECT_FALSE(client.oldest_waiting().has_value());
  client.push(tag(1, 1), push_of({0}, 17));
  (void)client.flush(kStart);
  client.pull(tag(1, 0), 18);
  (void)client.flush(kStart + 5ms);

  const auto waiting = client.oldest_waiting();

  ASSERT_TRUE(waiting.has_value());
  EXPECT_EQ(waiting->since, kStart);
  EXPECT_EQ(waiting->text, "shard 1: push of unit 1 at clock 17");
}

}  // namespace
}  // namespace ballast
