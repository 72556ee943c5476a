// What packing and unpacking of all messages share. Only the sources of this folder include it.
// Owner thread: whoever called encode() or decode(); both live for one message.
#pragma once

#include <flatbuffers/flatbuffers.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/wire/elements_aligned.h"

namespace ballast::wire {

// Counts that a foreign envelope may claim, besides kEntriesMax.
inline constexpr size_t kLanesMax = 65536;     // the range of the key train.lanes
inline constexpr size_t kUnitsMax = 1u << 20;  // 1 TiB of weights in units of 1 MiB
inline constexpr size_t kShardsMax = 65536;    // processes times shards, far above any cluster
inline constexpr size_t kFeedersMax = 1024;    // the range of the key cluster.feeders
inline constexpr size_t kBucketsMax = 65536;   // of the staleness histogram
inline constexpr size_t kLinesMax = 1024;      // of a failure's chain
inline constexpr size_t kTextBytesMax = 1u << 20;

template <typename T>
using Offset = flatbuffers::Offset<T>;
template <typename T>
using Vector = flatbuffers::Vector<T>;

// Builds an envelope and gathers its payload frames. Empty vectors and texts take no bytes.
class Packer {
 public:
  explicit Packer(size_t bytes_guess) : builder_(bytes_guess) {}

  [[nodiscard]] flatbuffers::FlatBufferBuilder& builder() { return builder_; }
  [[nodiscard]] std::vector<Buffer>& payloads() { return payloads_; }

  // Adds a payload frame. Returns its number, from 1; 0 for an empty buffer, which adds none.
  uint32_t payload(const Buffer& buffer, size_t multiple = sizeof(float)) {
    BALLAST_CHECK(buffer.size() % multiple == 0);
    if (buffer.empty()) return 0;
    payloads_.push_back(buffer);
    return static_cast<uint32_t>(payloads_.size());
  }

  Offset<flatbuffers::String> text(const std::string& text) {
    return text.empty() ? 0 : builder_.CreateString(text);
  }

  template <typename T>
  Offset<Vector<T>> numbers(const std::vector<T>& numbers) {
    return numbers.empty() ? 0 : builder_.CreateVector(numbers);
  }

  template <typename Id>
  Offset<Vector<uint32_t>> ids(const std::vector<Id>& ids) {
    if (ids.empty()) return 0;
    uint32_t* out = nullptr;
    auto offset = builder_.CreateUninitializedVector(ids.size(), &out);
    std::transform(ids.begin(), ids.end(), out, [](Id id) { return id.value(); });
    return offset;
  }

  // pack_one(const T&) -> Struct. Not by CreateUninitializedVectorOfStructs: that of FlatBuffers
  // 2.0.8 aligns to the size of the struct, which for 12 or 24 bytes is no alignment at all.
  template <typename T, typename Pack>
  auto structs(const std::vector<T>& items, Pack pack_one) {
    using Struct = decltype(pack_one(items[0]));
    if (items.empty()) return Offset<Vector<const Struct*>>();
    auto fill = [&](size_t i, Struct* out, const std::vector<T>* from) {
      *out = pack_one((*from)[i]);
    };
    return builder_.CreateVectorOfStructs<Struct>(items.size(), fill, &items);
  }

  // pack_one(Packer&, const T&) -> Offset<Table>
  template <typename T, typename Pack>
  auto tables(const std::vector<T>& items, Pack pack_one) {
    std::vector<decltype(pack_one(*this, items[0]))> offsets;
    offsets.reserve(items.size());
    for (const T& item : items) offsets.push_back(pack_one(*this, item));
    return builder_.CreateVector(offsets);
  }

 private:
  flatbuffers::FlatBufferBuilder builder_;
  std::vector<Buffer> payloads_;
};

// Reads an envelope that the FlatBuffers verifier has passed, and checks what that cannot see. The
// first thing that is wrong is kept; from then on what is returned is empty, and finish() tells.
class Unpacker {
 public:
  Unpacker(size_t envelope_bytes, std::vector<Buffer> payloads)
      : bytes_left_(envelope_bytes), payloads_(std::move(payloads)) {}

  void refuse(std::string_view field, std::string_view expected, std::string_view found) {
    if (!failed()) {
      failure_ = Status(Code::kInvalidInput,
                        fmt::format("{}: expected {}, found {}", field, expected, found));
    }
  }
  [[nodiscard]] bool failed() const { return !failure_.ok(); }

  // Ok when nothing was refused and every payload frame was taken.
  [[nodiscard]] Status finish() {
    if (taken_ < payloads_.size()) {
      refuse("payload frames", fmt::format("{}", taken_), fmt::format("{}", payloads_.size()));
    }
    return std::move(failure_);
  }

  // The values of our enum and of the schema's are the same numbers.
  template <typename To, typename From>
  To enumerator(From value, std::string_view field) {
    if (value <= From::MAX) return static_cast<To>(value);
    refuse(field, fmt::format("at most {}", static_cast<int>(From::MAX)),
           fmt::format("{}", static_cast<int>(value)));
    return To{};
  }

  // Frames are numbered in the order in which entries name them, so each is taken exactly once.
  Buffer payload(uint32_t number, std::string_view field, size_t multiple = sizeof(float)) {
    if (number == 0) return Buffer();
    if (number != taken_ + 1 || number > payloads_.size()) {
      refuse(field, fmt::format("payload frame {} of {}", taken_ + 1, payloads_.size()),
             fmt::format("{}", number));
      return Buffer();
    }
    Buffer& frame = payloads_[taken_++];
    if (frame.empty() || frame.size() % multiple != 0) {
      refuse(field, fmt::format("a multiple of {} bytes, not 0", multiple),
             fmt::format("{} bytes", frame.size()));
      return Buffer();
    }
    return std::move(frame);
  }

  std::string text(const flatbuffers::String* text, std::string_view field) {
    return accept(text, kTextBytesMax, field) ? text->str() : std::string();
  }

  template <typename T>
  std::vector<T> numbers(const Vector<T>* numbers, size_t count_max, std::string_view field) {
    if (!accept(numbers, count_max, field)) return {};
    return std::vector<T>(numbers->begin(), numbers->end());
  }

  template <typename Id>
  std::vector<Id> ids(const Vector<uint32_t>* ids, size_t count_max, std::string_view field) {
    if (!accept(ids, count_max, field)) return {};
    std::vector<Id> out;
    out.reserve(ids->size());
    for (uint32_t id : *ids) out.emplace_back(id);
    return out;
  }

  // unpack_one(const Struct&) -> T
  template <typename Struct, typename Unpack>
  auto structs(const Vector<const Struct*>* structs, size_t count_max, std::string_view field,
               Unpack unpack_one) {
    std::vector<decltype(unpack_one(*structs->Get(0)))> out;
    if (!accept(structs, count_max, field, sizeof(Struct))) return out;
    out.reserve(structs->size());
    for (const Struct* item : *structs) out.push_back(unpack_one(*item));
    return out;
  }

  // unpack_one(Unpacker&, const Table&) -> T
  template <typename Table, typename Unpack>
  auto tables(const Vector<Offset<Table>>* tables, size_t count_max, std::string_view field,
              Unpack unpack_one) {
    std::vector<decltype(unpack_one(*this, *tables->Get(0)))> out;
    if (!accept(tables, count_max, field)) return out;
    out.reserve(tables->size());
    for (const Table* table : *tables) {
      if (failed()) break;
      out.push_back(unpack_one(*this, *table));
    }
    return out;
  }

 private:
  // False: nothing there, too much of it, or not to be read in place. Our senders share no vector
  // between two fields, so all vectors together fit the envelope; a foreign one that does is
  // refused before its few bytes become gigabytes of copies.
  template <typename T>
  bool accept(const Vector<T>* vector, size_t count_max, std::string_view field,
              size_t element_bytes = sizeof(T)) {
    if (vector == nullptr || failed()) return false;
    const size_t count = vector->size();
    if (count > count_max) {
      refuse(field, fmt::format("at most {} elements", count_max), fmt::format("{}", count));
    } else if (count * element_bytes > bytes_left_) {
      refuse(field, "vectors that do not overlap", fmt::format("{} elements too many", count));
    } else if (!elements_aligned(vector)) {
      refuse(field, "elements at aligned addresses", "others");
    } else {
      bytes_left_ -= count * element_bytes;
    }
    return !failed();
  }

  size_t bytes_left_;  // of the envelope, not yet claimed by a vector
  std::vector<Buffer> payloads_;
  size_t taken_ = 0;  // payload frames
  Status failure_;
};

}  // namespace ballast::wire
