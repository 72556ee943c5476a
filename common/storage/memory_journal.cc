#include "common/storage/memory_journal.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <utility>

namespace ballast {
namespace {

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <typename... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;  // clang 14 cannot deduce aggregates

std::string part_name(CutId id, uint32_t shard) {
  return fmt::format("memory part {} of checkpoint {}", shard, id);
}

}  // namespace

size_t MemoryStore::flush(ShardId shard, size_t count) {
  Disk& disk = disks_[shard];
  size_t done = 0;
  for (; done < count && !disk.orders.empty(); ++done) {
    if (std::optional<JournalEvent> event = perform_next(shard, disk)) {
      disk.events.push_back(std::move(*event));
      if (disk.notify) disk.notify();
    }
  }
  return done;
}

size_t MemoryStore::make_durable(ShardId shard) {
  return flush(shard, waiting(shard));
}

size_t MemoryStore::waiting(ShardId shard) const {
  const auto disk = disks_.find(shard);
  return disk == disks_.end() ? 0 : disk->second.orders.size();
}

void MemoryStore::crash(ShardId shard, size_t kept) {
  Disk& disk = disks_[shard];
  for (; kept > 0 && !disk.orders.empty(); --kept) (void)perform_next(shard, disk);
  disk.orders.clear();
  disk.events.clear();
}

void MemoryStore::fail_next(ShardId shard, Status status) {
  BALLAST_CHECK(!status.ok());
  disks_[shard].failure = std::move(status);
}

std::optional<JournalEvent> MemoryStore::perform_next(ShardId shard, Disk& disk) {
  Order order = std::move(disk.orders.front());
  disk.orders.pop_front();
  const Status failure = std::exchange(disk.failure, Status());
  return std::visit(
      Overloaded{
          [&](AppendOrder& append) { return perform(disk, append, failure); },
          [&](FetchOrder& fetch) { return std::optional(perform(disk, fetch, failure)); },
          [&](CutOrder& cut) { return std::optional(perform(shard, cut, failure)); },
          [&](OpenOrder& open) { return std::optional(perform(open, failure)); },
      },
      order);
}

std::optional<JournalEvent> MemoryStore::perform(Disk& disk, AppendOrder& order,
                                                 const Status& failure) {
  if (disk.appends_failed) return std::nullopt;  // said once, for all that follow
  if (!failure.ok()) {
    disk.appends_failed = true;
    return StoreFailed{failure, order.lsn, 0, 0};
  }
  if (order.kept) disk.units.insert_or_assign(order.unit, std::move(order.image));
  return Durable{order.lsn};
}

JournalEvent MemoryStore::perform(const Disk& disk, const FetchOrder& order,
                                  const Status& failure) const {
  if (!failure.ok()) return StoreFailed{failure, 0, order.ticket, 0};
  Fetched fetched{order.ticket, {}};
  for (UnitId unit : order.units) {
    const auto stored = disk.units.find(unit);
    if (stored == disk.units.end()) continue;
    Result<UnitImage> image = decode(stored->second);
    if (!image.ok()) return StoreFailed{image.status(), 0, order.ticket, 0};
    fetched.images.push_back(std::move(image).value());
  }
  return fetched;
}

JournalEvent MemoryStore::perform(ShardId shard, const CutOrder& order, const Status& failure) {
  if (!failure.ok()) return StoreFailed{failure, 0, 0, order.id};
  if (manifests_.contains(order.id)) {
    return StoreFailed{
        Status(Code::kConflict, fmt::format("checkpoint {} is already committed; a new one needs "
                                            "a new id",
                                            order.id)),
        0, 0, order.id};
  }
  CheckpointPart part;
  part.shard = shard.value();
  part.file = part_file_name(shard.value());
  std::vector<std::byte> bytes;
  for (const UnitImage& image : order.images) {
    const ImagePieces pieces = pieces_of(image);
    if (image.unit == UnitId(0)) part.ledger = lane_ledgers_of(image);
    part.entries.push_back({image.unit, bytes.size(), pieces.bytes, image.version, pieces.xxh3});
    for (auto piece : pieces.spans) bytes.insert(bytes.end(), piece.begin(), piece.end());
  }
  part.bytes = bytes.size();
  part.xxh3 = part_xxh3(part.entries);
  parts_.insert_or_assign({order.id, shard.value()}, Buffer::copy_of(bytes));
  return CutDone{order.id, std::move(part)};
}

JournalEvent MemoryStore::perform(const OpenOrder& order, const Status& failure) const {
  if (!failure.ok()) return StoreFailed{failure, 0, order.ticket, 0};
  Fetched fetched{order.ticket, {}};
  for (UnitId unit : order.units) {
    Result<UnitImage> image = load(order.manifest, unit);
    if (!image.ok()) return StoreFailed{image.status(), 0, order.ticket, 0};
    fetched.images.push_back(std::move(image).value());
  }
  return fetched;
}

Result<UnitImage> MemoryStore::load(const CheckpointManifest& manifest, UnitId unit) const {
  for (const CheckpointPart& part : manifest.parts) {
    for (const CheckpointEntry& entry : part.entries) {
      if (entry.unit != unit) continue;
      const auto stored = parts_.find({manifest.id, part.shard});
      const uint64_t found = stored == parts_.end() ? 0 : stored->second.size();
      if (found != part.bytes) {
        return Status(Code::kDataLoss, fmt::format("{} at byte {}: expected {} bytes, found {}",
                                                   part_name(manifest.id, part.shard),
                                                   std::min(found, part.bytes), part.bytes, found));
      }
      const Buffer bytes = stored->second.slice(entry.offset, entry.bytes);
      Result<UnitImage> image = decode(bytes);
      if (image.ok() && carried_xxh3(bytes.bytes()) == entry.xxh3) return image;
      return Status(Code::kDataLoss,
                    fmt::format("{} at byte {}: unit {}: {}", part_name(manifest.id, part.shard),
                                entry.offset, unit.value(),
                                image.ok() ? "not the hash in the manifest"
                                           : image.status().chain().front()));
    }
  }
  return Status(Code::kNotFound, fmt::format("unit {} is in none of the {} parts of checkpoint {}",
                                             unit.value(), manifest.parts.size(), manifest.id));
}

Status MemoryStore::commit_manifest(const CheckpointManifest& manifest) {
  if (manifests_.contains(manifest.id)) {
    return Status(Code::kConflict, fmt::format("checkpoint {} is already committed", manifest.id));
  }
  manifests_.emplace(manifest.id, encode_manifest(manifest));
  return Status();
}

Result<CheckpointManifest> MemoryStore::read_manifest(CutId id) const {
  const auto stored = manifests_.find(id);
  if (stored == manifests_.end()) {
    return Status(Code::kNotFound, fmt::format("checkpoint {} was not committed", id));
  }
  return decode_manifest(stored->second.bytes());
}

Result<CheckpointManifest> MemoryStore::newest_checkpoint() const {
  for (auto stored = manifests_.rbegin(); stored != manifests_.rend(); ++stored) {
    Result<CheckpointManifest> manifest = decode_manifest(stored->second.bytes());
    const bool whole =
        manifest.ok() &&
        std::all_of(manifest->parts.begin(), manifest->parts.end(), [&](const auto& part) {
          return std::all_of(part.entries.begin(), part.entries.end(),
                             [&](const auto& entry) { return load(*manifest, entry.unit).ok(); });
        });
    if (whole) return manifest;
  }
  return Status(Code::kNotFound, "no whole checkpoint was committed in memory");
}

void MemoryStore::remove_old(uint32_t keep) {
  BALLAST_CHECK(keep >= 1);
  const Result<CheckpointManifest> newest = newest_checkpoint();
  if (!newest.ok()) return;
  const auto end = std::next(manifests_.find(newest->id));  // what is newer is left alone
  auto first_kept = end;
  for (uint32_t kept = 0; kept < keep && first_kept != manifests_.begin(); ++kept) --first_kept;
  manifests_.erase(manifests_.begin(), first_kept);
  parts_.erase(parts_.begin(), parts_.lower_bound({first_kept->first, 0}));
}

void MemoryStore::set_aside_newer_than(CutId id) {
  manifests_.erase(manifests_.upper_bound(id), manifests_.end());
  parts_.erase(parts_.lower_bound({id + 1, 0}), parts_.end());
}

Buffer* MemoryStore::part_bytes(CutId id, ShardId shard) {
  const auto part = parts_.find({id, shard.value()});
  return part == parts_.end() ? nullptr : &part->second;
}

MemoryJournal::MemoryJournal(MemoryStore& store, ShardId shard, Durability durability,
                             std::function<void()> notify)
    : disk_(store.disks_[shard]), durability_(durability) {
  BALLAST_CHECK_MSG(!disk_.notify, "a shard has two journals");
  store.crash(shard, 0);
  disk_.appends_failed = false;
  disk_.notify = std::move(notify);
}

MemoryJournal::~MemoryJournal() {
  disk_.notify = nullptr;
}

Lsn MemoryJournal::append(UnitImage image) {
  const bool kept = durability_ != Durability::kCheckpoint;
  disk_.orders.push_back(
      MemoryStore::AppendOrder{++last_lsn_, image.unit, kept ? encode(image) : Buffer(), kept});
  return last_lsn_;
}

Ticket MemoryJournal::fetch(std::vector<UnitId> units) {
  disk_.orders.push_back(MemoryStore::FetchOrder{++last_ticket_, std::move(units)});
  return last_ticket_;
}

void MemoryJournal::write_back(UnitImage image) {
  (void)append(std::move(image));
}

void MemoryJournal::cut(CutId id, std::vector<UnitImage> images) {
  disk_.orders.push_back(MemoryStore::CutOrder{id, std::move(images)});
}

Ticket MemoryJournal::open(const CheckpointManifest& manifest, std::vector<UnitId> units) {
  disk_.orders.push_back(MemoryStore::OpenOrder{++last_ticket_, manifest, std::move(units)});
  return last_ticket_;
}

std::optional<JournalEvent> MemoryJournal::poll() {
  if (disk_.events.empty()) return std::nullopt;
  JournalEvent event = std::move(disk_.events.front());
  disk_.events.pop_front();
  return event;
}

}  // namespace ballast
