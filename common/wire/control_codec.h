// Tables of schemas/control.fbs for the messages to and from the coordinator. Pure. `leader` lies
// in the envelope (codec.cc), not here.
#pragma once

#include "common/wire/control_messages.h"
#include "common/wire/parts.h"
#include "schemas/control_generated.h"

namespace ballast::wire {

// Reports, to the coordinator: report_codec.cc.
Offset<fb::Join> pack(Packer& packer, const Join& message);
Offset<fb::WorkerProgress> pack(Packer& packer, const WorkerProgress& message);
Offset<fb::ShardProgress> pack(Packer& packer, const ShardProgress& message);
Offset<fb::FenceMarks> pack(Packer& packer, const FenceMarks& message);
Offset<fb::Loaded> pack(Packer& packer, const Loaded& message);
Offset<fb::Assigned> pack(Packer& packer, const Assigned& message);
Offset<fb::Handing> pack(Packer& packer, const Handing& message);
Offset<fb::EvalPart> pack(Packer& packer, const EvalPart& message);
Offset<fb::SnapshotTaken> pack(Packer& packer, const SnapshotTaken& message);
Offset<fb::PartDone> pack(Packer& packer, const PartDone& message);
Offset<fb::Paused> pack(Packer& packer, const Paused& message);
Offset<fb::Failed> pack(Packer& packer, const Failed& message);

Join unpack(Unpacker& unpacker, const fb::Join& table);
WorkerProgress unpack(Unpacker& unpacker, const fb::WorkerProgress& table);
ShardProgress unpack(Unpacker& unpacker, const fb::ShardProgress& table);
FenceMarks unpack(Unpacker& unpacker, const fb::FenceMarks& table);
Loaded unpack(Unpacker& unpacker, const fb::Loaded& table);
Assigned unpack(Unpacker& unpacker, const fb::Assigned& table);
Handing unpack(Unpacker& unpacker, const fb::Handing& table);
EvalPart unpack(Unpacker& unpacker, const fb::EvalPart& table);
SnapshotTaken unpack(Unpacker& unpacker, const fb::SnapshotTaken& table);
PartDone unpack(Unpacker& unpacker, const fb::PartDone& table);
Paused unpack(Unpacker& unpacker, const fb::Paused& table);
Failed unpack(Unpacker& unpacker, const fb::Failed& table);

// Orders and answers, from the coordinator: order_codec.cc.
Offset<fb::View> pack(Packer& packer, const View& message);
Offset<fb::Welcome> pack(Packer& packer, const Welcome& message);
Offset<fb::Refused> pack(Packer& packer, const Refused& message);
Offset<fb::Assign> pack(Packer& packer, const Assign& message);
Offset<fb::Handover> pack(Packer& packer, const Handover& message);
Offset<fb::FenceOrder> pack(Packer& packer, const FenceOrder& message);
Offset<fb::Load> pack(Packer& packer, const Load& message);
Offset<fb::TakeSnapshot> pack(Packer& packer, const TakeSnapshot& message);
Offset<fb::ReleaseSnapshot> pack(Packer& packer, const ReleaseSnapshot& message);
Offset<fb::Evaluate> pack(Packer& packer, const Evaluate& message);
Offset<fb::EvalAck> pack(Packer& packer, const EvalAck& message);
Offset<fb::CheckpointOrder> pack(Packer& packer, const CheckpointOrder& message);
Offset<fb::Pause> pack(Packer& packer, const Pause& message);
Offset<fb::StopAt> pack(Packer& packer, const StopAt& message);
Offset<fb::End> pack(Packer& packer, const End& message);
Offset<fb::BeatAnswer> pack(Packer& packer, const BeatAnswer& message);

View unpack(Unpacker& unpacker, const fb::View& table);
Welcome unpack(Unpacker& unpacker, const fb::Welcome& table);
Refused unpack(Unpacker& unpacker, const fb::Refused& table);
Assign unpack(Unpacker& unpacker, const fb::Assign& table);
Handover unpack(Unpacker& unpacker, const fb::Handover& table);
FenceOrder unpack(Unpacker& unpacker, const fb::FenceOrder& table);
Load unpack(Unpacker& unpacker, const fb::Load& table);
TakeSnapshot unpack(Unpacker& unpacker, const fb::TakeSnapshot& table);
ReleaseSnapshot unpack(Unpacker& unpacker, const fb::ReleaseSnapshot& table);
Evaluate unpack(Unpacker& unpacker, const fb::Evaluate& table);
EvalAck unpack(Unpacker& unpacker, const fb::EvalAck& table);
CheckpointOrder unpack(Unpacker& unpacker, const fb::CheckpointOrder& table);
Pause unpack(Unpacker& unpacker, const fb::Pause& table);
StopAt unpack(Unpacker& unpacker, const fb::StopAt& table);
End unpack(Unpacker& unpacker, const fb::End& table);
BeatAnswer unpack(Unpacker& unpacker, const fb::BeatAnswer& table);

}  // namespace ballast::wire
