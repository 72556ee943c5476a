#include "server/checkpoint_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "common/base/hash.h"
#include "common/storage/checkpoint.h"

namespace ballast {
namespace {

std::string text_of(const std::vector<CheckpointPart>& parts) {
  std::string text;
  for (const CheckpointPart& part : parts) {
    text += fmt::format("{}{} ({} bytes, xxh3 {})", text.empty() ? "" : ", ", part.file, part.bytes,
                        hex64(part.xxh3));
  }
  return text.empty() ? "no part" : text;
}

}  // namespace

Status commit_or_confirm(const std::string& run_dir, const CheckpointManifest& manifest) {
  BALLAST_RETURN_IF_ERROR(check_parts(manifest.parts));
  Status status = commit_manifest(run_dir, manifest);
  if (status.code() != Code::kConflict) return status;
  BALLAST_ASSIGN(const CheckpointManifest committed, read_manifest(run_dir, manifest.id));
  if (committed.parts == manifest.parts) return Status();
  return std::move(status).because(fmt::format(
      "committed there: {}; to be committed now: {}; resume from it, or move its folder away",
      text_of(committed.parts), text_of(manifest.parts)));
}

std::vector<std::string> set_aside_newer_than(const std::string& run_dir, CutId id) {
  namespace fs = std::filesystem;
  std::error_code error;
  const std::string newest = fs::path(checkpoint_folder(run_dir, id)).filename().string();
  std::vector<fs::path> damaged;
  for (const auto& entry : fs::directory_iterator(checkpoints_folder(run_dir), error)) {
    const std::string name = entry.path().filename().string();
    const bool is_checkpoint =
        name.size() == newest.size() && name.find_first_not_of("0123456789") == std::string::npos;
    if (is_checkpoint && name > newest) damaged.push_back(entry.path());
  }
  std::sort(damaged.begin(), damaged.end());
  std::vector<std::string> lines;
  for (const fs::path& folder : damaged) {
    fs::rename(folder, folder.string() + ".damaged", error);
    lines.push_back(fmt::format("set aside as {}.damaged{}", folder.string(),
                                error ? ": " + error.message() : ""));
  }
  return lines;
}

}  // namespace ballast
