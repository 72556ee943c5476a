#include "worker/data/joined_manifest.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "worker/data/manifest_edit.h"

namespace ballast {
namespace {

using Parts = std::span<const std::shared_ptr<const Dataset>>;

// A column of the joined set: where each part has it.
struct SharedColumn {
  ColumnSpec spec;
  std::vector<size_t> indices;  // one a part
};

std::optional<size_t> index_of(const Dataset& part, const std::string& name) {
  const auto& columns = part.columns();
  const auto found = std::ranges::find(columns, name, &ColumnSpec::name);
  if (found == columns.end()) return std::nullopt;
  return static_cast<size_t>(found - columns.begin());
}

// Some of its chunks were made before the column was added, and take its default.
bool uses_default(const Dataset& part, size_t column) {
  for (uint32_t chunk = 0; chunk < part.manifest().chunks.size(); ++chunk) {
    if (part.layout_of(chunk).view[column] == kNoColumn) return true;
  }
  return false;
}

std::string lacks(const std::string& column, const Dataset& with, const Dataset& without) {
  return fmt::format(
      "data sets that are mixed need every column that the job uses: \"{}\" is in {}, {} has none; "
      "add it there with `ballast data add-column`, or use columns that all sets have",
      column, with.folder(), without.folder());
}

std::string differs(const ColumnSpec& here, const ColumnSpec& there, const Dataset& first,
                    const Dataset& other) {
  return fmt::format(
      "data sets that are mixed need the same type and shape of a column that the job uses: {} in "
      "{} expected as in {}, {} found; convert one of them again",
      here.to_string(), other.folder(), first.folder(), there.to_string());
}

// Fills `column`, which has the spec of the first part. Not empty: why they do not agree.
std::string agree(Parts parts, SharedColumn& column) {
  const std::string& name = column.spec.name;
  const Dataset* default_of = nullptr;  // whose default is in use
  for (const auto& part : parts) {
    const std::optional<size_t> index = index_of(*part, name);
    if (!index) return lacks(name, *parts.front(), *part);
    const ColumnSpec& there = part->columns()[*index];
    if (!column.spec.stores_as(there)) return differs(column.spec, there, *parts.front(), *part);
    column.indices.push_back(*index);
    if (!uses_default(*part, *index)) continue;
    if (default_of != nullptr && column.spec.default_value != there.default_value) {
      return fmt::format(
          "data sets that are mixed need one default of a column that the job uses: \"{}\" has {} "
          "in {} and {} in {}, and both have rows from before it was added; convert one of them "
          "again",
          name, column.spec.default_value, default_of->folder(), there.default_value,
          part->folder());
    }
    default_of = part.get();
    column.spec.default_value = there.default_value;
  }
  return {};
}

// Columns that the first part has not.
void leave_out_others(Parts parts, std::map<std::string, std::string>& left_out) {
  for (const auto& part : parts.subspan(1)) {
    for (const ColumnSpec& column : part->columns()) {
      if (index_of(*parts.front(), column.name)) continue;
      left_out.try_emplace(column.name, lacks(column.name, *part, *parts.front()));
    }
  }
}

// The label column, if all parts count the values of the same one.
std::string common_label(Parts parts, std::span<const SharedColumn> columns) {
  const std::string& label = parts.front()->manifest().label;
  const bool same =
      std::ranges::all_of(parts, [&](const auto& part) { return part->manifest().label == label; });
  const bool there = std::ranges::any_of(
      columns, [&](const SharedColumn& column) { return column.spec.name == label; });
  return same && there ? label : "";
}

// The manifest of a part as it would be if it had been made with these columns alone.
Manifest seen_through(const Dataset& part, size_t number, std::span<const SharedColumn> columns) {
  Manifest manifest = part.manifest();
  if (manifest.layouts.empty()) {
    manifest.layouts = {plain_chunks(manifest.columns)};
    manifest.chunk_layouts.assign(manifest.chunks.size(), 0);
  }
  manifest.columns.clear();
  manifest.label.clear();
  for (const SharedColumn& column : columns) manifest.columns.push_back(column.spec);
  for (ChunkLayout& layout : manifest.layouts) {
    const std::vector<uint32_t> view = std::exchange(layout.view, {});
    for (const SharedColumn& column : columns) layout.view.push_back(view[column.indices[number]]);
  }
  return manifest;
}

}  // namespace

Result<JoinedManifest> join_manifests(Parts parts) {
  JoinedManifest result;
  std::vector<SharedColumn> columns;
  for (const ColumnSpec& spec : parts.front()->columns()) {
    SharedColumn column{spec, {}};
    std::string why = agree(parts, column);
    if (why.empty()) {
      columns.push_back(std::move(column));
    } else {
      result.left_out.emplace(spec.name, std::move(why));
    }
  }
  leave_out_others(parts, result.left_out);
  if (columns.empty()) return Status(Code::kInvalidInput, result.left_out.begin()->second);
  for (size_t number = 0; number < parts.size(); ++number) {
    Manifest part = seen_through(*parts[number], number, columns);
    if (number == 0) {
      result.manifest = std::move(part);
      continue;
    }
    BALLAST_ASSIGN(result.manifest, joined(std::move(result.manifest), part));
  }
  result.manifest.label = common_label(parts, columns);
  return result;
}

}  // namespace ballast
