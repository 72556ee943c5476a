#include "server/coordinator/saved_state.h"

#include <fmt/format.h>

#include <cstring>

#include "common/base/hash.h"

namespace ballast {
namespace {

// "BLCOORD1" as little-endian bytes; the version is its last letter.
constexpr uint64_t kMagic = 0x3144524f4f434c42ull;
constexpr uint64_t kItemsMax = 1 << 20;  // of any list: far above lanes, processes and error lines

// One walk for both directions: an archive is called with each field in turn.
class Writer {
 public:
  void number(uint64_t value) {
    for (int byte = 0; byte < 8; ++byte) {
      bytes_.push_back(static_cast<std::byte>(value >> (8 * byte) & 0xff));
    }
  }
  void operator()(uint64_t& value, uint64_t = 0) { number(value); }
  void operator()(std::string& text) {
    number(text.size());
    const auto* begin = reinterpret_cast<const std::byte*>(text.data());
    bytes_.insert(bytes_.end(), begin, begin + text.size());
  }
  template <typename List>
  void size(List& list) {
    number(list.size());
  }
  [[nodiscard]] const std::vector<std::byte>& bytes() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : bytes_(bytes) {}

  // Values above `max` are damage.
  void operator()(uint64_t& value, uint64_t max = ~uint64_t{0}) {
    value = 0;
    if (bytes_.size() - at_ < 8) return fail("8 more bytes", "the end");
    for (int byte = 7; byte >= 0; --byte) {
      value = value << 8 | std::to_integer<uint64_t>(bytes_[at_ + static_cast<size_t>(byte)]);
    }
    if (value > max) {
      fail(fmt::format("at most {}", max), fmt::format("{}", value));
      value = 0;
    }
    at_ += 8;
  }
  void operator()(std::string& text) {
    uint64_t count = 0;
    (*this)(count, bytes_.size() - at_);
    if (bytes_.size() - at_ < count) return fail("a whole string", "the end");
    text.assign(reinterpret_cast<const char*>(bytes_.data()) + at_, count);
    at_ += count;
  }
  template <typename List>
  void size(List& list) {
    uint64_t count = 0;
    (*this)(count, kItemsMax);
    if (count > bytes_.size()) return fail("a list that fits", fmt::format("{} items", count));
    list.resize(status_.ok() ? count : 0);
  }
  void fail(std::string expected, std::string found) {
    if (!status_.ok()) return;
    status_ = Status(Code::kDataLoss,
                     fmt::format("saved state of the coordinator at byte {}: expected {}, found {}",
                                 at_, expected, found));
  }
  [[nodiscard]] bool at_end() const { return at_ == bytes_.size(); }
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  std::span<const std::byte> bytes_;
  size_t at_ = 0;
  Status status_;
};

// Any small whole number: bool, enum, narrower integer, id.
template <typename Archive, typename T>
void small(Archive& archive, T& value, uint64_t max) {
  uint64_t wide = static_cast<uint64_t>(value);
  archive(wide, max);
  value = static_cast<T>(wide);
}

template <typename Archive>
void worker_id(Archive& archive, WorkerId& worker) {
  uint64_t wide = worker.value();
  archive(wide, kItemsMax);
  worker = WorkerId(static_cast<uint32_t>(wide));
}

template <typename Archive, typename T, typename Walk>
void maybe(Archive& archive, std::optional<T>& value, Walk walk) {
  bool there = value.has_value();
  small(archive, there, 1);
  if (there && !value) value.emplace();
  if (there) walk(*value);
}

template <typename Archive>
void walk_member(Archive& archive, SavedMember& member) {
  small(archive, member.presence, static_cast<uint64_t>(Presence::kGone));
  archive(member.incarnation);
  archive(member.endpoint);
  archive(member.host);
  small(archive, member.process, ~uint32_t{0});
  small(archive, member.loaded, 1);
  small(archive, member.journal, 1);
}

template <typename Archive>
void walk_lane(Archive& archive, SavedLane& lane) {
  small(archive, lane.fence, ~Fence{0});
  maybe(archive, lane.owner, [&](WorkerId& owner) { worker_id(archive, owner); });
  archive(lane.number);
  archive(lane.start);
  archive(lane.reached);
  maybe(archive, lane.handover, [&](SavedHandover& handover) {
    worker_id(archive, handover.from);
    worker_id(archive, handover.to);
    archive(handover.clock);
    maybe(archive, handover.until, [&](Clock& until) { archive(until); });
    archive(handover.number);
  });
}

template <typename Archive>
void walk(Archive& archive, SavedState& state) {
  archive(state.leader);
  archive(state.view);
  small(archive, state.started, 1);
  small(archive, state.trained, 1);
  small(archive, state.stop_requested, 1);
  archive.size(state.workers);
  for (SavedMember& member : state.workers) walk_member(archive, member);
  archive.size(state.shards);
  for (SavedMember& member : state.shards) walk_member(archive, member);
  archive.size(state.lanes);
  for (SavedLane& lane : state.lanes) walk_lane(archive, lane);
  archive(state.evaluation_done);
  archive(state.checkpoint_committed);
  archive(state.checkpoint_ordered);
  archive(state.restarts);
  archive(state.lane_moves);
  archive(state.fences_raised);
  maybe(archive, state.ending, [&](wire::EndKind& kind) {
    small(archive, kind, static_cast<uint64_t>(wire::EndKind::kFailed));
  });
  small(archive, state.ending_code, static_cast<uint64_t>(Code::kDiverged));
  archive.size(state.ending_chain);
  for (std::string& line : state.ending_chain) archive(line);
}

}  // namespace

Buffer encode(const SavedState& state) {
  SavedState copy = state;
  Writer body;
  walk(body, copy);
  Writer head;
  head.number(kMagic);
  head.number(xxh3(body.bytes()));
  Buffer buffer = Buffer::allocate(head.bytes().size() + body.bytes().size());
  std::memcpy(buffer.data(), head.bytes().data(), head.bytes().size());
  std::memcpy(buffer.data() + head.bytes().size(), body.bytes().data(), body.bytes().size());
  return buffer;
}

Result<SavedState> decode_saved_state(std::span<const std::byte> bytes) {
  Reader head(bytes.first(std::min<size_t>(bytes.size(), 16)));
  uint64_t magic = 0;
  uint64_t hash = 0;
  head(magic);
  head(hash);
  if (!head.status().ok()) return head.status();
  if (magic != kMagic) head.fail(fmt::format("{:016x}", kMagic), fmt::format("{:016x}", magic));
  const uint64_t actual = xxh3(bytes.subspan(16));
  if (hash != actual) head.fail(fmt::format("xxh3 {:016x}", hash), fmt::format("{:016x}", actual));
  if (!head.status().ok()) return head.status();

  Reader body(bytes.subspan(16));
  SavedState state;
  walk(body, state);
  if (body.status().ok() && !body.at_end()) body.fail("the end", "more bytes");
  if (!body.status().ok()) return body.status();
  return state;
}

}  // namespace ballast
