// Shard: the decider of one shard. It alone owns its units; it checks fences and unit epochs, lets
// the unit decide, holds answers until what they promise is durable, and takes its part in fence
// rounds, snapshots and checkpoints. A state machine: no thread, socket, file or clock; the journal
// it is given returns at once and comes back as events. Same events, same effects.
//
// While the coordinator is away training goes on, so a shard waits for it as long as workers come.
// One that hears neither fails after cluster.join_deadline_ms (before its welcome) or
// cluster.stuck_after_ms, and says for whom it waited and since when.
// Owner thread: the shard's.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "common/base/silence.h"
#include "common/base/time.h"
#include "common/config/job_config.h"
#include "common/net/message.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/storage/journal.h"
#include "common/wire/messages.h"
#include "server/shard/unit.h"
#include "server/shard/unsaid.h"

namespace ballast {

struct ShardConfig {
  ShardId shard;
  Incarnation incarnation = 0;
  JobConfig job;
  std::vector<ParameterSpec> parameters;  // parameters_of(job.model, ...)
  std::vector<UnitSpec> units;            // all units of the job, index = unit id
  std::string job_hash;
  uint64_t run = 0;      // run_number(), in every data message
  std::string endpoint;  // where workers connect
  std::string host;
  uint32_t process = 0;
  UnitPolicy policy;  // the simulator's planted bugs
};

namespace shard_event {
struct Received {
  Peer from;
  wire::Any message;
};
// The peer can be reached: what was said to it before is lost.
struct PeerUp {
  Peer peer;
};
// The life of this peer is over for us: what it asked is forgotten, it asks again when it is back.
struct PeerLost {
  Peer peer;
};
struct Stored {
  JournalEvent event;
};
struct Tick {};  // a timer that was asked for is due
}  // namespace shard_event
using ShardEvent = std::variant<shard_event::Received, shard_event::PeerUp, shard_event::PeerLost,
                                shard_event::Stored, shard_event::Tick>;

namespace shard_effect {
struct SendReply {  // replies to one peer may travel in one message
  Peer to;
  wire::ReplyEntry entry;
};
struct SendControl {  // to the coordinator
  wire::Any message;
};
struct WakeAt {
  Time time;
};
struct Note {
  std::string text;
};
struct Fail {  // stop with this status
  Status status;
};
struct End {
  wire::EndKind kind;
  std::string reason;  // of a failure elsewhere
};
}  // namespace shard_effect
using ShardEffect =
    std::variant<shard_effect::SendReply, shard_effect::SendControl, shard_effect::WakeAt,
                 shard_effect::Note, shard_effect::Fail, shard_effect::End>;
using ShardEffects = std::vector<ShardEffect>;

class Shard {
 public:
  // Reads the committed manifest of the checkpoint that a Load names.
  using ManifestReader = std::function<Result<CheckpointManifest>(const wire::Load&)>;

  // `journal` outlives the shard. A journal that survived an earlier life is read at once.
  Shard(Journal& journal, ShardConfig config, ManifestReader read_manifest);
  ~Shard();

  // The first effects: Join to the coordinator, the first timer.
  void start(Time now, ShardEffects& out);
  void handle(ShardEvent event, Time now, ShardEffects& out);

  // Units in id order, for tests and final checks.
  [[nodiscard]] std::vector<const Unit*> units() const;
  [[nodiscard]] bool serving() const { return serving_; }
  // What waits for the disk: at most one for each request in flight, and a few to the coordinator.
  [[nodiscard]] size_t unsaid_count() const { return unsaid_.size(); }
  [[nodiscard]] uint64_t replies(wire::ReplyCode code) const {
    return reply_counts_[static_cast<size_t>(code)];
  }

 private:
  struct HostedUnit {
    std::unique_ptr<Unit> unit;
    UnitEpoch epoch = 0;
  };
  struct Cut {
    std::vector<UnitImage> images;  // sync: as units reach the version, one after another
    bool ordered = false;           // given to the journal
  };

  void on(shard_event::Received& event, Time now, ShardEffects& out);
  void on(shard_event::PeerUp& event, Time now, ShardEffects& out);
  void on(shard_event::PeerLost& event, Time now, ShardEffects& out);
  void on(shard_event::Stored& event, Time now, ShardEffects& out);
  void on(shard_event::Tick& event, Time now, ShardEffects& out);

  void on_control(wire::Any& message, Time now, ShardEffects& out);
  void check_silence(Time now, ShardEffects& out);
  [[nodiscard]] Duration heartbeat() const;
  [[nodiscard]] wire::Join join() const;
  [[nodiscard]] wire::ShardProgress progress(Time now) const;

  // shard_requests.cc: pushes and pulls.
  void on_push(const Peer& from, wire::Push& push, Time now, ShardEffects& out);
  void on_pull(const Peer& from, wire::Pull& pull, Time now, ShardEffects& out);
  [[nodiscard]] HostedUnit* hosted(UnitId unit, UnitEpoch epoch);
  void after_change(HostedUnit& hosted, std::vector<UnitAnswer> answers, ShardEffects& out);
  void send(std::vector<UnitAnswer> answers, ShardEffects& out);
  void send(UnitAnswer answer, ShardEffects& out);
  [[nodiscard]] bool is_ours(const shard_event::Received& event, ShardEffects& out);
  [[nodiscard]] bool admit(const Peer& from, const wire::PushEntry& entry, ShardEffects& out);
  void note_dropped(const Peer& from, UnitId unit, std::span<const wire::LaneStamp> lanes,
                    size_t gradient_bytes, const std::string& why, ShardEffects& out);
  [[nodiscard]] bool is_worth_a_note(const Peer& from);

  // shard_placement.cc: the units that are here, and the fences in force.
  void on_load(const wire::Load& load, ShardEffects& out);
  [[nodiscard]] Status check_survived() const;
  void install(std::vector<UnitImage> images, ShardEffects& out);
  [[nodiscard]] std::unique_ptr<Unit> make_unit(UnitId unit) const;
  void finish_load(ShardEffects& out);
  void on_fence_order(const wire::FenceOrder& order, ShardEffects& out);
  void send_fence_marks(ShardEffects& out);

  // shard_durability.cc: what waits for the disk, and checkpoints.
  void say_when_durable(ShardEffect effect, ShardEffects& out);
  void release_unsaid(ShardEffects& out);
  [[nodiscard]] bool outruns_disk() const;
  [[nodiscard]] bool writes_part() const;
  void say(ShardEffect effect, ShardEffects& out);
  void cut_published(const Unit& unit);
  void on_checkpoint_order(const wire::CheckpointOrder& order, ShardEffects& out);
  void part_done(uint64_t checkpoint, CheckpointPart part, ShardEffects& out);
  [[nodiscard]] bool committed_before(uint64_t checkpoint, ShardEffects& out);

  Journal& journal_;
  const ShardConfig config_;
  const ManifestReader read_manifest_;
  const LaneSchedule schedule_;
  const UpdateRule rule_;

  std::map<UnitId, HostedUnit> units_;
  Version newest_version_ = 0;  // sync: of a unit; the others are at most one behind
  std::vector<Fence> fences_;   // by lane
  uint64_t leader_ = 0;
  bool welcomed_ = false;
  bool serving_ = false;  // the load order has been carried out
  bool loading_ = false;
  wire::Load load_;  // the order being carried out, or the last one
  Ticket load_ticket_ = 0;
  Ticket survey_ticket_ = 0;  // asks the journal, at start, what survived
  std::vector<UnitImage> survived_;
  bool surveyed_ = false;

  Lsn last_lsn_ = 0;  // of the newest image given to the journal
  Lsn durable_lsn_ = 0;
  Unsaid<ShardEffect, shard_effect::SendReply, shard_effect::SendControl> unsaid_;
  std::map<CutId, Cut> cuts_;                   // being collected or written
  std::map<CutId, CheckpointPart> parts_done_;  // the last few, for orders that are repeated
  std::optional<wire::CheckpointOrder> order_waiting_;  // came while a part was being written
  uint64_t beat_ = 0;
  std::vector<uint64_t> reply_counts_;
  Time next_beat_{};
  Silence silence_;                   // of the coordinator and all workers
  std::map<Peer, uint64_t> dropped_;  // messages that made no sense, of those connected
};

}  // namespace ballast
