// Which units are here and in which state they begin, and the fences in force: the shard's part
// that carries out what the coordinator places.
#include <fmt/format.h>

#include <algorithm>

#include "server/shard/shard.h"

namespace ballast {

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

std::unique_ptr<Unit> Shard::make_unit(UnitId unit) const {
  const UnitSpec& spec = config_.units.at(unit.value());
  UnitWeights weights(spec, config_.parameters.at(spec.parameter), config_.job.seed, rule_);
  const TrainConfig& train = config_.job.train;
  if (train.mode == Mode::kSync)
    return make_sync_unit(std::move(weights), schedule_, config_.policy);
  const auto staleness =
      train.mode == Mode::kSsp ? std::optional<uint32_t>(train.staleness) : std::nullopt;
  return make_async_unit(
      std::move(weights), schedule_, staleness, {train.scale_by_share, train.scale_by_staleness},
      config_.policy.parked_max.value_or(parked_max_of(config_.job)), config_.policy);
}

void Shard::finish_load(ShardEffects& out) {
  // Fences never come from what was stored: the coordinator's are the ones in force.
  for (size_t lane = 0; lane < fences_.size(); ++lane) {
    fences_[lane] = std::max(fences_[lane], load_.fences[lane]);
  }
  newest_version_ = 0;
  for (const auto& [id, hosted] : units_) {
    newest_version_ = std::max(newest_version_, hosted.unit->version());
  }
  loading_ = false;
  serving_ = true;
  out.push_back(shard_effect::Note{fmt::format("serving {} units", units_.size())});
  say_when_durable(
      shard_effect::SendControl{wire::Loaded{config_.shard, config_.incarnation, load_.term}}, out);
}

// ---------------------------------------------------------------- fences

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

}  // namespace ballast
