#include "worker/data/manifest_edit.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "worker/data/column_values.h"
#include "worker/data/dataset.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

Status refused(const std::string& what) {
  return Status(Code::kInvalidInput, what);
}

std::string columns_text(const std::vector<ColumnSpec>& columns) {
  std::vector<std::string> texts;
  for (const ColumnSpec& column : columns) texts.push_back(column.to_string());
  return fmt::format("{}", fmt::join(texts, "; "));
}

// Every chunk with a layout of its own to speak of.
void spell_out_layouts(Manifest& manifest) {
  if (!manifest.layouts.empty()) return;
  manifest.layouts = {plain_chunks(manifest.columns)};
  manifest.chunk_layouts.assign(manifest.chunks.size(), 0);
}

Status check_default(const ColumnSpec& column) {
  const double value = column.default_value;
  if (column.variable) {
    if (value == 0) return {};
    return refused(
        fmt::format("column {}: lists are empty where chunks lack them, default {} "
                    "found; leave it out",
                    column.to_string(), value));
  }
  if (with_type(column.type, [&](auto kind) { return holds<decltype(kind)>(value); })) return {};
  return refused(fmt::format("column {}: default {} is not a value of {}", column.to_string(),
                             value, column_type_name(column.type)));
}

Status check_same_columns(const Manifest& base, const Manifest& added) {
  const auto stores_as = [](const ColumnSpec& a, const ColumnSpec& b) { return a.stores_as(b); };
  if (!std::equal(base.columns.begin(), base.columns.end(), added.columns.begin(),
                  added.columns.end(), stores_as)) {
    return refused(fmt::format("rows with the columns {} expected, {} found",
                               columns_text(base.columns), columns_text(added.columns)));
  }
  if (base.label == added.label) return {};
  return refused(fmt::format("rows with the label column \"{}\" expected, \"{}\" found", base.label,
                             added.label));
}

// Where a layout stands among those of a manifest; it joins them when it is new.
uint32_t place_layout(const ChunkLayout& layout, std::vector<ChunkLayout>& layouts) {
  for (uint32_t i = 0; i < layouts.size(); ++i) {
    ChunkLayout& known = layouts[i];
    if (known.columns != layout.columns || known.view != layout.view ||
        known.tables != layout.tables) {
      continue;
    }
    for (size_t column = 0; column < layout.lists.size(); ++column) {
      ListBytes& bytes = known.lists[column];
      bytes.largest = std::max(bytes.largest, layout.lists[column].largest);
      bytes.total += layout.lists[column].total;
    }
    return i;
  }
  layouts.push_back(layout);
  return static_cast<uint32_t>(layouts.size() - 1);
}

// Readers see the old one or the new one.
Status swap_manifest(const FolderLock& lock, const Manifest& manifest) {
  Manifest stored = manifest;
  stored.minor = manifest.layouts.empty() ? 0 : kChunkMinor;
  return replace_file(lock.folder(), std::string(kManifestName),
                      seal(encode(stored), 0, kManifestMagic));
}

std::string chunk_path(const std::string& folder, uint64_t footer_xxh3) {
  return fmt::format("{}/{}.blc", folder, hex64(footer_xxh3));
}

// A writer that gave up may have had the same rows, and removed what it thought its own.
Status check_chunks_there(const std::string& folder, const Manifest& written) {
  for (const ManifestChunk& chunk : written.chunks) {
    const std::string path = chunk_path(folder, chunk.footer_xxh3);
    std::error_code error;
    if (std::filesystem::file_size(path, error) == chunk.bytes && !error) continue;
    return Status(Code::kConflict, fmt::format("{} of {} bytes expected, it was removed or changed "
                                               "while rows were written: write them again",
                                               path, chunk.bytes));
  }
  return {};
}

template <typename Edit>
Status edit_folder(const std::string& folder, Edit edit) {
  BALLAST_ASSIGN(const FolderLock lock, FolderLock::take(folder));
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  Result<Manifest> edited = edit(dataset->manifest());
  if (!edited.ok()) {
    return Status(edited.status().code(),
                  fmt::format("data set {}: {}", folder, edited.status().to_string()));
  }
  return swap_manifest(lock, *edited);
}

}  // namespace

Result<Manifest> with_column(Manifest manifest, const ColumnSpec& column) {
  if (column.name.empty() || column.width() == 0) {
    return refused(fmt::format("column {}: a name and values expected", column.to_string()));
  }
  if (!is_utf8(column.name)) {
    return refused(fmt::format("column \"{}\": a name in UTF-8 expected", escaped(column.name)));
  }
  for (const ColumnSpec& known : manifest.columns) {
    if (known.name == column.name) {
      return refused(fmt::format("column \"{}\" is there already: {}", column.name,
                                 columns_text(manifest.columns)));
    }
  }
  BALLAST_RETURN_IF_ERROR(check_default(column));
  spell_out_layouts(manifest);
  manifest.columns.push_back(column);
  for (ChunkLayout& layout : manifest.layouts) layout.view.push_back(kNoColumn);
  return manifest;
}

Result<Manifest> without_column(Manifest manifest, std::string_view name) {
  const auto found = std::find_if(manifest.columns.begin(), manifest.columns.end(),
                                  [&](const ColumnSpec& column) { return column.name == name; });
  if (found == manifest.columns.end()) {
    return refused(
        fmt::format("no column \"{}\"; it has: {}", name, columns_text(manifest.columns)));
  }
  if (manifest.columns.size() == 1) {
    return refused(fmt::format("column \"{}\" is the last one; remove the folder instead", name));
  }
  spell_out_layouts(manifest);
  const auto index = found - manifest.columns.begin();
  manifest.columns.erase(found);
  for (ChunkLayout& layout : manifest.layouts) layout.view.erase(layout.view.begin() + index);
  if (manifest.label == name) manifest.label.clear();
  return manifest;
}

Result<Manifest> joined(Manifest base, const Manifest& added) {
  BALLAST_RETURN_IF_ERROR(check_same_columns(base, added));
  const auto first_chunk = static_cast<uint32_t>(base.chunks.size());
  if (base.layouts.empty() && base.chunks.empty()) {
    base.layouts = added.layouts;
    base.chunk_layouts = added.chunk_layouts;
  } else if (!base.layouts.empty() || !added.layouts.empty()) {
    Manifest spelled_out = added;
    spell_out_layouts(base);
    spell_out_layouts(spelled_out);
    std::vector<uint32_t> places;
    for (const ChunkLayout& layout : spelled_out.layouts) {
      places.push_back(place_layout(layout, base.layouts));
    }
    for (uint32_t layout : spelled_out.chunk_layouts) base.chunk_layouts.push_back(places[layout]);
  }
  base.chunks.insert(base.chunks.end(), added.chunks.begin(), added.chunks.end());
  base.blocks.reserve(base.blocks.size() + added.blocks.size());
  for (ManifestBlock block : added.blocks) {
    block.chunk += first_chunk;
    base.blocks.push_back(block);
  }
  return base;
}

Status check_target(const std::string& folder, const Manifest& written, Commit commit) {
  if (commit == Commit::kAppend) {
    BALLAST_ASSIGN(const std::shared_ptr<const Dataset> there, Dataset::open(folder));
    const Result<Manifest> both = joined(there->manifest(), written);
    if (both.ok()) return {};
    return Status(both.status().code(),
                  fmt::format("append to data set {}: {}", folder, both.status().to_string()));
  }
  std::error_code ignored;
  const std::string path = folder + "/" + std::string(kManifestName);
  if (commit == Commit::kReplace || !std::filesystem::exists(path, ignored)) return {};
  return refused(
      fmt::format("{} already holds a data set: choose another folder, replace it with "
                  "--overwrite, or add to it with `data convert --append`",
                  folder));
}

Status commit_manifest(const FolderLock& lock, const Manifest& written, Commit commit) {
  const std::string& folder = lock.folder();
  BALLAST_RETURN_IF_ERROR(check_target(folder, written, commit));
  BALLAST_RETURN_IF_ERROR(check_chunks_there(folder, written));
  const Manifest there = manifest_in(folder);
  if (commit != Commit::kAppend) {
    BALLAST_RETURN_IF_ERROR(swap_manifest(lock, written));
    remove_chunks(folder, chunk_names(there), written);
    return {};
  }
  BALLAST_ASSIGN(const Manifest both, joined(there, written));
  return swap_manifest(lock, both);
}

void remove_chunks(const std::string& folder, const std::set<uint64_t>& chunks,
                   const Manifest& kept) {
  const std::set<uint64_t> named = chunk_names(kept);
  for (const uint64_t chunk : chunks) {
    if (named.contains(chunk)) continue;
    std::error_code ignored;
    std::filesystem::remove(chunk_path(folder, chunk), ignored);
  }
}

std::set<uint64_t> chunk_names(const Manifest& manifest) {
  std::set<uint64_t> names;
  for (const ManifestChunk& chunk : manifest.chunks) names.insert(chunk.footer_xxh3);
  return names;
}

Manifest manifest_in(const std::string& folder) {
  const auto dataset = Dataset::open(folder);
  return dataset.ok() ? (*dataset)->manifest() : Manifest();
}

Status add_column(const std::string& folder, const ColumnSpec& column) {
  return edit_folder(folder,
                     [&](const Manifest& manifest) { return with_column(manifest, column); });
}

Status drop_column(const std::string& folder, const std::string& name) {
  return edit_folder(folder,
                     [&](const Manifest& manifest) { return without_column(manifest, name); });
}

}  // namespace ballast
