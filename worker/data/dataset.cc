#include "worker/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/config/nearest.h"
#include "worker/data/joined_manifest.h"
#include "worker/data/sealed.h"
#include "worker/data/source/joined_source.h"

namespace ballast {

namespace {

Status no_manifest(const std::string& folder, const Source& source) {
  if (source.is_remote()) {
    return Status(
        Code::kNotFound,
        fmt::format("data set {}: no {} there; the address of a data set made by `ballast "
                    "data convert` expected",
                    folder, source.name_of(std::string(kManifestName))));
  }
  std::error_code ignored;
  if (!std::filesystem::exists(folder, ignored)) {
    return Status(Code::kNotFound, fmt::format("data set {}: no such folder; make one with "
                                               "`ballast data convert`",
                                               folder));
  }
  return Status(Code::kNotFound,
                fmt::format("data set {}: no {} in it; a folder made by `ballast data convert` "
                            "expected",
                            folder, kManifestName));
}

}  // namespace

Result<std::shared_ptr<const Dataset>> Dataset::open(const std::string& location,
                                                     const Access& access) {
  BALLAST_ASSIGN(std::unique_ptr<Source> opened, open_source(location, access));
  std::shared_ptr<Source> source = std::move(opened);
  const Result<Object> file = Object::open(source, std::string(kManifestName));
  if (!file.ok() && file.status().code() == Code::kNotFound) return no_manifest(location, *source);
  if (!file.ok()) return file.status();
  BALLAST_ASSIGN(SealedPart part, read_sealed(*file, kManifestMagic, "manifest"));
  const std::string where = fmt::format("manifest {} at byte {}", file->path(), part.offset);
  BALLAST_ASSIGN(Manifest manifest, decode_manifest(part.bytes, where));
  part.bytes = std::vector<std::byte>();  // as long as the list of blocks read from it
  return std::shared_ptr<const Dataset>(
      new Dataset(location, std::move(source), std::move(manifest), part.xxh3));
}

Result<std::shared_ptr<const Dataset>> Dataset::join(
    std::vector<std::shared_ptr<const Dataset>> parts) {
  BALLAST_CHECK(!parts.empty());
  if (parts.size() == 1) return parts.front();
  BALLAST_ASSIGN(JoinedManifest joined, join_manifests(parts));
  std::vector<std::shared_ptr<Source>> sources;
  std::vector<std::string> folders;
  Hasher hasher;
  for (const auto& part : parts) {
    sources.push_back(part->source());
    folders.push_back(part->folder());
    hasher.add(part->manifest_xxh3());
  }
  std::shared_ptr<Dataset> dataset(new Dataset(fmt::format("{}", fmt::join(folders, " + ")),
                                               std::make_shared<JoinedSource>(std::move(sources)),
                                               std::move(joined.manifest), hasher.digest()));
  dataset->left_out_ = std::move(joined.left_out);
  dataset->parts_.clear();
  uint64_t first_block = 0;
  uint32_t first_chunk = 0;
  for (const auto& part : parts) {
    dataset->parts_.push_back(
        {part->folder(), part->manifest().label, part->rows(), first_block, first_chunk});
    first_block += part->block_count();
    first_chunk += static_cast<uint32_t>(part->manifest().chunks.size());
  }
  return std::shared_ptr<const Dataset>(std::move(dataset));
}

Dataset::Dataset(std::string location, std::shared_ptr<Source> source, Manifest manifest,
                 uint64_t manifest_xxh3)
    : folder_(std::move(location)),
      source_(std::move(source)),
      manifest_(std::move(manifest)),
      manifest_xxh3_(manifest_xxh3) {
  first_rows_.reserve(block_count());
  for (const ManifestBlock& block : manifest_.blocks) {
    while (first_blocks_.size() <= block.chunk) first_blocks_.push_back(first_rows_.size());
    first_rows_.push_back(rows_);
    rows_ += block.rows;
  }
  while (first_blocks_.size() <= manifest_.chunks.size()) first_blocks_.push_back(block_count());
  parts_ = {{folder_, manifest_.label, rows_, 0, 0}};
  layouts_ = manifest_.layouts;
  chunk_layouts_ = manifest_.chunk_layouts;
  if (!layouts_.empty()) return;
  layouts_ = {plain_chunks(manifest_.columns)};
  chunk_layouts_.assign(manifest_.chunks.size(), 0);
}

size_t Dataset::part_of(uint64_t block) const {
  const auto after = std::upper_bound(
      parts_.begin(), parts_.end(), block,
      [](uint64_t wanted, const DatasetPart& part) { return wanted < part.first_block; });
  return static_cast<size_t>(after - parts_.begin()) - 1;
}

uint64_t Dataset::list_bytes(size_t column) const {
  uint64_t bytes = 0;
  for (const ChunkLayout& layout : layouts_) {
    const uint32_t index = layout.view[column];
    if (index != kNoColumn) bytes += layout.lists[index].total;
  }
  return bytes;
}

Result<size_t> Dataset::find_column(std::string_view name) const {
  std::vector<std::string> names;
  for (const ColumnSpec& column : columns()) {
    if (column.name == name) return names.size();
    names.push_back(column.name);
  }
  if (const auto why = left_out_.find(std::string(name)); why != left_out_.end()) {
    return Status(Code::kInvalidInput, why->second);
  }
  const std::string hint = did_you_mean(name, names);
  return Status(Code::kNotFound,
                fmt::format("data set {}: no column \"{}\"{} it has: {}", folder_, name,
                            hint.empty() ? ";" : hint, fmt::join(names, ", ")));
}

BlockPlace Dataset::block(uint64_t index) const {
  const ManifestBlock& stored = manifest_.blocks[index];
  const auto in_chunk = static_cast<uint32_t>(index - first_blocks_[stored.chunk]);
  return {stored.chunk, in_chunk, first_rows_[index], stored};
}

std::vector<BlockPlace> Dataset::blocks_of(uint32_t chunk) const {
  std::vector<BlockPlace> blocks;
  for (uint64_t index = first_blocks_[chunk]; index < first_blocks_[chunk + 1]; ++index) {
    blocks.push_back(block(index));
  }
  return blocks;
}

RowPlace Dataset::place(uint64_t row) const {
  BALLAST_CHECK(row < rows_);
  const auto after = std::ranges::upper_bound(first_rows_, row);
  const auto block = static_cast<uint64_t>(after - first_rows_.begin()) - 1;
  return {block, row - first_rows_[block]};
}

std::string Dataset::chunk_name(uint32_t chunk) const {
  const std::string name = hex64(manifest_.chunks[chunk].footer_xxh3) + ".blc";
  if (parts_.size() == 1) return name;
  const auto after = std::upper_bound(
      parts_.begin(), parts_.end(), chunk,
      [](uint32_t wanted, const DatasetPart& part) { return wanted < part.first_chunk; });
  return JoinedSource::object_of(static_cast<size_t>(after - parts_.begin()) - 1, name);
}

std::string Dataset::chunk_path(uint32_t chunk) const {
  return source_->name_of(chunk_name(chunk));
}

std::string Dataset::row_name(uint64_t row) const {
  const RowPlace found = place(row);
  return fmt::format("{}, row {}", block_name(block(found.block)), found.row_in_block);
}

std::string Dataset::block_name(const BlockPlace& block) const {
  return fmt::format("{}, block {}", chunk_path(block.chunk), block.index_in_chunk);
}

}  // namespace ballast
