#include "common/wire/codec.h"

#include <fmt/format.h>

#include <optional>

#include "common/wire/control_codec.h"
#include "common/wire/data_codec.h"
#include "common/wire/feed_codec.h"

namespace ballast::wire {
namespace {

// The table of a message, and how its family of messages is enclosed.
template <typename T>
struct Pointee;
template <typename T>
struct Pointee<Offset<T>> {
  using Type = T;
};
template <typename M>
using Table =
    typename Pointee<decltype(pack(std::declval<Packer&>(), std::declval<const M&>()))>::Type;

template <typename M>
concept DataMessage = requires(const M& message) {
  message.header;
};
template <typename M>
concept FeedMessage = requires(const M& message) {
  message.stamp;
};
template <typename M>
concept OrderMessage = requires(const M& message) {
  message.leader;
};

template <typename M>
constexpr auto body_type() {
  if constexpr (DataMessage<M>) {
    return fb::DataBodyTraits<Table<M>>::enum_value;
  } else if constexpr (FeedMessage<M>) {
    return fb::FeedBodyTraits<Table<M>>::enum_value;
  } else {
    return fb::ControlBodyTraits<Table<M>>::enum_value;
  }
}

// The largest scalar of the schemas is 8 bytes, and FlatBuffers asks for no more.
constexpr size_t kEnvelopeAlignment = 8;
// FlatBuffers' own limit is 2 GiB - 1, by assertion; no envelope of ours comes near this one.
constexpr size_t kEnvelopeBytesMax = 1u << 30;
// Root, body and two levels of tables.
constexpr flatbuffers::uoffset_t kDepthMax = 8;

// -------------------------------------------------------------------------------- encode

// Grows when it was too small; a guess saves the copies of the common sizes.
template <typename M>
size_t envelope_bytes_guess(const M& message) {
  if constexpr (DataMessage<M>) {
    return 128 + 192 * message.entries.size();
  } else if constexpr (FeedMessage<M>) {
    return 256;
  } else {
    return 1024;
  }
}

template <typename M>
void finish_envelope(Packer& packer, const M& message, Offset<void> body) {
  auto& builder = packer.builder();
  if constexpr (DataMessage<M>) {
    fb::DataEnvelopeBuilder envelope(builder);
    envelope.add_run(message.header.run);
    envelope.add_trace(message.header.trace);
    envelope.add_body(body);
    envelope.add_protocol(kProtocolMax);
    envelope.add_term(message.header.term);
    envelope.add_body_type(body_type<M>());
    fb::FinishDataEnvelopeBuffer(builder, envelope.Finish());
  } else if constexpr (FeedMessage<M>) {
    fb::FeedEnvelopeBuilder envelope(builder);
    envelope.add_job(message.stamp.job);
    envelope.add_dataset(message.stamp.dataset);
    envelope.add_body(body);
    envelope.add_protocol(kProtocolMax);
    envelope.add_body_type(body_type<M>());
    fb::FinishFeedEnvelopeBuffer(builder, envelope.Finish());
  } else {
    fb::ControlEnvelopeBuilder envelope(builder);
    if constexpr (OrderMessage<M>) envelope.add_leader(message.leader);
    envelope.add_body(body);
    envelope.add_protocol(kProtocolMax);
    envelope.add_body_type(body_type<M>());
    fb::FinishControlEnvelopeBuffer(builder, envelope.Finish());
  }
}

template <typename M>
Message encode_one(const M& message) {
  if constexpr (DataMessage<M>) BALLAST_CHECK(message.entries.size() <= kEntriesMax);
  Packer packer(envelope_bytes_guess(message));
  finish_envelope(packer, message, pack(packer, message).Union());
  // Copied out, because a builder fills its memory from the back and so aligns the end only.
  const auto& builder = packer.builder();
  Buffer envelope =
      Buffer::copy_of(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())));
  return Message(std::move(envelope), std::move(packer.payloads()));
}

// -------------------------------------------------------------------------------- decode

Status malformed(std::string_view what, std::string_view expected, const std::string& found) {
  return Status(Code::kInvalidInput,
                fmt::format("message {}: expected {}, found {}; drop it", what, expected, found));
}

Buffer aligned(Buffer envelope) {
  const bool fits = reinterpret_cast<uintptr_t>(envelope.data()) % kEnvelopeAlignment == 0;
  return fits ? envelope : Buffer::copy_of(envelope.bytes());
}

template <typename Envelope>
Status verify(const Buffer& envelope, const char* identifier) {
  flatbuffers::Verifier::Options options;
  options.max_depth = kDepthMax;
  options.max_tables = kUnitsMax + kEntriesMax;
  flatbuffers::Verifier verifier(reinterpret_cast<const uint8_t*>(envelope.data()), envelope.size(),
                                 options);
  if (verifier.VerifyBuffer<Envelope>(identifier)) return Status();
  return malformed("envelope", "a whole FlatBuffer",
                   fmt::format("{} bytes that are none", envelope.size()));
}

// Join and Refused are how two builds find out that they do not understand each other.
template <typename M>
constexpr bool kAnyProtocol = std::is_same_v<M, Join> || std::is_same_v<M, Refused>;

template <typename M, typename Envelope>
Result<Any> decode_body(const Envelope& envelope, const Table<M>& body, Unpacker unpacker) {
  const bool spoken = envelope.protocol() >= kProtocolMin && envelope.protocol() <= kProtocolMax;
  if (!spoken && !kAnyProtocol<M>) {
    unpacker.refuse("protocol", fmt::format("{} to {}", kProtocolMin, kProtocolMax),
                    fmt::format("{}", envelope.protocol()));
  }
  M message = unpack(unpacker, body);
  if constexpr (DataMessage<M>) {
    message.header = {envelope.run(), envelope.term(), envelope.trace()};
  } else if constexpr (FeedMessage<M>) {
    message.stamp = {envelope.job(), envelope.dataset()};
  } else if constexpr (OrderMessage<M>) {
    message.leader = envelope.leader();
  }
  Status status = unpacker.finish();
  Any any(std::move(message));
  if (status.ok()) return any;
  return std::move(status).because(fmt::format("while decoding {}", message_name(any)));
}

// True when the envelope holds an M; `out` is then what became of it.
template <typename M, typename Envelope>
bool decode_if(const Envelope& envelope, Unpacker& unpacker, std::optional<Result<Any>>& out) {
  if constexpr (std::is_same_v<decltype(envelope.body_type()), decltype(body_type<M>())>) {
    if (envelope.body_type() != body_type<M>() || envelope.body() == nullptr) return false;
    const auto& body = *static_cast<const Table<M>*>(envelope.body());
    out.emplace(decode_body<M>(envelope, body, std::move(unpacker)));
    return true;
  } else {
    return false;
  }
}

template <typename Envelope, typename... M>
Result<Any> decode_any(const Envelope& envelope, Unpacker unpacker, const std::variant<M...>*) {
  std::optional<Result<Any>> result;
  if ((decode_if<M>(envelope, unpacker, result) || ...)) return *std::move(result);
  return malformed("body", "a type this build knows",
                   fmt::format("{} in protocol {}", static_cast<int>(envelope.body_type()),
                               envelope.protocol()));
}

template <typename Envelope>
Result<Any> decode_as(const Buffer& envelope, std::vector<Buffer> payloads,
                      const char* identifier) {
  BALLAST_RETURN_IF_ERROR(verify<Envelope>(envelope, identifier));
  return decode_any(*flatbuffers::GetRoot<Envelope>(envelope.data()),
                    Unpacker(envelope.size(), std::move(payloads)),
                    static_cast<const Any*>(nullptr));
}

}  // namespace

Message encode(const Any& message) {
  return std::visit([](const auto& one) { return encode_one(one); }, message);
}

Result<Any> decode(Message message) {
  const size_t bytes = message.envelope.size();
  const size_t least = sizeof(flatbuffers::uoffset_t) + flatbuffers::kFileIdentifierLength;
  if (bytes < least || bytes > kEnvelopeBytesMax) {
    return malformed("envelope", fmt::format("{} to {} bytes", least, kEnvelopeBytesMax),
                     fmt::format("{}", bytes));
  }
  const Buffer envelope = aligned(std::move(message.envelope));
  if (fb::DataEnvelopeBufferHasIdentifier(envelope.data())) {
    return decode_as<fb::DataEnvelope>(envelope, std::move(message.payloads),
                                       fb::DataEnvelopeIdentifier());
  }
  if (fb::ControlEnvelopeBufferHasIdentifier(envelope.data())) {
    return decode_as<fb::ControlEnvelope>(envelope, std::move(message.payloads),
                                          fb::ControlEnvelopeIdentifier());
  }
  if (fb::FeedEnvelopeBufferHasIdentifier(envelope.data())) {
    return decode_as<fb::FeedEnvelope>(envelope, std::move(message.payloads),
                                       fb::FeedEnvelopeIdentifier());
  }
  return malformed("envelope",
                   fmt::format("file identifier {}, {} or {}", fb::DataEnvelopeIdentifier(),
                               fb::ControlEnvelopeIdentifier(), fb::FeedEnvelopeIdentifier()),
                   "another");
}

}  // namespace ballast::wire
