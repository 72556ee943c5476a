// Any message of the protocol: the data messages between workers and shards, the control messages
// between everybody and the coordinator, and the feed messages between workers and feeders. codec.h
// turns them into a FlatBuffers envelope and raw payload frames and back; deciders see only these
// structs. Pure values; any thread.
#pragma once

#include <string_view>
#include <variant>

#include "common/wire/control_messages.h"
#include "common/wire/data_messages.h"
#include "common/wire/feed_messages.h"

namespace ballast::wire {

using Any = std::variant<Push, Pull, Reply, Join, WorkerProgress, ShardProgress, FenceMarks, Loaded,
                         Assigned, Handing, EvalPart, SnapshotTaken, PartDone, Paused, Failed, View,
                         Welcome, Refused, Assign, Handover, FenceOrder, Load, TakeSnapshot,
                         ReleaseSnapshot, Evaluate, EvalAck, CheckpointOrder, Pause, StopAt, End,
                         BeatAnswer, FeedAsk, FeedAnswer>;

[[nodiscard]] std::string_view message_name(const Any& message);

}  // namespace ballast::wire
