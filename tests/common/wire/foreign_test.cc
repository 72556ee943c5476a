// Envelopes that our encoder would never write: of newer builds, and of none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "common/wire/codec.h"
#include "schemas/control_generated.h"
#include "schemas/wire_generated.h"

namespace ballast::wire {
namespace {

using ::testing::HasSubstr;
using Builder = flatbuffers::FlatBufferBuilder;
template <typename T>
using Offset = flatbuffers::Offset<T>;

Message finished(const Builder& builder, size_t payload_count) {
  Message message(
      Buffer::copy_of(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize()))));
  for (size_t i = 0; i < payload_count; ++i) message.payloads.push_back(Buffer::allocate(8));
  return message;
}

template <typename Body>
Message data(Builder& builder, Offset<Body> body, size_t payload_count = 0,
             uint32_t protocol = kProtocolMax) {
  builder.Finish(fb::CreateDataEnvelope(builder, protocol, 0, 0, 0, 0, 0,
                                        fb::DataBodyTraits<Body>::enum_value, body.Union()),
                 fb::DataEnvelopeIdentifier());
  return finished(builder, payload_count);
}

template <typename Body>
Message control(Builder& builder, Offset<Body> body, uint32_t protocol = kProtocolMax) {
  builder.Finish(fb::CreateControlEnvelope(builder, protocol, 0, 0, 0, 0, 0,
                                           fb::ControlBodyTraits<Body>::enum_value, body.Union()),
                 fb::ControlEnvelopeIdentifier());
  return finished(builder, 0);
}

// A push of one entry, with these segments.
Message push_of(const std::function<std::vector<Offset<fb::Segment>>(Builder&)>& segments,
                size_t payload_count) {
  Builder builder;
  const auto entry = fb::CreatePushEntry(builder, 1, 2, 3, 0, 0, 0, fb::PushKind::Gradient,
                                         builder.CreateVector(segments(builder)));
  return data(builder, fb::CreatePush(builder, builder.CreateVector(&entry, 1)), payload_count);
}

std::string refusal(Message message) {
  const Result<Any> received = decode(std::move(message));
  if (received.ok()) return "not refused";
  EXPECT_EQ(received.status().code(), Code::kInvalidInput);
  return received.status().to_string();
}

// Where field `id` of a table has its entry in the vtable (FlatBuffers' binary format).
constexpr flatbuffers::voffset_t field_of(int id) {
  return static_cast<flatbuffers::voffset_t>(4 + 2 * id);
}

TEST(ForeignMessage, FieldsOfNewerBuildsAreIgnored) {
  Builder builder;
  const auto extra = builder.CreateString("from a later version");
  const auto start = builder.StartTable();
  builder.AddElement<uint64_t>(fb::PullEntry::VT_SEQUENCE, 7, 0);
  builder.AddElement<uint64_t>(field_of(40), 41, 0);
  const Offset<fb::PullEntry> entry(builder.EndTable(start));
  const auto pull = fb::CreatePull(builder, builder.CreateVector(&entry, 1));
  const auto envelope_start = builder.StartTable();
  builder.AddOffset(fb::DataEnvelope::VT_BODY, pull);
  builder.AddOffset(field_of(50), extra);
  builder.AddElement<uint32_t>(fb::DataEnvelope::VT_PROTOCOL, kProtocolMax, 0);
  builder.AddElement<uint8_t>(fb::DataEnvelope::VT_BODY_TYPE,
                              static_cast<uint8_t>(fb::DataBody::Pull), 0);
  builder.Finish(Offset<fb::DataEnvelope>(builder.EndTable(envelope_start)),
                 fb::DataEnvelopeIdentifier());

  const Result<Any> received = decode(finished(builder, 0));

  ASSERT_TRUE(received.ok()) << received.status().to_string();
  EXPECT_EQ(std::get<Pull>(*received).entries.at(0).sequence, 7u);
}

TEST(ForeignMessage, ReservedFieldsAreIgnored) {
  Builder builder;
  const auto pull = fb::CreatePull(builder);
  builder.Finish(fb::CreateDataEnvelope(builder, kProtocolMax, 1, 2, 3, /*deadline_us=*/4,
                                        /*credits=*/5, fb::DataBody::Pull, pull.Union()),
                 fb::DataEnvelopeIdentifier());

  const Result<Any> received = decode(finished(builder, 0));

  ASSERT_TRUE(received.ok()) << received.status().to_string();
  EXPECT_EQ(std::get<Pull>(*received).header.trace, 3u);
}

TEST(ForeignMessage, AnotherProtocolIsRefused) {
  for (uint32_t protocol : {kProtocolMin - 1, kProtocolMax + 1}) {
    Builder builder;
    EXPECT_THAT(refusal(data(builder, fb::CreatePull(builder), 0, protocol)),
                HasSubstr("protocol: expected " + std::to_string(kProtocolMin) + " to " +
                          std::to_string(kProtocolMax) + ", found " + std::to_string(protocol)));
  }
}

TEST(ForeignMessage, AJoinOfAnyProtocolIsReadSoThatItCanBeAnswered) {
  Builder builder;
  const auto join = fb::CreateJoin(builder, fb::Role::Worker, 3, 4, /*protocol_min=*/98,
                                   /*protocol_max=*/99);

  const Result<Any> received = decode(control(builder, join, 99));

  ASSERT_TRUE(received.ok()) << received.status().to_string();
  EXPECT_EQ(std::get<Join>(*received).protocol_min, 98u);
}

TEST(ForeignMessage, ARefusalOfAnyProtocolIsRead) {
  Builder builder;
  const auto refused = fb::CreateRefused(builder, builder.CreateString("protocol 1 to 1"));

  const Result<Any> received = decode(control(builder, refused, 99));

  ASSERT_TRUE(received.ok()) << received.status().to_string();
  EXPECT_EQ(std::get<Refused>(*received).reason, "protocol 1 to 1");
}

TEST(ForeignMessage, AnUnknownBodyIsRefused) {
  Builder builder;
  const auto pull = fb::CreatePull(builder);
  builder.Finish(fb::CreateDataEnvelope(builder, kProtocolMax, 0, 0, 0, 0, 0,
                                        static_cast<fb::DataBody>(200), pull.Union()),
                 fb::DataEnvelopeIdentifier());

  EXPECT_THAT(refusal(finished(builder, 0)), HasSubstr("found 200 in protocol 3"));
}

TEST(ForeignMessage, APushWithoutAHashForEachLaneIsRefused) {
  Builder builder;
  const fb::LaneStamp stamps[] = {{0, 1, 7, 2.0}, {1, 1, 7, 2.0}};
  const uint64_t hashes[] = {5};
  const auto entry =
      fb::CreatePushEntry(builder, 1, 0, 0, builder.CreateVectorOfStructs(stamps, 2), 0, 2,
                          fb::PushKind::Gradient, 0, 0, builder.CreateVector(hashes, 1));
  const auto push = fb::CreatePush(builder, builder.CreateVector(&entry, 1));

  EXPECT_THAT(refusal(data(builder, push)),
              HasSubstr("entries.rows_hashes: expected 2, one a lane, found 1"));
}

TEST(ForeignMessage, ABodyThatIsMissingIsRefused) {
  Builder builder;
  fb::DataEnvelopeBuilder envelope(builder);
  envelope.add_protocol(kProtocolMax);
  envelope.add_body_type(fb::DataBody::Push);
  builder.Finish(envelope.Finish(), fb::DataEnvelopeIdentifier());

  EXPECT_THAT(refusal(finished(builder, 0)), HasSubstr("message body"));
}

TEST(ForeignMessage, AnotherFileIdentifierIsRefused) {
  Builder builder;
  builder.Finish(fb::CreateDataEnvelope(builder), "XXXX");

  EXPECT_THAT(refusal(finished(builder, 0)), HasSubstr("file identifier BLWD, BLWC or BLWF"));
}

TEST(ForeignMessage, EnumsOutOfRangeAreRefused) {
  Builder reply;
  const auto entry =
      fb::CreateReplyEntry(reply, 1, 2, 3, static_cast<fb::ReplyCode>(kReplyCodeCount));
  const auto body = fb::CreateReply(reply, reply.CreateVector(&entry, 1));
  Builder join;
  Builder end;
  Builder load;
  Builder failed;

  EXPECT_THAT(refusal(data(reply, body)), HasSubstr("entries.code: expected at most 10, found 11"));
  EXPECT_THAT(refusal(control(join, fb::CreateJoin(join, static_cast<fb::Role>(5)))),
              HasSubstr("role: expected at most 4, found 5"));
  EXPECT_THAT(refusal(control(end, fb::CreateEnd(end, static_cast<fb::EndKind>(3)))),
              HasSubstr("kind: expected at most 2, found 3"));
  EXPECT_THAT(refusal(control(load, fb::CreateLoad(load, 0, 0, static_cast<fb::LoadSource>(9)))),
              HasSubstr("source: expected at most 2, found 9"));
  EXPECT_THAT(refusal(control(failed, fb::CreateFailed(failed, fb::Role::Server, 0,
                                                       static_cast<fb::FailureCode>(11)))),
              HasSubstr("code: expected at most 10, found 11"));
}

TEST(ForeignMessage, SegmentsOfLaterVersionsAreRefused) {
  auto two = [](Builder& b) {
    return std::vector{fb::CreateSegment(b, 1), fb::CreateSegment(b, 2)};
  };
  auto codec = [](Builder& b) {
    return std::vector{fb::CreateSegment(b, 1, static_cast<fb::Codec>(1))};
  };
  auto scale = [](Builder& b) {
    return std::vector{fb::CreateSegment(b, 1, fb::Codec::None, 0.5f)};
  };
  auto keys = [](Builder& b) {
    return std::vector{fb::CreateSegment(b, 1, fb::Codec::None, 1, 0, 6)};
  };

  EXPECT_THAT(refusal(push_of(two, 2)), HasSubstr("segments: expected at most 1, found 2"));
  EXPECT_THAT(refusal(push_of(codec, 1)), HasSubstr("segments.codec"));
  EXPECT_THAT(refusal(push_of(scale, 1)), HasSubstr("segments.scale: expected 1, found 0.5"));
  EXPECT_THAT(refusal(push_of(keys, 1)), HasSubstr("segments.key_list: expected 0, found 6"));
}

TEST(ForeignMessage, APayloadNamedTwiceOrOutOfOrderIsRefused) {
  for (const auto& numbers : {std::vector<uint32_t>{1, 1}, {2, 1}, {0, 2}, {1, 0xffffffff}}) {
    Builder builder;
    std::vector<Offset<fb::PushEntry>> entries;
    for (uint32_t number : numbers) {
      const auto segment = fb::CreateSegment(builder, number);
      entries.push_back(fb::CreatePushEntry(builder, 1, 2, 3, 0, 0, 0, fb::PushKind::Gradient,
                                            builder.CreateVector(&segment, 1)));
    }

    EXPECT_THAT(refusal(data(builder, fb::CreatePush(builder, builder.CreateVector(entries)), 2)),
                HasSubstr("segments.payload: expected payload frame"));
  }
}

// 4 kB that would unpack to 32 MB.
TEST(ForeignMessage, AVectorSharedByManyFieldsIsRefused) {
  Builder builder;
  const auto marks = builder.CreateVector(std::vector<uint64_t>(4096));
  const auto unit = fb::CreateUnitMarks(builder, 0, 0, 0, marks);
  const std::vector<Offset<fb::UnitMarks>> units(1024, unit);
  const auto body = fb::CreateFenceMarks(builder, 0, 0, 0, 0, builder.CreateVector(units));

  EXPECT_THAT(refusal(control(builder, body)),
              HasSubstr("units.marks: expected vectors that do not overlap"));
}

// Marks of 8 bytes written as twice as many words: one of the two paddings puts them 4 beside.
TEST(ForeignMessage, ElementsAtUnalignedAddressesAreRefused) {
  int refused = 0;
  for (size_t padding : {0, 1}) {
    Builder builder;
    builder.CreateString(std::string(64, 'x'));  // lies behind, so that nothing is read beyond
    builder.CreateVector(std::vector<uint32_t>(padding));
    const auto words = builder.CreateVector(std::vector<uint32_t>(3));
    const auto unit =
        fb::CreateUnitMarks(builder, 0, 0, 0, Offset<flatbuffers::Vector<uint64_t>>(words.o));
    const auto body =
        fb::CreateFenceMarks(builder, 0, /*incarnation=*/1, 0, 0, builder.CreateVector(&unit, 1));

    const Result<Any> received = decode(control(builder, body));

    if (received.ok()) continue;
    ++refused;
    EXPECT_THAT(received.status().to_string(), HasSubstr("units.marks: expected elements at"));
  }
  EXPECT_EQ(refused, 1);
}

TEST(ForeignMessage, TooManyEntriesAreRefused) {
  Builder builder;
  const auto entry = fb::CreatePullEntry(builder);
  const std::vector<Offset<fb::PullEntry>> entries(kEntriesMax + 1, entry);
  const auto body = fb::CreatePull(builder, builder.CreateVector(entries));

  EXPECT_THAT(refusal(data(builder, body)), HasSubstr("entries: expected at most 4096 elements"));
}

}  // namespace
}  // namespace ballast::wire
