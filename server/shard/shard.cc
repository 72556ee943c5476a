#include "server/shard/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/config/silence_limit.h"
#include "common/optimizer/push_rule.h"

namespace ballast {

Shard::Shard(Journal& journal, ShardConfig config, ManifestReader read_manifest)
    : journal_(journal),
      config_(std::move(config)),
      read_manifest_(std::move(read_manifest)),
      schedule_(schedule_of(config_.job)),
      rule_{train_on_servers(config_.job.train), config_.job.train.lanes,
            schedule_.steps_per_epoch() * config_.job.train.epochs, schedule_.batches_per_step()},
      fences_(schedule_.lanes(), 0),
      reply_counts_(wire::kReplyCodeCount, 0),
      silence_({}, heartbeat()) {}

Shard::~Shard() = default;

void Shard::start(Time now, ShardEffects& out) {
  std::vector<UnitId> all;
  for (const UnitSpec& unit : config_.units) all.push_back(unit.id);
  survey_ticket_ = journal_.fetch(std::move(all));
  next_beat_ = now;
  silence_ = Silence(now, heartbeat());
  out.push_back(shard_effect::WakeAt{now});
}

void Shard::handle(ShardEvent event, Time now, ShardEffects& out) {
  std::visit([&](auto& one) { on(one, now, out); }, event);
}

// ---------------------------------------------------------------- the switch

void Shard::on(shard_event::Received& event, Time now, ShardEffects& out) {
  if (!is_ours(event, out)) return;
  silence_.broken();
  if (auto* push = std::get_if<wire::Push>(&event.message)) {
    on_push(event.from, *push, now, out);
  } else if (auto* pull = std::get_if<wire::Pull>(&event.message)) {
    on_pull(event.from, *pull, now, out);
  } else {
    on_control(event.message, now, out);
  }
}

// A join that was said before the connection was there did not leave.
void Shard::on(shard_event::PeerUp& event, Time, ShardEffects& out) {
  if (event.peer.role != Role::kCoordinator) return;
  if (surveyed_ && !welcomed_) out.push_back(shard_effect::SendControl{join()});
}

void Shard::on(shard_event::PeerLost& event, Time, ShardEffects&) {
  for (auto& [id, hosted] : units_) hosted.unit->forget(event.peer);
  unsaid_.forget(event.peer);
  dropped_.erase(event.peer);
}

void Shard::on(shard_event::Tick&, Time now, ShardEffects& out) {
  check_silence(now, out);
  if (now < next_beat_) return;
  if (surveyed_ && !welcomed_) out.push_back(shard_effect::SendControl{join()});
  if (welcomed_) out.push_back(shard_effect::SendControl{progress(now)});
  next_beat_ = now + heartbeat();
  out.push_back(shard_effect::WakeAt{next_beat_});
}

void Shard::on_control(wire::Any& message, Time now, ShardEffects& out) {
  const auto current = [&](const auto& order) {
    if (order.leader < leader_) return false;  // of a coordinator that is over
    leader_ = order.leader;
    ++beat_;
    return true;
  };
  if (const auto* welcome = std::get_if<wire::Welcome>(&message)) {
    if (current(*welcome)) welcomed_ = true;
  } else if (const auto* refused = std::get_if<wire::Refused>(&message)) {
    if (current(*refused)) {
      out.push_back(shard_effect::Fail{
          Status(Code::kInvalidInput, refused->reason)
              .because(welcomed_ ? "told by the coordinator" : "while joining the coordinator")});
    }
  } else if (const auto* load = std::get_if<wire::Load>(&message)) {
    if (current(*load)) on_load(*load, out);
  } else if (const auto* order = std::get_if<wire::FenceOrder>(&message)) {
    if (current(*order)) on_fence_order(*order, out);
  } else if (const auto* take = std::get_if<wire::TakeSnapshot>(&message)) {
    if (current(*take) && serving_) {
      for (auto& [id, hosted] : units_) hosted.unit->take_snapshot(take->snapshot);
      out.push_back(shard_effect::SendControl{wire::SnapshotTaken{config_.shard, take->snapshot}});
    }
  } else if (const auto* release = std::get_if<wire::ReleaseSnapshot>(&message)) {
    if (current(*release)) {
      for (auto& [id, hosted] : units_) hosted.unit->release_snapshot(release->snapshot);
    }
  } else if (const auto* checkpoint = std::get_if<wire::CheckpointOrder>(&message)) {
    if (current(*checkpoint)) on_checkpoint_order(*checkpoint, out);
  } else if (const auto* end = std::get_if<wire::End>(&message)) {
    if (current(*end)) {
      out.push_back(shard_effect::SendControl{progress(now)});  // the last figures
      out.push_back(shard_effect::End{end->kind, end->reason});
    }
  } else if (const auto* answer = std::get_if<wire::BeatAnswer>(&message)) {
    // A coordinator that restarted knows us only by our joins.
    if (answer->leader > leader_) out.push_back(shard_effect::SendControl{join()});
    leader_ = std::max(leader_, answer->leader);
  }
}

// ---------------------------------------------------------------- what others see

void Shard::check_silence(Time now, ShardEffects& out) {
  silence_.tick(now);
  if (!surveyed_) silence_.broken();  // our own disk is waited for
  const SilenceLimit limit(config_.job.cluster, welcomed_);
  if (!limit.is_reached(silence_)) return;
  out.push_back(shard_effect::Fail{
      limit.status(silence_,
                   fmt::format("shard {}: no word from the coordinator nor from any worker",
                               config_.shard.value()),
                   welcomed_ ? "the coordinator" : "a welcome")});
  silence_.broken();
}

Duration Shard::heartbeat() const {
  return std::chrono::milliseconds(config_.job.cluster.heartbeat_ms);
}

wire::Join Shard::join() const {
  const auto mine = [&](const UnitImage& image) { return image.weights.size() > 0; };
  return {.role = Role::kServer,
          .index = config_.shard.value(),
          .incarnation = config_.incarnation,
          .protocol_min = wire::kProtocolMin,
          .protocol_max = wire::kProtocolMax,
          .job_hash = config_.job_hash,
          .run = config_.job.resolved.run,
          .endpoint = config_.endpoint,
          .host = config_.host,
          .process = config_.process,
          .journal_survived = std::any_of(survived_.begin(), survived_.end(), mine)};
}

wire::ShardProgress Shard::progress(Time now) const {
  wire::ShardProgress progress{
      .shard = config_.shard,
      .incarnation = config_.incarnation,
      .beat = beat_,
      .version_min = units_.empty() ? 0 : std::numeric_limits<Version>::max(),
      .staleness = {},
      .waiting_for = {}};
  std::optional<Unit::Waiting> oldest;
  for (const auto& [id, hosted] : units_) {
    const Unit& unit = *hosted.unit;
    progress.version_min = std::min(progress.version_min, unit.version());
    progress.version_max = std::max(progress.version_max, unit.version());
    progress.updates += unit.weights().updates();
    progress.memory_bytes += unit.memory_bytes();
    const auto counts = unit.staleness();
    if (counts.size() > progress.staleness.size()) progress.staleness.resize(counts.size(), 0);
    for (size_t i = 0; i < counts.size(); ++i) progress.staleness[i] += counts[i];
    const auto waiting = unit.oldest_waiting();
    if (waiting && (!oldest || waiting->since < oldest->since)) oldest = waiting;
  }
  if (oldest) {
    progress.waiting_for = oldest->text;
    progress.waiting_seconds = to_seconds(now - oldest->since);
  }
  return progress;
}

std::vector<const Unit*> Shard::units() const {
  std::vector<const Unit*> all;
  for (const auto& [id, hosted] : units_) all.push_back(hosted.unit.get());
  return all;
}

}  // namespace ballast
