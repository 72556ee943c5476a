#include "common/storage/checkpoint.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <map>
#include <utility>

#include "common/base/hash.h"
#include "common/storage/durable_file.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kManifestMagic = 0x3154'464e'414d'4c42;  // "BLMANFT1", little-endian
constexpr size_t kIdDigits = 20;                            // the largest 64-bit number

// What stands before the FlatBuffer of a manifest.
struct ManifestPrelude {
  uint64_t magic;
  uint64_t payload_bytes;
  uint64_t xxh3;  // of the payload
};
static_assert(sizeof(ManifestPrelude) == 24);

std::string manifest_path(const std::string& run_dir, CutId id) {
  return checkpoint_folder(run_dir, id) + "/manifest";
}

std::string part_path(const std::string& run_dir, CutId id, const CheckpointPart& part) {
  return checkpoint_folder(run_dir, id) + "/" + part.file;
}

bool committed(const std::string& run_dir, CutId id) {
  return ::access(manifest_path(run_dir, id).c_str(), F_OK) == 0;
}

Status already_committed(const std::string& run_dir, CutId id) {
  return Status(Code::kConflict, fmt::format("checkpoint {} is already committed ({}); a new one "
                                             "needs a new id",
                                             id, manifest_path(run_dir, id)));
}

Status damaged(const std::string& path, uint64_t offset, const std::string& what) {
  return Status(Code::kDataLoss, fmt::format("{} at byte {}: {}", path, offset, what));
}

// Ids of the folders that look like checkpoints, newest first.
Result<std::vector<CutId>> listed(const std::string& run_dir) {
  std::vector<CutId> ids;
  std::error_code error;
  fs::directory_iterator folders(checkpoints_folder(run_dir), error);
  if (error == std::errc::no_such_file_or_directory) return ids;
  for (; !error && folders != fs::directory_iterator(); folders.increment(error)) {
    const std::string name = folders->path().filename().string();
    if (name.size() != kIdDigits || name.find_first_not_of("0123456789") != std::string::npos) {
      continue;
    }
    errno = 0;
    const CutId id = std::strtoull(name.c_str(), nullptr, 10);
    if (errno == 0) ids.push_back(id);
  }
  if (error) return file_error("listing", checkpoints_folder(run_dir), 0, error.value());
  std::sort(ids.rbegin(), ids.rend());
  return ids;
}

Status check_entry(const ReadableFile& file, const CheckpointEntry& entry, uint64_t found_xxh3) {
  if (found_xxh3 == entry.xxh3) return Status();
  return damaged(file.path(), entry.offset,
                 fmt::format("unit {}: xxh3 in the manifest {}, found {}", entry.unit.value(),
                             hex64(entry.xxh3), hex64(found_xxh3)));
}

// Adds where the damage is to what it is.
Status located(const Status& status, const ReadableFile& file, const CheckpointEntry& entry) {
  return damaged(file.path(), entry.offset,
                 fmt::format("unit {}: {}", entry.unit.value(), status.chain().front()));
}

Result<ReadableFile> open_part(const std::string& run_dir, CutId id, const CheckpointPart& part) {
  const std::string path = part_path(run_dir, id, part);
  Result<ReadableFile> file = ReadableFile::open(path);
  if (!file.ok() && file.status().code() == Code::kNotFound) {
    return damaged(path, 0, "the manifest lists this part, found no such file");
  }
  if (file.ok() && file->bytes() != part.bytes) {
    return damaged(path, std::min(file->bytes(), part.bytes),
                   fmt::format("expected a file of {} bytes, found {}", part.bytes, file->bytes()));
  }
  return file;
}

Status verify_part(const std::string& run_dir, CutId id, const CheckpointPart& part) {
  BALLAST_ASSIGN(const ReadableFile file, open_part(run_dir, id, part));
  Buffer scratch;
  for (const CheckpointEntry& entry : part.entries) {
    if (scratch.size() < entry.bytes) scratch = Buffer::allocate(entry.bytes);
    BALLAST_RETURN_IF_ERROR(file.read(entry.offset, scratch.bytes().first(entry.bytes)));
    const Result<uint64_t> hash = verify_image(std::as_const(scratch).bytes().first(entry.bytes));
    if (!hash.ok()) return located(hash.status(), file, entry);
    BALLAST_RETURN_IF_ERROR(check_entry(file, entry, *hash));
  }
  return Status();
}

Result<UnitImage> load_unit(const ReadableFile& file, const CheckpointEntry& entry) {
  Buffer bytes = Buffer::allocate(entry.bytes);
  BALLAST_RETURN_IF_ERROR(file.read(entry.offset, bytes.bytes()));
  Result<UnitImage> image = decode(bytes);
  if (!image.ok()) return located(image.status(), file, entry);
  // The hash was compared with the bytes by decode; here it only has to be the manifest's.
  BALLAST_RETURN_IF_ERROR(check_entry(file, entry, carried_xxh3(bytes.bytes())));
  if (image->unit != entry.unit || image->version != entry.version) {
    return damaged(
        file.path(), entry.offset,
        fmt::format("expected unit {} at version {}, found unit {} at version {}",
                    entry.unit.value(), entry.version, image->unit.value(), image->version));
  }
  return image;
}

// The manifest goes first, so that what a kill leaves is no checkpoint.
Status remove_checkpoint(const std::string& run_dir, CutId id) {
  const std::string folder = checkpoint_folder(run_dir, id);
  if (committed(run_dir, id)) {
    if (::unlink(manifest_path(run_dir, id).c_str()) != 0) {
      return file_error("removing", manifest_path(run_dir, id), 0, errno);
    }
    BALLAST_RETURN_IF_ERROR(sync_folder(folder));
  }
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) return file_error("removing", folder, 0, error.value());
  return sync_folder(checkpoints_folder(run_dir));
}

// A manifest that verifies and parts of the right size; the cheap half of being good.
bool looks_whole(const std::string& run_dir, CutId id) {
  const Result<CheckpointManifest> manifest = read_manifest(run_dir, id);
  if (!manifest.ok()) return false;
  return std::all_of(manifest->parts.begin(), manifest->parts.end(),
                     [&](const auto& part) { return open_part(run_dir, id, part).ok(); });
}

}  // namespace

std::string checkpoints_folder(const std::string& run_dir) {
  return run_dir + "/checkpoints";
}

std::string checkpoint_folder(const std::string& run_dir, CutId id) {
  return fmt::format("{}/{:0{}}", checkpoints_folder(run_dir), id, kIdDigits);
}

Result<CheckpointPart> write_part(const std::string& run_dir, CutId id, uint32_t shard,
                                  const std::vector<UnitImage>& images) {
  if (committed(run_dir, id)) return already_committed(run_dir, id);
  BALLAST_RETURN_IF_ERROR(make_folders(checkpoint_folder(run_dir, id)));
  CheckpointPart part;
  part.shard = shard;
  part.file = part_file_name(shard);
  BALLAST_ASSIGN(DurableFile file, DurableFile::create(part_path(run_dir, id, part)));
  for (const UnitImage& image : images) {
    const ImagePieces pieces = pieces_of(image);
    if (image.unit == UnitId(0)) part.ledger = lane_ledgers_of(image);
    part.entries.push_back({image.unit, file.bytes(), pieces.bytes, image.version, pieces.xxh3});
    for (std::span<const std::byte> piece : pieces.spans) {
      BALLAST_RETURN_IF_ERROR(file.append(piece));
    }
  }
  part.bytes = file.bytes();
  part.xxh3 = part_xxh3(part.entries);
  BALLAST_RETURN_IF_ERROR(file.commit());
  return part;
}

Status commit_manifest(const std::string& run_dir, const CheckpointManifest& manifest) {
  if (committed(run_dir, manifest.id)) return already_committed(run_dir, manifest.id);
  BALLAST_RETURN_IF_ERROR(make_folders(checkpoint_folder(run_dir, manifest.id)));
  const Buffer payload = encode_manifest(manifest);
  const ManifestPrelude prelude{kManifestMagic, payload.size(), xxh3(payload.bytes())};
  const std::array<std::span<const std::byte>, 2> pieces = {std::as_bytes(std::span(&prelude, 1)),
                                                            payload.bytes()};
  return write_file(manifest_path(run_dir, manifest.id), pieces);
}

Result<CheckpointManifest> read_manifest(const std::string& run_dir, CutId id) {
  const std::string path = manifest_path(run_dir, id);
  BALLAST_ASSIGN(const Buffer bytes, read_file(path));
  ManifestPrelude prelude{};
  if (bytes.size() < sizeof(prelude)) {
    return damaged(
        path, 0,
        fmt::format("expected at least {} bytes, found {}", sizeof(prelude), bytes.size()));
  }
  std::memcpy(&prelude, bytes.data(), sizeof(prelude));
  const auto payload = bytes.bytes().subspan(sizeof(prelude));
  if (prelude.magic != kManifestMagic) {
    return damaged(
        path, 0,
        fmt::format("expected magic {}, found {}", hex64(kManifestMagic), hex64(prelude.magic)));
  }
  if (prelude.payload_bytes != payload.size()) {
    return damaged(path, 8,
                   fmt::format("expected {} bytes of manifest, found {}", prelude.payload_bytes,
                               payload.size()));
  }
  if (const uint64_t actual = xxh3(payload); prelude.xxh3 != actual) {
    return damaged(path, sizeof(prelude),
                   fmt::format("xxh3 stored {}, found {}", hex64(prelude.xxh3), hex64(actual)));
  }
  Result<CheckpointManifest> manifest = decode_manifest(payload);
  if (!manifest.ok()) return damaged(path, sizeof(prelude), manifest.status().chain().front());
  if (manifest->id != id) {
    return damaged(path, sizeof(prelude),
                   fmt::format("expected checkpoint {}, found {}", id, manifest->id));
  }
  return manifest;
}

Status verify_parts(const std::string& run_dir, const CheckpointManifest& manifest) {
  for (const CheckpointPart& part : manifest.parts) {
    BALLAST_RETURN_IF_ERROR(verify_part(run_dir, manifest.id, part));
  }
  return Status();
}

Result<NewestCheckpoint> newest_checkpoint(const std::string& run_dir) {
  BALLAST_ASSIGN(const std::vector<CutId> ids, listed(run_dir));
  std::vector<Status> rejected;
  for (CutId id : ids) {
    if (!committed(run_dir, id)) continue;
    Result<CheckpointManifest> manifest = read_manifest(run_dir, id);
    Status verdict = manifest.ok() ? verify_parts(run_dir, *manifest) : manifest.status();
    if (verdict.ok()) return NewestCheckpoint{std::move(manifest).value(), std::move(rejected)};
    rejected.push_back(std::move(verdict).because(fmt::format("checkpoint {} is rejected", id)));
  }
  if (rejected.empty()) {
    return Status(Code::kNotFound,
                  fmt::format("no checkpoint was committed in {}", checkpoints_folder(run_dir)));
  }
  Status none(Code::kDataLoss, fmt::format("none of {} checkpoints in {} is whole", rejected.size(),
                                           checkpoints_folder(run_dir)));
  for (const Status& reason : rejected) none = std::move(none).because(reason.to_string());
  return none;
}

Status remove_old(const std::string& run_dir, uint32_t keep) {
  BALLAST_CHECK(keep >= 1);
  const Result<NewestCheckpoint> newest = newest_checkpoint(run_dir);
  if (!newest.ok()) {
    const Code code = newest.status().code();
    return code == Code::kNotFound || code == Code::kDataLoss ? Status() : newest.status();
  }
  BALLAST_ASSIGN(const std::vector<CutId> ids, listed(run_dir));
  uint32_t kept = 0;
  for (CutId id : ids) {
    // Newer than the newest good one: a round on its way, or the evidence of what damaged it.
    if (id > newest->manifest.id) continue;
    if (kept < keep && looks_whole(run_dir, id)) {
      ++kept;
    } else {
      BALLAST_RETURN_IF_ERROR(remove_checkpoint(run_dir, id));
    }
  }
  return Status();
}

Result<std::vector<UnitImage>> load_units(const std::string& run_dir,
                                          const CheckpointManifest& manifest,
                                          std::span<const UnitId> units) {
  struct Place {
    const CheckpointPart* part;
    const CheckpointEntry* entry;
  };
  std::map<UnitId, Place> places;
  for (const CheckpointPart& part : manifest.parts) {
    for (const CheckpointEntry& entry : part.entries) places[entry.unit] = {&part, &entry};
  }
  std::map<const CheckpointPart*, ReadableFile> files;  // looked up only, never walked
  std::vector<UnitImage> images;
  for (UnitId unit : units) {
    const auto place = places.find(unit);
    if (place == places.end()) {
      return Status(Code::kNotFound, fmt::format("unit {} is in none of the {} parts of "
                                                 "checkpoint {}",
                                                 unit.value(), manifest.parts.size(), manifest.id));
    }
    const auto& [part, entry] = place->second;
    auto file = files.find(part);
    if (file == files.end()) {
      BALLAST_ASSIGN(ReadableFile opened, open_part(run_dir, manifest.id, *part));
      file = files.emplace(part, std::move(opened)).first;
    }
    BALLAST_ASSIGN(UnitImage image, load_unit(file->second, *entry));
    images.push_back(std::move(image));
  }
  return images;
}

}  // namespace ballast
