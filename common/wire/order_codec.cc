#include "common/wire/control_codec.h"

namespace ballast::wire {
namespace {

static_assert(static_cast<int>(fb::LoadSource::MAX) == static_cast<int>(LoadSource::kJournal));
static_assert(static_cast<int>(fb::EndKind::MAX) == static_cast<int>(EndKind::kFailed));

using UnitPlaceVector = Vector<const fb::UnitPlace*>;

Offset<UnitPlaceVector> pack_places(Packer& packer, const std::vector<UnitPlace>& units) {
  return packer.structs(units, [](const UnitPlace& place) {
    return fb::UnitPlace(place.unit.value(), place.shard.value(), place.epoch);
  });
}

std::vector<UnitPlace> unpack_places(Unpacker& unpacker, const UnitPlaceVector* units) {
  return unpacker.structs(units, kUnitsMax, "units", [](const fb::UnitPlace& place) {
    return UnitPlace{UnitId(place.unit()), ShardId(place.shard()), place.epoch()};
  });
}

Offset<fb::ShardAddress> pack_address(Packer& packer, const ShardAddress& address) {
  return fb::CreateShardAddress(packer.builder(), address.shard.value(),
                                packer.text(address.endpoint), address.incarnation);
}

ShardAddress unpack_address(Unpacker& unpacker, const fb::ShardAddress& table) {
  return {ShardId(table.shard()), unpacker.text(table.endpoint(), "shards.endpoint"),
          table.incarnation()};
}

}  // namespace

Offset<fb::View> pack(Packer& packer, const View& m) {
  return fb::CreateView(packer.builder(), m.number, packer.tables(m.shards, pack_address),
                        pack_places(packer, m.units));
}

View unpack(Unpacker& unpacker, const fb::View& t) {
  return {
      .number = t.number(),
      .shards = unpacker.tables(t.shards(), kShardsMax, "shards", unpack_address),
      .units = unpack_places(unpacker, t.units()),
  };
}

Offset<fb::Welcome> pack(Packer& packer, const Welcome& m) {
  return fb::CreateWelcome(packer.builder(), m.term);
}

Welcome unpack(Unpacker&, const fb::Welcome& t) {
  return {.term = t.term()};
}

Offset<fb::Refused> pack(Packer& packer, const Refused& m) {
  return fb::CreateRefused(packer.builder(), packer.text(m.reason));
}

Refused unpack(Unpacker& unpacker, const fb::Refused& t) {
  return {.reason = unpacker.text(t.reason(), "reason")};
}

Offset<fb::Assign> pack(Packer& packer, const Assign& m) {
  const auto lanes = packer.structs(m.lanes, [](const LaneAssignment& lane) {
    return fb::LaneAssignment(lane.lane.value(), lane.fence, lane.number, lane.start);
  });
  return fb::CreateAssign(packer.builder(), m.term, lanes);
}

Assign unpack(Unpacker& unpacker, const fb::Assign& t) {
  return {
      .lanes = unpacker.structs(
          t.lanes(), kLanesMax, "lanes",
          [](const fb::LaneAssignment& lane) {
            return LaneAssignment{LaneId(lane.lane()), lane.fence(), lane.number(), lane.start()};
          }),
      .term = t.term(),
  };
}

Offset<fb::Handover> pack(Packer& packer, const Handover& m) {
  return fb::CreateHandover(packer.builder(), m.lane.value(), m.fence, m.number, m.clock, m.term);
}

Handover unpack(Unpacker&, const fb::Handover& t) {
  return {
      .lane = LaneId(t.lane()),
      .fence = t.fence(),
      .number = t.number(),
      .clock = t.clock(),
      .term = t.term(),
  };
}

Offset<fb::FenceOrder> pack(Packer& packer, const FenceOrder& m) {
  return fb::CreateFenceOrder(packer.builder(), packer.numbers(m.fences));
}

FenceOrder unpack(Unpacker& unpacker, const fb::FenceOrder& t) {
  return {.fences = unpacker.numbers(t.fences(), kLanesMax, "fences")};
}

Offset<fb::Load> pack(Packer& packer, const Load& m) {
  return fb::CreateLoad(
      packer.builder(), m.incarnation, m.term, static_cast<fb::LoadSource>(m.source), m.checkpoint,
      packer.text(m.checkpoint_folder), pack_places(packer, m.units), packer.numbers(m.fences));
}

Load unpack(Unpacker& unpacker, const fb::Load& t) {
  return {
      .incarnation = t.incarnation(),
      .term = t.term(),
      .source = unpacker.enumerator<LoadSource>(t.source(), "source"),
      .checkpoint = t.checkpoint(),
      .checkpoint_folder = unpacker.text(t.checkpoint_folder(), "checkpoint_folder"),
      .units = unpack_places(unpacker, t.units()),
      .fences = unpacker.numbers(t.fences(), kLanesMax, "fences"),
  };
}

Offset<fb::TakeSnapshot> pack(Packer& packer, const TakeSnapshot& m) {
  return fb::CreateTakeSnapshot(packer.builder(), m.snapshot);
}

TakeSnapshot unpack(Unpacker&, const fb::TakeSnapshot& t) {
  return {.snapshot = t.snapshot()};
}

Offset<fb::ReleaseSnapshot> pack(Packer& packer, const ReleaseSnapshot& m) {
  return fb::CreateReleaseSnapshot(packer.builder(), m.snapshot);
}

ReleaseSnapshot unpack(Unpacker&, const fb::ReleaseSnapshot& t) {
  return {.snapshot = t.snapshot()};
}

Offset<fb::Evaluate> pack(Packer& packer, const Evaluate& m) {
  return fb::CreateEvaluate(packer.builder(), m.snapshot, packer.ids(m.lanes));
}

Evaluate unpack(Unpacker& unpacker, const fb::Evaluate& t) {
  return {.snapshot = t.snapshot(), .lanes = unpacker.ids<LaneId>(t.lanes(), kLanesMax, "lanes")};
}

Offset<fb::EvalAck> pack(Packer& packer, const EvalAck& m) {
  return fb::CreateEvalAck(packer.builder(), m.evaluation, m.lane.value());
}

EvalAck unpack(Unpacker&, const fb::EvalAck& t) {
  return {.evaluation = t.evaluation(), .lane = LaneId(t.lane())};
}

Offset<fb::CheckpointOrder> pack(Packer& packer, const CheckpointOrder& m) {
  return fb::CreateCheckpointOrder(packer.builder(), m.checkpoint);
}

CheckpointOrder unpack(Unpacker&, const fb::CheckpointOrder& t) {
  return {.checkpoint = t.checkpoint()};
}

Offset<fb::Pause> pack(Packer& packer, const Pause&) {
  return fb::CreatePause(packer.builder());
}

Pause unpack(Unpacker&, const fb::Pause&) {
  return {};
}

Offset<fb::StopAt> pack(Packer& packer, const StopAt& m) {
  return fb::CreateStopAt(packer.builder(), m.clock);
}

StopAt unpack(Unpacker&, const fb::StopAt& t) {
  return {.clock = t.clock()};
}

Offset<fb::End> pack(Packer& packer, const End& m) {
  return fb::CreateEnd(packer.builder(), static_cast<fb::EndKind>(m.kind), packer.text(m.reason));
}

End unpack(Unpacker& unpacker, const fb::End& t) {
  return {.kind = unpacker.enumerator<EndKind>(t.kind(), "kind"),
          .reason = unpacker.text(t.reason(), "reason")};
}

Offset<fb::BeatAnswer> pack(Packer& packer, const BeatAnswer& m) {
  return fb::CreateBeatAnswer(packer.builder(), m.term, m.view);
}

BeatAnswer unpack(Unpacker&, const fb::BeatAnswer& t) {
  return {.term = t.term(), .view = t.view()};
}

}  // namespace ballast::wire
