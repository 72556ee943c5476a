#include "common/wire/data_codec.h"

#include <cmath>

namespace ballast::wire {
namespace {

static_assert(static_cast<int>(fb::ReplyCode::MAX) + 1 == kReplyCodeCount);
static_assert(static_cast<int>(fb::ReplyCode::Busy) == static_cast<int>(ReplyCode::kBusy));
static_assert(static_cast<int>(fb::PushKind::MAX) == static_cast<int>(PushKind::kDelta));

// A float payload, and the version it was computed from.
struct Segment {
  Version base_version = 0;
  Buffer payload;
};
using SegmentVector = Vector<Offset<fb::Segment>>;

Offset<SegmentVector> pack_segment(Packer& packer, Version base_version, const Buffer& payload) {
  fb::SegmentBuilder segment(packer.builder());
  segment.add_payload(packer.payload(payload));
  segment.add_base_version(base_version);
  const Offset<fb::Segment> offset = segment.Finish();
  return packer.builder().CreateVector(&offset, 1);
}

Segment unpack_one_segment(Unpacker& unpacker, const fb::Segment& table) {
  (void)unpacker.enumerator<fb::Codec>(table.codec(), "segments.codec");
  if (table.scale() != 1.0f) {
    unpacker.refuse("segments.scale", "1", fmt::format("{}", table.scale()));
  }
  if (table.key_list() != 0) {
    unpacker.refuse("segments.key_list", "0", fmt::format("{}", table.key_list()));
  }
  return {table.base_version(), unpacker.payload(table.payload(), "segments.payload")};
}

// The only segment of an entry; none gives an empty one.
Segment unpack_segment(Unpacker& unpacker, const SegmentVector* segments) {
  if (segments == nullptr || segments->size() == 0) return {};
  if (segments->size() == 1) return unpack_one_segment(unpacker, *segments->Get(0));
  unpacker.refuse("segments", "at most 1", fmt::format("{}", segments->size()));
  return {};
}

fb::LaneStamp pack_stamp(const LaneStamp& stamp) {
  return fb::LaneStamp(stamp.lane.value(), stamp.fence, stamp.clock, stamp.weight);
}

// A weight that is no number would poison the unit for good.
std::vector<LaneStamp> unpack_stamps(Unpacker& unpacker, const Vector<const fb::LaneStamp*>* lanes,
                                     const Vector<uint64_t>* rows_hashes) {
  std::vector<LaneStamp> stamps =
      unpacker.structs(lanes, kLanesMax, "entries.lanes", [&](const fb::LaneStamp& stamp) {
        if (!std::isfinite(stamp.weight()) || stamp.weight() < 0) {
          unpacker.refuse("entries.lanes.weight", "finite and >= 0",
                          fmt::format("{} of lane {}", stamp.weight(), stamp.lane()));
        }
        return LaneStamp{LaneId(stamp.lane()), stamp.fence(), stamp.clock(), stamp.weight()};
      });
  const std::vector<uint64_t> hashes =
      unpacker.numbers<uint64_t>(rows_hashes, kLanesMax, "entries.rows_hashes");
  if (hashes.size() != stamps.size()) {
    unpacker.refuse("entries.rows_hashes", fmt::format("{}, one a lane", stamps.size()),
                    fmt::format("{}", hashes.size()));
    return {};
  }
  for (size_t i = 0; i < stamps.size(); ++i) stamps[i].rows_hash = hashes[i];
  return stamps;
}

Offset<fb::PushEntry> pack_push_entry(Packer& packer, const PushEntry& entry) {
  std::vector<uint64_t> rows_hashes;
  for (const LaneStamp& stamp : entry.lanes) rows_hashes.push_back(stamp.rows_hash);
  return fb::CreatePushEntry(packer.builder(), entry.sequence, entry.unit.value(), entry.epoch,
                             packer.structs(entry.lanes, pack_stamp), entry.node_low,
                             entry.node_high, static_cast<fb::PushKind>(entry.kind),
                             pack_segment(packer, entry.base_version, entry.gradient),
                             /*stats=*/0, packer.numbers(rows_hashes));
}

PushEntry unpack_push_entry(Unpacker& unpacker, const fb::PushEntry& table) {
  if (table.node_low() > table.node_high() || table.node_high() > kLanesMax) {
    unpacker.refuse("entries.node", fmt::format("an interval within [0, {})", kLanesMax),
                    fmt::format("[{}, {})", table.node_low(), table.node_high()));
  }
  Segment segment = unpack_segment(unpacker, table.segments());
  return PushEntry{
      .sequence = table.sequence(),
      .unit = UnitId(table.unit()),
      .epoch = table.epoch(),
      .lanes = unpack_stamps(unpacker, table.lanes(), table.rows_hashes()),
      .node_low = table.node_low(),
      .node_high = table.node_high(),
      .base_version = segment.base_version,
      .kind = unpacker.enumerator<PushKind>(table.kind(), "entries.kind"),
      .gradient = std::move(segment.payload),
  };
}

Offset<fb::PullEntry> pack_pull_entry(Packer& packer, const PullEntry& entry) {
  return fb::CreatePullEntry(packer.builder(), entry.sequence, entry.unit.value(), entry.epoch,
                             entry.clock, entry.snapshot);
}

PullEntry unpack_pull_entry(Unpacker& unpacker, const fb::PullEntry& table) {
  if (table.key_list() != 0) {
    unpacker.refuse("entries.key_list", "0", fmt::format("{}", table.key_list()));
  }
  return {table.sequence(), UnitId(table.unit()), table.epoch(), table.clock(), table.snapshot()};
}

Offset<fb::ReplyEntry> pack_reply_entry(Packer& packer, const ReplyEntry& entry) {
  Offset<SegmentVector> segments;
  if (!entry.weights.empty()) segments = pack_segment(packer, 0, entry.weights);
  return fb::CreateReplyEntry(
      packer.builder(), entry.sequence, entry.unit.value(), entry.epoch,
      static_cast<fb::ReplyCode>(entry.code), entry.version, entry.least_clock,
      packer.structs(entry.fences,
                     [](const LaneFence& f) { return fb::LaneFence(f.lane.value(), f.fence); }),
      packer.ids(entry.missing), segments);
}

ReplyEntry unpack_reply_entry(Unpacker& unpacker, const fb::ReplyEntry& table) {
  return ReplyEntry{
      .sequence = table.sequence(),
      .unit = UnitId(table.unit()),
      .epoch = table.epoch(),
      .code = unpacker.enumerator<ReplyCode>(table.code(), "entries.code"),
      .version = table.version(),
      .least_clock = table.least_clock(),
      .fences = unpacker.structs(table.fences(), kLanesMax, "entries.fences",
                                 [](const fb::LaneFence& f) {
                                   return LaneFence{LaneId(f.lane()), f.fence()};
                                 }),
      .missing = unpacker.ids<LaneId>(table.missing(), kLanesMax, "entries.missing"),
      .weights = unpack_segment(unpacker, table.segments()).payload,
  };
}

}  // namespace

Offset<fb::Push> pack(Packer& packer, const Push& push) {
  return fb::CreatePush(packer.builder(), packer.tables(push.entries, pack_push_entry));
}

Offset<fb::Pull> pack(Packer& packer, const Pull& pull) {
  return fb::CreatePull(packer.builder(), packer.tables(pull.entries, pack_pull_entry));
}

Offset<fb::Reply> pack(Packer& packer, const Reply& reply) {
  return fb::CreateReply(packer.builder(), packer.tables(reply.entries, pack_reply_entry));
}

Push unpack(Unpacker& unpacker, const fb::Push& table) {
  return {{}, unpacker.tables(table.entries(), kEntriesMax, "entries", unpack_push_entry)};
}

Pull unpack(Unpacker& unpacker, const fb::Pull& table) {
  return {{}, unpacker.tables(table.entries(), kEntriesMax, "entries", unpack_pull_entry)};
}

Reply unpack(Unpacker& unpacker, const fb::Reply& table) {
  return {{}, unpacker.tables(table.entries(), kEntriesMax, "entries", unpack_reply_entry)};
}

}  // namespace ballast::wire
