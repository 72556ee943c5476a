// The shard and its disk: answers wait until what they rest on is durable, and checkpoints are cut
// as units reach their version or the coordinator orders.
#include <fmt/format.h>

#include <algorithm>

#include "server/shard/shard.h"

namespace ballast {
namespace {

// Checkpoint parts remembered for orders that are repeated because an answer got lost.
constexpr size_t kPartsRemembered = 4;

// What a part is written from. Copied whole: the weights could be shared, for nobody writes into a
// version, but then it would stay for as long as the disk takes, and what a server needs of memory
// would depend on its disk.
UnitImage copy_to_write(const Unit& unit) {
  UnitImage image = unit.image();
  image.weights = unit.weights().copy_of_current();
  image.previous = Buffer();  // an exact cut needs no second version
  return image;
}

}  // namespace

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
    if (const auto order = std::exchange(order_waiting_, std::nullopt)) {
      on_checkpoint_order(*order, out);
    }
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

// One part at a time: its copies are as large as the units. Sync: whoever is told of the version
// before a cut may bring the one that is to be copied, so while a part is being written nobody is.
bool Shard::outruns_disk() const {
  const uint64_t every = config_.job.checkpoint.every_steps;
  return config_.job.train.mode == Mode::kSync && every > 0 && (newest_version_ + 1) % every == 0 &&
         writes_part();
}

bool Shard::writes_part() const {
  return std::any_of(cuts_.begin(), cuts_.end(),
                     [](const auto& cut) { return cut.second.ordered; });
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
  newest_version_ = std::max(newest_version_, version);
  if (every == 0 || version % every != 0 || parts_done_.contains(version)) return;
  Cut& cut = cuts_[version];
  if (cut.ordered) return;
  cut.images.push_back(copy_to_write(unit));
  if (cut.images.size() < units_.size()) return;
  cut.ordered = true;
  journal_.cut(version, std::exchange(cut.images, {}));
  // Those below lack units that an earlier life had published: they are never whole.
  std::erase_if(cuts_,
                [&](const auto& older) { return older.first < version && !older.second.ordered; });
}

void Shard::on_checkpoint_order(const wire::CheckpointOrder& order, ShardEffects& out) {
  if (const auto done = parts_done_.find(order.checkpoint); done != parts_done_.end()) {
    out.push_back(
        shard_effect::SendControl{wire::PartDone{config_.shard, done->second, order.checkpoint}});
    return;
  }
  if (!serving_) return;  // the order comes again
  if (writes_part()) {
    order_waiting_ = order;
    return;
  }
  if (config_.job.train.mode == Mode::kSync) {
    // An exact cut or none.
    for (const auto& [id, hosted] : units_) {
      if (hosted.unit->version() != order.checkpoint) return;
    }
  }
  Cut& cut = cuts_[order.checkpoint];
  cut.ordered = true;
  cut.images.clear();
  std::vector<UnitImage> images;
  for (const auto& [id, hosted] : units_) images.push_back(copy_to_write(*hosted.unit));
  journal_.cut(order.checkpoint, std::move(images));
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

}  // namespace ballast
