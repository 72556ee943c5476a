#include "worker/tool/output_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>

#include "common/storage/durable_file.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

// What is wrong with the path by itself; empty: nothing.
std::string fault_of(const std::string& path) {
  std::error_code ignored;
  const fs::file_status about = fs::status(path, ignored);
  if (fs::is_directory(about)) {
    return fmt::format("a folder found; name a file in it, such as {}",
                       (fs::path(path) / "result").string());
  }
  // It would be replaced, not written to.
  if (fs::exists(about) && !fs::is_regular_file(about)) {
    return "a device or pipe found; name another file";
  }
  fs::path parent = fs::path(path).parent_path();
  if (parent.empty()) parent = ".";
  const fs::file_status folder = fs::status(parent, ignored);
  if (folder.type() == fs::file_type::not_found) {
    return fmt::format("no folder {} found; make it, or name a file elsewhere", parent.string());
  }
  if (fs::exists(folder) && !fs::is_directory(folder)) {
    return fmt::format("{} is a file and no folder; name a file elsewhere", parent.string());
  }
  if (::access(parent.c_str(), W_OK | X_OK) != 0) {
    return fmt::format("no permission to write in {}; allow it, or name a file elsewhere",
                       parent.string());
  }
  return {};
}

}  // namespace

Status check_output_file(const std::string& command, const std::string& path) {
  const auto refused = [&](Code code, const std::string& why) {
    return Status(code,
                  fmt::format("{}: output {}: a file to write expected, {}", command, path, why));
  };
  if (const std::string fault = fault_of(path); !fault.empty()) {
    return refused(Code::kInvalidInput, fault);
  }
  const Result<DurableFile> trial = DurableFile::create(path);  // removed again
  if (trial.ok()) return Status();
  const bool full = trial.status().code() == Code::kExhausted;
  return refused(full ? Code::kExhausted : Code::kInvalidInput,
                 "none can be made: " + trial.status().to_string());
}

}  // namespace ballast
