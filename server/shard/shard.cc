#include "server/shard/shard.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "common/base/hash.h"

namespace ballast {
namespace {

// Checkpoint parts remembered for orders that are repeated because an answer got lost.
constexpr size_t kPartsRemembered = 4;
// Parts on their way to the disk at once. With more, training would outrun the disk and their
// copies fill the memory: answers wait until one is written.
constexpr size_t kCutsWritingMax = 2;
// In a note about a push that was dropped.
constexpr size_t kLanesNamed = 4;

}  // namespace

Shard::Shard(Journal& journal, ShardConfig config, ManifestReader read_manifest)
    : journal_(journal),
      config_(std::move(config)),
      read_manifest_(std::move(read_manifest)),
      schedule_(schedule_of(config_.job)),
      rule_{config_.job.train, config_.job.train.lanes,
            schedule_.steps_per_epoch() * config_.job.train.epochs},
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

// ---------------------------------------------------------------- events

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

Duration Shard::heartbeat() const {
  return std::chrono::milliseconds(config_.job.cluster.heartbeat_ms);
}

void Shard::check_silence(Time now, ShardEffects& out) {
  silence_.tick(now);
  if (!surveyed_) silence_.broken();  // our own disk is waited for
  const ClusterConfig& cluster = config_.job.cluster;
  const uint64_t most_ms = welcomed_ ? cluster.stuck_after_ms : cluster.join_deadline_ms;
  if (silence_.lasted() < std::chrono::milliseconds(most_ms)) return;
  out.push_back(shard_effect::Fail{
      Status(Code::kDeadline,
             fmt::format("shard {}: waiting for {}, heard nothing from it nor from any worker for "
                         "{:.1f} s (cluster.{} = {}); is the coordinator running, and can this "
                         "host reach it",
                         config_.shard.value(),
                         welcomed_ ? "the coordinator" : "a welcome from the coordinator",
                         to_seconds(silence_.lasted()),
                         welcomed_ ? "stuck_after_ms" : "join_deadline_ms", most_ms))});
  silence_.broken();
}

void Shard::on(shard_event::Stored& event, Time, ShardEffects& out) {
  if (const auto* durable = std::get_if<Durable>(&event.event)) {
    durable_lsn_ = std::max(durable_lsn_, durable->lsn);
    release_unsaid(out);
  } else if (auto* fetched = std::get_if<Fetched>(&event.event)) {
    if (fetched->ticket == survey_ticket_) {
      survived_ = std::move(fetched->images);
      surveyed_ = true;
      out.push_back(shard_effect::SendControl{join()});
    } else if (fetched->ticket == load_ticket_ && loading_) {
      install(std::move(fetched->images), out);
    }
  } else if (auto* done = std::get_if<CutDone>(&event.event)) {
    part_done(done->id, std::move(done->part), out);
  } else if (auto* failed = std::get_if<StoreFailed>(&event.event)) {
    if (failed->cut != 0 && failed->status.code() == Code::kConflict &&
        committed_before(failed->cut, out)) {
      return;
    }
    const char* doing = failed->cut != 0      ? "while writing a checkpoint"
                        : failed->ticket != 0 ? "while loading units"
                                              : "while making updates durable";
    out.push_back(shard_effect::Fail{
        std::move(failed->status)
            .because(fmt::format("{} on shard {}", doing, config_.shard.value()))});
  }
}

// ---------------------------------------------------------------- data

void Shard::on_push(const Peer& from, wire::Push& push, Time now, ShardEffects& out) {
  if (!serving_) return;  // a client asks again
  for (wire::PushEntry& entry : push.entries) {
    if (!admit(from, entry, out)) continue;
    HostedUnit& target = *hosted(entry.unit, entry.epoch);
    std::vector<UnitAnswer> answers;
    const uint64_t malformed = target.unit->counters().malformed;
    // For a note. Not the gradient itself: a second holder would keep the unit from writing the
    // next version over it.
    const size_t gradient_bytes = entry.gradient.size();
    const std::vector<wire::LaneStamp> lanes = entry.lanes;
    const bool changed = target.unit->push(from, std::move(entry), now, answers);
    ++beat_;
    if (target.unit->counters().malformed > malformed) {
      note_dropped(
          from, entry.unit, lanes, gradient_bytes,
          fmt::format("lanes, clock, weight or size do not fit unit {} at version {} with "
                      "{} bytes",
                      entry.unit.value(), target.unit->version(), target.unit->weights().bytes()),
          out);
    }
    if (changed) {
      after_change(target, std::move(answers), out);
    } else {
      send(std::move(answers), out);
    }
  }
}

void Shard::on_pull(const Peer& from, wire::Pull& pull, Time now, ShardEffects& out) {
  if (!serving_) return;
  for (const wire::PullEntry& entry : pull.entries) {
    HostedUnit* target = hosted(entry.unit, entry.epoch);
    if (target == nullptr) {
      send({from,
            {.sequence = entry.sequence,
             .unit = entry.unit,
             .epoch = entry.epoch,
             .code = wire::ReplyCode::kMoved,
             .fences = {},
             .missing = {},
             .weights = {}}},
           out);
      continue;
    }
    std::vector<UnitAnswer> answers;
    target->unit->pull(from, entry, now, answers);
    ++beat_;
    send(std::move(answers), out);
  }
}

// Data of this run, or an order of the coordinator. Anything else is an old worker that found our
// address, or a stranger.
bool Shard::is_ours(const shard_event::Received& event, ShardEffects& out) {
  const auto* push = std::get_if<wire::Push>(&event.message);
  const auto* pull = std::get_if<wire::Pull>(&event.message);
  std::string why;
  if (push != nullptr || pull != nullptr) {
    const uint64_t run = push != nullptr ? push->header.run : pull->header.run;
    if (run == config_.run) return true;
    why =
        fmt::format("it is of run {}, expected {}; end the processes that are left of another run",
                    hex64(run), hex64(config_.run));
  } else {
    if (event.from.role == Role::kCoordinator) return true;
    why = "only the coordinator gives orders; look who connects to this shard";
  }
  if (is_worth_a_note(event.from)) {
    out.push_back(
        shard_effect::Note{fmt::format("dropped a message of {}, number {} from it: {}",
                                       to_string(event.from), dropped_[event.from], why)});
  }
  return false;
}

// Counts it. The first and then ever more seldom: whoever sends nonsense repeats it.
bool Shard::is_worth_a_note(const Peer& from) {
  const uint64_t count = ++dropped_[from];
  return (count & (count - 1)) == 0;  // 1, 2, 4, 8 ...
}

void Shard::note_dropped(const Peer& from, UnitId unit, std::span<const wire::LaneStamp> lanes,
                         size_t gradient_bytes, const std::string& why, ShardEffects& out) {
  if (!is_worth_a_note(from)) return;
  std::string named;
  for (size_t i = 0; i < std::min(lanes.size(), kLanesNamed); ++i) {
    const wire::LaneStamp& stamp = lanes[i];
    named += fmt::format("{}lane {} clock {} fence {}", i == 0 ? "" : ", ", stamp.lane.value(),
                         stamp.clock, stamp.fence);
  }
  out.push_back(shard_effect::Note{fmt::format(
      "dropped a push of {}, number {} from it: unit {}, {} bytes, "
      "{} lanes [{}]: {}; look into the "
      "sender's log, and use the same build and job everywhere",
      to_string(from), dropped_[from], unit.value(), gradient_bytes, lanes.size(), named, why)});
}

// Whether the unit may see the entry. A push is compared by unit epoch first, then by the fences of
// its lanes; one above ours is from a future we have not been told of, and is asked again.
bool Shard::admit(const Peer& from, const wire::PushEntry& entry, ShardEffects& out) {
  wire::ReplyEntry refusal{.sequence = entry.sequence,
                           .unit = entry.unit,
                           .epoch = entry.epoch,
                           .fences = {},
                           .missing = {},
                           .weights = {}};
  if (hosted(entry.unit, entry.epoch) == nullptr) {
    refusal.code = wire::ReplyCode::kMoved;
    send({from, std::move(refusal)}, out);
    return false;
  }
  bool ahead = false;
  for (const wire::LaneStamp& stamp : entry.lanes) {
    if (stamp.lane.value() >= fences_.size()) {
      note_dropped(
          from, entry.unit, entry.lanes, entry.gradient.size(),
          fmt::format("lane {} is not among the {} of the job", stamp.lane.value(), fences_.size()),
          out);
      return false;
    }
    const Fence known = fences_[stamp.lane.value()];
    if (stamp.fence < known) refusal.fences.push_back({stamp.lane, known});
    ahead = ahead || stamp.fence > known;
  }
  if (!refusal.fences.empty()) {
    refusal.code = wire::ReplyCode::kFenced;
    send({from, std::move(refusal)}, out);
    return false;
  }
  if (ahead) {
    note_dropped(from, entry.unit, entry.lanes, entry.gradient.size(),
                 "its fence is above the one this shard was told", out);
  }
  return !ahead;
}

Shard::HostedUnit* Shard::hosted(UnitId unit, UnitEpoch epoch) {
  const auto found = units_.find(unit);
  return found == units_.end() || found->second.epoch != epoch ? nullptr : &found->second;
}

void Shard::after_change(HostedUnit& hosted, std::vector<UnitAnswer> answers, ShardEffects& out) {
  if (journal_.durability() != Durability::kCheckpoint) {
    last_lsn_ = journal_.append(hosted.unit->image());
  }
  send(std::move(answers), out);
  if (config_.job.train.mode == Mode::kSync) cut_published(*hosted.unit);
}

void Shard::send(std::vector<UnitAnswer> answers, ShardEffects& out) {
  for (UnitAnswer& answer : answers) send(std::move(answer), out);
}

void Shard::send(UnitAnswer answer, ShardEffects& out) {
  say_when_durable(shard_effect::SendReply{answer.to, std::move(answer.entry)}, out);
}

// For whatever shows the state of units: others rest on it, and what is said now may show what is
// not durable yet. Replies keep their order.
void Shard::say_when_durable(ShardEffect effect, ShardEffects& out) {
  if (!unsaid_.empty() || last_lsn_ > durable_lsn_ || outruns_disk()) {
    unsaid_.add(last_lsn_, std::move(effect));
  } else {
    say(std::move(effect), out);
  }
}

void Shard::release_unsaid(ShardEffects& out) {
  while (!outruns_disk()) {
    std::optional<ShardEffect> effect = unsaid_.take(durable_lsn_);
    if (!effect) return;
    say(*std::move(effect), out);
  }
}

bool Shard::outruns_disk() const {
  return std::count_if(cuts_.begin(), cuts_.end(), [](const auto& cut) {
           return cut.second.ordered;
         }) > static_cast<ptrdiff_t>(kCutsWritingMax);
}

void Shard::say(ShardEffect effect, ShardEffects& out) {
  if (const auto* reply = std::get_if<shard_effect::SendReply>(&effect)) {
    ++reply_counts_[static_cast<size_t>(reply->entry.code)];
  }
  out.push_back(std::move(effect));
}

// ---------------------------------------------------------------- checkpoints

// Sync: each unit copies itself as it publishes version k * every_steps; the part is written when
// the last unit of this shard has. Nobody stops, unless the disk is too slow for the interval.
void Shard::cut_published(const Unit& unit) {
  const uint64_t every = config_.job.checkpoint.every_steps;
  const Version version = unit.version();
  if (every == 0 || version % every != 0 || parts_done_.contains(version)) return;
  Cut& cut = cuts_[version];
  if (cut.ordered) return;
  cut.images.push_back(unit.image());
  cut.images.back().previous = Buffer();  // an exact cut needs no second version
  if (cut.images.size() < units_.size()) return;
  cut.ordered = true;
  journal_.cut(version, std::exchange(cut.images, {}));
  // Those below lack units that an earlier life had published: they are never whole.
  std::erase_if(cuts_,
                [&](const auto& older) { return older.first < version && !older.second.ordered; });
}

void Shard::part_done(uint64_t checkpoint, CheckpointPart part, ShardEffects& out) {
  cuts_.erase(checkpoint);
  out.push_back(shard_effect::SendControl{wire::PartDone{config_.shard, part, checkpoint}});
  parts_done_[checkpoint] = std::move(part);
  if (parts_done_.size() > kPartsRemembered) parts_done_.erase(parts_done_.begin());
  release_unsaid(out);
}

// A shard that goes on from its journal may publish a version again whose checkpoint its earlier
// life helped to commit. The part that is there counts. False: it is not of this shard.
bool Shard::committed_before(uint64_t checkpoint, ShardEffects& out) {
  wire::Load order;
  order.checkpoint = checkpoint;
  Result<CheckpointManifest> manifest = read_manifest_(order);
  if (!manifest.ok()) return false;
  for (CheckpointPart& part : manifest->parts) {
    if (part.shard != config_.shard.value()) continue;
    part_done(checkpoint, std::move(part), out);
    return true;
  }
  return false;
}

void Shard::on_checkpoint_order(const wire::CheckpointOrder& order, ShardEffects& out) {
  if (const auto done = parts_done_.find(order.checkpoint); done != parts_done_.end()) {
    out.push_back(
        shard_effect::SendControl{wire::PartDone{config_.shard, done->second, order.checkpoint}});
    return;
  }
  if (!serving_) return;
  if (config_.job.train.mode == Mode::kSync) {
    // An exact cut or none: the order comes again.
    for (const auto& [id, hosted] : units_) {
      if (hosted.unit->version() != order.checkpoint) return;
    }
  }
  Cut& cut = cuts_[order.checkpoint];
  if (cut.ordered) return;
  cut.ordered = true;
  cut.images.clear();
  std::vector<UnitImage> images;
  for (const auto& [id, hosted] : units_) {
    images.push_back(hosted.unit->image());
    images.back().previous = Buffer();
  }
  journal_.cut(order.checkpoint, std::move(images));
}

// ---------------------------------------------------------------- control

void Shard::on_control(wire::Any& message, Time now, ShardEffects& out) {
  const auto current = [&](const auto& order) {
    if (refuses_leader(order.leader, leader_)) return false;
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

void Shard::on_load(const wire::Load& load, ShardEffects& out) {
  if (load.incarnation != config_.incarnation) return;
  if (serving_) {  // the order was carried out; its answer got lost
    say_when_durable(
        shard_effect::SendControl{wire::Loaded{config_.shard, config_.incarnation, load.term}},
        out);
    return;
  }
  if (loading_) return;
  if (load.fences.size() != fences_.size()) return;
  loading_ = true;
  load_ = load;
  switch (load.source) {
    case wire::LoadSource::kInitial:
      install({}, out);
      return;
    case wire::LoadSource::kJournal:
      if (Status status = check_survived(); !status.ok()) {
        out.push_back(shard_effect::Fail{std::move(status)});
        return;
      }
      install(std::exchange(survived_, {}), out);
      return;
    case wire::LoadSource::kCheckpoint: {
      Result<CheckpointManifest> manifest = read_manifest_(load);
      if (!manifest.ok()) {
        out.push_back(shard_effect::Fail{manifest.status().because(fmt::format(
            "while loading checkpoint {} on shard {}", load.checkpoint, config_.shard.value()))});
        return;
      }
      std::vector<UnitId> wanted;
      for (const wire::UnitPlace& place : load.units) wanted.push_back(place.unit);
      load_ticket_ = journal_.open(*manifest, std::move(wanted));
      return;
    }
  }
}

// A shard said Loaded when all of its units were in the journal, so a later life finds all of them.
Status Shard::check_survived() const {
  for (const wire::UnitPlace& place : load_.units) {
    const bool here = std::any_of(survived_.begin(), survived_.end(),
                                  [&](const UnitImage& image) { return image.unit == place.unit; });
    if (here) continue;
    return Status(Code::kDataLoss,
                  fmt::format("the journal of shard {} has no unit {}, expected all {} of them: "
                              "resume the job from its newest checkpoint",
                              config_.shard.value(), place.unit.value(), load_.units.size()));
  }
  return Status();
}

std::unique_ptr<Unit> Shard::make_unit(UnitId unit) const {
  const UnitSpec& spec = config_.units.at(unit.value());
  UnitWeights weights(spec, config_.parameters.at(spec.parameter), config_.job.seed, rule_);
  const TrainConfig& train = config_.job.train;
  if (train.mode == Mode::kSync)
    return make_sync_unit(std::move(weights), schedule_, config_.policy);
  const auto staleness =
      train.mode == Mode::kSsp ? std::optional<uint32_t>(train.staleness) : std::nullopt;
  return make_async_unit(std::move(weights), schedule_, staleness,
                         {train.scale_by_share, train.scale_by_staleness},
                         config_.policy.parked_max.value_or(schedule_.lanes()), config_.policy);
}

void Shard::install(std::vector<UnitImage> images, ShardEffects& out) {
  survived_.clear();
  units_.clear();
  for (const wire::UnitPlace& place : load_.units) {
    if (place.unit.value() >= config_.units.size()) continue;
    units_[place.unit] = {make_unit(place.unit), place.epoch};
  }
  for (UnitImage& image : images) {
    const auto found = units_.find(image.unit);
    if (found == units_.end()) continue;
    if (Status status = found->second.unit->restore(std::move(image)); !status.ok()) {
      out.push_back(shard_effect::Fail{std::move(status).because(
          fmt::format("while loading units on shard {}", config_.shard.value()))});
      return;
    }
  }
  if (load_.source != wire::LoadSource::kJournal &&
      journal_.durability() != Durability::kCheckpoint) {
    // The next life goes on from the journal alone, so it must know every unit.
    for (const auto& [id, hosted] : units_) last_lsn_ = journal_.append(hosted.unit->image());
  }
  finish_load(out);
}

void Shard::finish_load(ShardEffects& out) {
  // Fences never come from what was stored: the coordinator's are the ones in force.
  for (size_t lane = 0; lane < fences_.size(); ++lane) {
    fences_[lane] = std::max(fences_[lane], load_.fences[lane]);
  }
  loading_ = false;
  serving_ = true;
  out.push_back(shard_effect::Note{fmt::format("serving {} units", units_.size())});
  say_when_durable(
      shard_effect::SendControl{wire::Loaded{config_.shard, config_.incarnation, load_.term}}, out);
}

void Shard::on_fence_order(const wire::FenceOrder& order, ShardEffects& out) {
  if (order.fences.size() != fences_.size()) return;
  bool rose = false;
  for (size_t lane = 0; lane < fences_.size(); ++lane) {
    rose = rose || order.fences[lane] > fences_[lane];
    fences_[lane] = std::max(fences_[lane], order.fences[lane]);
  }
  std::vector<UnitAnswer> answers;
  for (auto& [id, hosted] : units_) {
    if (rose) hosted.unit->fences_rose(fences_, answers);
  }
  send(std::move(answers), out);
  if (serving_) send_fence_marks(out);
}

void Shard::send_fence_marks(ShardEffects& out) {
  wire::FenceMarks marks{.shard = config_.shard,
                         .incarnation = config_.incarnation,
                         .term = 0,
                         .fences = fences_,
                         .units = {}};
  for (const auto& [id, hosted] : units_) {
    marks.units.push_back({id, hosted.epoch, hosted.unit->version(), hosted.unit->marks()});
  }
  // A lane that is given away starts at these: a mark that a crash takes back would leave a gap.
  say_when_durable(shard_effect::SendControl{std::move(marks)}, out);
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
