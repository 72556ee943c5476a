#include "worker/data/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <memory>
#include <set>
#include <utility>

#include "common/base/hash.h"
#include "worker/data/examine.h"
#include "worker/data/file.h"
#include "worker/data/sealed.h"
#include "worker/data/source/source.h"

namespace ballast {

namespace {

namespace fs = std::filesystem;

// One stretch of a chunk's bytes and what tells whether it is right.
struct Stretch {
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;
  const char* what = "";
};

// All bytes of a chunk but its trailer: head, blocks, footer.
std::vector<Stretch> stretches_of(const Dataset& dataset, uint32_t chunk) {
  std::vector<std::byte> head = chunk_head(dataset.layout_of(chunk).tables ? kChunkMinor : 0);
  head.resize(kBlockAlignment);
  std::vector<Stretch> stretches = {{head.size(), xxh3(std::span<const std::byte>(head)), "head"}};
  uint64_t end = head.size();
  for (const BlockPlace& block : dataset.blocks_of(chunk)) {
    stretches.push_back({block.stored.bytes, block.stored.xxh3, "block"});
    end += block.stored.bytes;
  }
  const ManifestChunk& stored = dataset.manifest().chunks[chunk];
  stretches.push_back({stored.bytes - kTrailerBytes - end, stored.footer_xxh3, "footer"});
  return stretches;
}

Status append_verified(Source& from, const std::string& name, const Stretch& stretch, NewFile& file,
                       std::vector<std::byte>& bytes) {
  bytes.resize(stretch.bytes);
  BALLAST_RETURN_IF_ERROR(from.read_now(name, file.size(), bytes));
  const uint64_t found = xxh3(std::span<const std::byte>(bytes));
  if (found == stretch.xxh3) return file.append(bytes);
  return Status(Code::kDataLoss,
                fmt::format("{} of {} at byte {}: xxh3 {} expected, {} found", stretch.what,
                            from.name_of(name), file.size(), hex64(stretch.xxh3), hex64(found)));
}

// Puts a whole copy of the chunk in its place.
Status fetch_chunk(const Dataset& dataset, uint32_t chunk, Source& from) {
  const std::string name = dataset.chunk_name(chunk);
  const ManifestChunk& stored = dataset.manifest().chunks[chunk];
  BALLAST_ASSIGN(const uint64_t size, from.size_of(name));
  if (size != stored.bytes) {
    return Status(Code::kDataLoss, fmt::format("{}: {} bytes expected, {} found",
                                               from.name_of(name), stored.bytes, size));
  }
  BALLAST_ASSIGN(NewFile file, NewFile::create(dataset.folder()));
  std::vector<std::byte> bytes;
  for (const Stretch& stretch : stretches_of(dataset, chunk)) {
    BALLAST_RETURN_IF_ERROR(append_verified(from, name, stretch, file, bytes));
  }
  // `bytes` is the footer; what seals it is known from it.
  const std::vector<std::byte> sealed = seal(bytes, file.size() - bytes.size(), kChunkMagic);
  BALLAST_RETURN_IF_ERROR(file.append(std::span(sealed).last(kTrailerBytes)));
  std::error_code ignored;
  fs::remove(dataset.chunk_path(chunk), ignored);  // the damaged one; a kill here leaves none
  return file.publish(name);
}

std::string set_aside(const Dataset& dataset, uint32_t chunk) {
  const std::string name = dataset.chunk_name(chunk) + ".damaged";
  std::error_code error;
  fs::rename(dataset.chunk_path(chunk), dataset.folder() + "/" + name, error);
  return error ? "" : name;
}

// Without these chunks, and their blocks.
Manifest without(const Manifest& whole, const std::set<uint32_t>& lost) {
  Manifest kept = whole;
  kept.chunks.clear();
  kept.blocks.clear();
  kept.chunk_layouts.clear();
  std::vector<uint32_t> number(whole.chunks.size());
  for (uint32_t c = 0; c < whole.chunks.size(); ++c) {
    if (lost.contains(c)) continue;
    number[c] = static_cast<uint32_t>(kept.chunks.size());
    kept.chunks.push_back(whole.chunks[c]);
    if (!whole.layouts.empty()) kept.chunk_layouts.push_back(whole.chunk_layouts[c]);
  }
  for (ManifestBlock block : whole.blocks) {
    if (lost.contains(block.chunk)) continue;
    block.chunk = number[block.chunk];
    kept.blocks.push_back(block);
  }
  return kept;
}

Status write_manifest_without(const Dataset& dataset, const std::set<uint32_t>& lost) {
  const Manifest kept = without(dataset.manifest(), lost);
  if (kept.chunks.empty()) {
    return Status(Code::kInvalidInput,
                  dataset.folder() +
                      ": every chunk is lost, nothing would be left; the manifest "
                      "stays as it is");
  }
  BALLAST_ASSIGN(const FolderLock lock, FolderLock::take(dataset.folder()));
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> now, Dataset::open(dataset.folder()));
  if (now->manifest_xxh3() != dataset.manifest_xxh3()) {
    return Status(Code::kConflict,
                  dataset.folder() + ": its manifest was changed meanwhile: repair it again");
  }
  return replace_file(dataset.folder(), std::string(kManifestName),
                      seal(encode(kept), 0, kManifestMagic));
}

}  // namespace

Result<RepairReport> repair_dataset(const std::string& folder, const RepairOptions& options) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  if (dataset->source()->is_remote()) {
    return Status(Code::kInvalidInput, folder + ": only a local folder can be repaired");
  }
  std::unique_ptr<Source> from;
  if (!options.from.empty()) {
    BALLAST_ASSIGN(from, open_source(options.from, options.access));
  }
  RepairReport report;
  std::set<uint32_t> lost;
  for (uint32_t c = 0; c < dataset->manifest().chunks.size(); ++c) {
    std::vector<Status> problems = verify_chunk(*dataset, c);
    if (problems.empty()) continue;
    std::ranges::move(problems, std::back_inserter(report.problems));
    const Status fetched = from ? fetch_chunk(*dataset, c, *from) : Status();
    if (from && fetched.ok()) {
      report.restored.push_back(dataset->chunk_name(c));
      continue;
    }
    lost.insert(c);
    report.lost.push_back({dataset->chunk_name(c), dataset->blocks_of(c).front().first_row,
                           dataset->manifest().chunks[c].rows, set_aside(*dataset, c), fetched});
  }
  if (!lost.empty() && options.drop) {
    BALLAST_RETURN_IF_ERROR(write_manifest_without(*dataset, lost));
    report.dropped = true;
  }
  return report;
}

std::string way_out_of_damage(const Dataset& dataset) {
  const bool one = dataset.parts().size() == 1;
  const std::string folder = one ? dataset.folder() : "FOLDER";
  if (one && dataset.source()->is_remote()) {
    return fmt::format(
        "a damaged data set: where it is stored, `ballast data verify FOLDER --repair --from COPY` "
        "fetches the bad chunks of {} from a good copy",
        folder);
  }
  return fmt::format(
      "a damaged data set: `ballast data verify {} --repair --from COPY` fetches its bad chunks "
      "from a good copy, a folder or an address; without one, convert the sources again",
      folder);
}

Status with_way_out(Status failure, const Dataset& dataset) {
  if (failure.code() != Code::kDataLoss) return failure;
  return std::move(failure).because(way_out_of_damage(dataset));
}

std::vector<std::string> unnamed_files(const Dataset& dataset) {
  std::set<std::string> named = {std::string(kManifestName)};
  for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
    named.insert(dataset.chunk_name(c));
  }
  std::vector<std::string> unnamed;
  std::error_code error;  // no folder: an address
  for (fs::directory_iterator entry(dataset.folder(), error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    if (!named.contains(name)) unnamed.push_back(name);
  }
  std::ranges::sort(unnamed);
  return unnamed;
}

}  // namespace ballast
