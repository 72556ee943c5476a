// SavedState: all that a coordinator must not forget, and its bytes. Everything else (clocks,
// marks, parts, beats) is reported again by those who know it. Pure values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/wire/control_messages.h"

namespace ballast {

enum class Presence : uint8_t {
  kUnseen,  // has not joined yet
  kIn,
  kGone,  // dead, suspected, or replaced
};

struct SavedMember {
  Presence presence = Presence::kUnseen;
  Incarnation incarnation = 0;  // the highest known
  std::string endpoint;
  std::string host;
  uint32_t process = 0;
  bool loaded = false;   // shards
  bool journal = false;  // shards: must be loaded from its own journal
  bool operator==(const SavedMember&) const = default;
};

// A lane on its way from one worker to another, as planned.
struct SavedHandover {
  WorkerId from;
  WorkerId to;
  Clock clock = 0;             // asked for
  std::optional<Clock> until;  // where the old owner really stops, once it has said so
  uint64_t number = 0;         // of the old owner's assignment
  bool operator==(const SavedHandover&) const = default;
};

struct SavedLane {
  Fence fence = 1;
  std::optional<WorkerId> owner;
  uint64_t number = 0;  // of the last assignment
  Clock start = 0;      // of the last assignment
  Clock reached = 0;    // the highest mark of any unit when the lane was last given away
  std::optional<SavedHandover> handover;
  bool operator==(const SavedLane&) const = default;
};

struct SavedState {
  uint64_t leader = 0;
  uint64_t view = 0;
  bool started = false;  // lanes may have been given away
  bool trained = false;  // every push of the job has been answered
  bool stop_requested = false;
  std::vector<SavedMember> workers;
  std::vector<SavedMember> shards;
  std::vector<SavedLane> lanes;
  uint64_t evaluation_done = 0;       // the last finished one
  uint64_t checkpoint_committed = 0;  // 0: none
  uint64_t checkpoint_ordered = 0;    // the highest id ever used
  uint64_t restarts = 0;
  uint64_t lane_moves = 0;
  uint64_t fences_raised = 0;
  std::optional<wire::EndKind> ending;  // said to everybody
  Code ending_code = Code::kOk;
  std::vector<std::string> ending_chain;
};

[[nodiscard]] Buffer encode(const SavedState& state);
// kDataLoss: at which byte, expected and found.
[[nodiscard]] Result<SavedState> decode_saved_state(std::span<const std::byte> bytes);

}  // namespace ballast
