#include "common/wire/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <set>

#include "tests/common/wire/random_message.h"

namespace ballast::wire {
namespace {

using ::testing::HasSubstr;

constexpr size_t kAlternatives = std::variant_size_v<Any>;

PushEntry push_entry(size_t gradient_bytes) {
  PushEntry entry;
  entry.lanes = {{LaneId(1), 2, 3, 4.0}};
  entry.gradient = Buffer::allocate(gradient_bytes);
  return entry;
}

Message encoded_push(std::vector<size_t> gradient_bytes) {
  Push push;
  for (size_t bytes : gradient_bytes) push.entries.push_back(push_entry(bytes));
  return encode(push);
}

std::string refusal(Message message) {
  const Result<Any> received = decode(std::move(message));
  if (received.ok()) return "not refused";
  EXPECT_EQ(received.status().code(), Code::kInvalidInput);
  return received.status().to_string();
}

class EveryMessage : public ::testing::TestWithParam<size_t> {};

TEST_P(EveryMessage, ComesBackAsItWas) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Random random(seed);
    const Any sent = random_message(random, GetParam());

    const Result<Any> received = decode(encode(sent));

    ASSERT_TRUE(received.ok()) << received.status().to_string() << " seed " << seed;
    ASSERT_TRUE(equal(sent, *received)) << message_name(sent) << " seed " << seed;
  }
}

TEST_P(EveryMessage, ComesBackWhenAllIsDefault) {
  Random random(0);
  Any sent = random_message(random, GetParam());
  std::visit([]<typename M>(M& message) { message = M(); }, sent);

  const Result<Any> received = decode(encode(sent));

  ASSERT_TRUE(received.ok()) << received.status().to_string();
  EXPECT_TRUE(equal(sent, *received));
}

INSTANTIATE_TEST_SUITE_P(Codec, EveryMessage, ::testing::Range<size_t>(0, kAlternatives),
                         [](const auto& instance) {
                           Random random(0);
                           return std::string(message_name(random_message(random, instance.param)));
                         });

TEST(RandomMessage, TellsDifferentMessagesApart) {
  Random random(1);
  for (size_t i = 0; i < kAlternatives; ++i) {
    const Any one = random_message(random, i);
    const Any other = random_message(random, i);

    EXPECT_TRUE(equal(one, one));
    EXPECT_FALSE(equal(one, other)) << message_name(one);
  }
}

TEST(Messages, HaveDifferentNames) {
  Random random(0);
  std::set<std::string_view> names;
  for (size_t i = 0; i < kAlternatives; ++i) names.insert(message_name(random_message(random, i)));

  EXPECT_EQ(names.size(), kAlternatives);
}

TEST(Codec, CarriesEveryReplyCode) {
  std::set<std::string_view> names;
  for (int code = 0; code < kReplyCodeCount; ++code) {
    Reply reply;
    reply.entries.emplace_back().code = static_cast<ReplyCode>(code);

    Result<Any> received = decode(encode(reply));

    ASSERT_TRUE(received.ok());
    EXPECT_EQ(std::get<Reply>(*received).entries[0].code, static_cast<ReplyCode>(code));
    names.insert(reply_code_name(static_cast<ReplyCode>(code)));
  }
  EXPECT_EQ(names.size(), static_cast<size_t>(kReplyCodeCount));
  EXPECT_EQ(names.count("unknown"), 0u);
}

TEST(Codec, CopiesNoPayload) {
  const Push push{{}, {push_entry(64), push_entry(0), push_entry(4)}};

  Message message = encode(push);
  ASSERT_EQ(message.payloads.size(), 2u);
  EXPECT_EQ(message.payloads[0].data(), push.entries[0].gradient.data());
  const Result<Any> received = decode(std::move(message));

  ASSERT_TRUE(received.ok());
  const auto& entries = std::get<Push>(*received).entries;
  EXPECT_EQ(entries[0].gradient.data(), push.entries[0].gradient.data());
  EXPECT_TRUE(entries[1].gradient.empty());
  EXPECT_EQ(entries[2].gradient.data(), push.entries[2].gradient.data());
}

TEST(Codec, GivesEnvelopesThatAreAligned) {
  const Message message = encoded_push({4, 4, 4});

  EXPECT_EQ(reinterpret_cast<uintptr_t>(message.envelope.data()) % kBufferAlignment, 0u);
}

TEST(Codec, ReadsEnvelopesAtAnyAddress) {
  const Message message = encoded_push({4});
  for (size_t shift = 1; shift < 16; ++shift) {
    Buffer room = Buffer::allocate(message.envelope.size() + shift);
    std::ranges::copy(message.envelope.bytes(), room.bytes().begin() + shift);

    const Result<Any> received =
        decode(Message(room.slice(shift, message.envelope.size()), message.payloads));

    EXPECT_TRUE(received.ok()) << shift << ": " << received.status().to_string();
  }
}

TEST(Codec, RefusesAPayloadThatNoEntryNames) {
  Message message = encoded_push({4});
  message.payloads.push_back(Buffer::allocate(4));

  const std::string why = refusal(std::move(message));

  EXPECT_THAT(why, HasSubstr("payload frames: expected 1, found 2"));
  EXPECT_THAT(why, HasSubstr("while decoding Push"));
}

TEST(Codec, RefusesAMissingPayload) {
  Message message = encoded_push({4, 4});
  message.payloads.pop_back();

  EXPECT_THAT(refusal(std::move(message)), HasSubstr("expected payload frame 2 of 1, found 2"));
}

TEST(Codec, RefusesPayloadsThatAreNoFloats) {
  for (size_t bytes : {0, 3, 5}) {
    Message message = encoded_push({8});
    message.payloads[0] = message.payloads[0].slice(0, bytes);

    EXPECT_THAT(refusal(std::move(message)), HasSubstr("a multiple of 4 bytes"));
  }
}

TEST(Codec, RefusesMostTruncationsOfAnEnvelopeAndSurvivesAll) {
  const Message message = encoded_push({4, 4});
  for (size_t bytes = 0; bytes < message.envelope.size(); ++bytes) {
    Buffer part = Buffer::copy_of(message.envelope.bytes().subspan(0, bytes));

    // The builder pads its end to 8 bytes, so what lacks less may be whole.
    const bool ok = decode(Message(std::move(part), message.payloads)).ok();
    EXPECT_FALSE(ok && bytes + 8 <= message.envelope.size()) << bytes;
  }
}

TEST(Codec, RefusesMoreLanesThanAJobMayHave) {
  Push push{{}, {push_entry(4)}};
  push.entries[0].lanes.resize(65537);

  EXPECT_THAT(refusal(encode(push)),
              HasSubstr("entries.lanes: expected at most 65536 elements, found 65537"));
}

TEST(Codec, RefusesWeightsThatWouldPoisonAUnit) {
  for (double weight :
       {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    Push push{{}, {push_entry(4)}};
    push.entries[0].lanes[0].weight = weight;

    EXPECT_THAT(refusal(encode(push)), HasSubstr("entries.lanes.weight"));
  }
}

TEST(Codec, RefusesATreeNodeThatIsNone) {
  Push push{{}, {push_entry(4)}};
  push.entries[0].node_low = 3;
  push.entries[0].node_high = 2;

  EXPECT_THAT(refusal(encode(push)), HasSubstr("found [3, 2)"));
}

TEST(Codec, RefusesAFailureThatSaysOk) {
  Failed failed;
  failed.code = Code::kOk;

  EXPECT_THAT(refusal(encode(failed)), HasSubstr("code: expected a failure, found ok"));
}

TEST(Codec, RefusesScoresThatAreNoPairs) {
  EvalPart part;
  part.sums.scores = Buffer::allocate(12);

  EXPECT_THAT(refusal(encode(part)), HasSubstr("scores: expected a multiple of 8 bytes"));
}

}  // namespace
}  // namespace ballast::wire
