#include "common/wire/messages.h"

#include <algorithm>
#include <array>

namespace ballast::wire {

void add(LoaderProgress& sum, const LoaderProgress& other) {
  if (other.batches > 0) {
    sum.blocks_min =
        sum.batches == 0 ? other.blocks_min : std::min(sum.blocks_min, other.blocks_min);
  }
  sum.ready += other.ready;
  sum.waited += other.waited;
  sum.blocks += other.blocks;
  sum.batches += other.batches;
  sum.blocks_read += other.blocks_read;
  sum.blocks_found += other.blocks_found;
}

double blocks_mean(const LoaderProgress& progress) {
  if (progress.batches == 0) return 0;
  return static_cast<double>(progress.blocks) / static_cast<double>(progress.batches);
}

namespace {

template <typename M>
constexpr std::string_view kName = "";
template <>
constexpr std::string_view kName<Push> = "Push";
template <>
constexpr std::string_view kName<Pull> = "Pull";
template <>
constexpr std::string_view kName<Reply> = "Reply";
template <>
constexpr std::string_view kName<Join> = "Join";
template <>
constexpr std::string_view kName<WorkerProgress> = "WorkerProgress";
template <>
constexpr std::string_view kName<ShardProgress> = "ShardProgress";
template <>
constexpr std::string_view kName<FenceMarks> = "FenceMarks";
template <>
constexpr std::string_view kName<Loaded> = "Loaded";
template <>
constexpr std::string_view kName<Assigned> = "Assigned";
template <>
constexpr std::string_view kName<Handing> = "Handing";
template <>
constexpr std::string_view kName<EvalPart> = "EvalPart";
template <>
constexpr std::string_view kName<SnapshotTaken> = "SnapshotTaken";
template <>
constexpr std::string_view kName<PartDone> = "PartDone";
template <>
constexpr std::string_view kName<Paused> = "Paused";
template <>
constexpr std::string_view kName<Failed> = "Failed";
template <>
constexpr std::string_view kName<View> = "View";
template <>
constexpr std::string_view kName<Welcome> = "Welcome";
template <>
constexpr std::string_view kName<Refused> = "Refused";
template <>
constexpr std::string_view kName<Assign> = "Assign";
template <>
constexpr std::string_view kName<Handover> = "Handover";
template <>
constexpr std::string_view kName<FenceOrder> = "FenceOrder";
template <>
constexpr std::string_view kName<Load> = "Load";
template <>
constexpr std::string_view kName<TakeSnapshot> = "TakeSnapshot";
template <>
constexpr std::string_view kName<ReleaseSnapshot> = "ReleaseSnapshot";
template <>
constexpr std::string_view kName<Evaluate> = "Evaluate";
template <>
constexpr std::string_view kName<EvalAck> = "EvalAck";
template <>
constexpr std::string_view kName<CheckpointOrder> = "CheckpointOrder";
template <>
constexpr std::string_view kName<Pause> = "Pause";
template <>
constexpr std::string_view kName<StopAt> = "StopAt";
template <>
constexpr std::string_view kName<End> = "End";
template <>
constexpr std::string_view kName<BeatAnswer> = "BeatAnswer";
template <>
constexpr std::string_view kName<FeedAsk> = "FeedAsk";
template <>
constexpr std::string_view kName<FeedAnswer> = "FeedAnswer";

constexpr std::array<std::string_view, kReplyCodeCount> kReplyCodeNames = {
    "closed", "applied", "already", "split",   "early", "weights",
    "passed", "fenced",  "moved",   "rewound", "busy",
};

}  // namespace

std::string_view reply_code_name(ReplyCode code) {
  const auto index = static_cast<size_t>(code);
  return index < kReplyCodeNames.size() ? kReplyCodeNames[index] : "unknown";
}

Status end_status(EndKind kind, const std::string& reason) {
  switch (kind) {
    case EndKind::kDone:
      return Status();
    case EndKind::kStopped:
      return Status(Code::kStopped, "stopped on request");
    case EndKind::kFailed:
      break;
  }
  return Status(Code::kStopped, "the job failed elsewhere: " + reason);
}

std::string_view message_name(const Any& message) {
  return std::visit(
      []<typename M>(const M&) {
        static_assert(!kName<M>.empty(), "a message without a name");
        return kName<M>;
      },
      message);
}

}  // namespace ballast::wire
