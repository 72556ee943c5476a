#include "common/config/job_text.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <sstream>

namespace ballast {

Result<std::string> read_job_text(const std::string& path) {
  constexpr uint64_t kJobBytesMax = 1 << 20;  // as launch/ballast_launcher/run.py
  namespace fs = std::filesystem;
  std::error_code error;
  const auto refused = [&](const std::string& why) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: {}; expected a job file in TOML", path, why));
  };
  const fs::file_status about = fs::status(path, error);
  if (about.type() == fs::file_type::not_found) return refused("no such file");
  if (fs::is_directory(about)) return refused("a folder");
  if (!fs::is_regular_file(about)) return refused("not a regular file");
  const uint64_t bytes = fs::file_size(path, error);
  if (!error && bytes > kJobBytesMax) {
    return refused(fmt::format("{} bytes, more than {}", bytes, kJobBytesMax));
  }
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file && bytes > 0) text << file.rdbuf();
  if (!file) return refused("cannot be read");
  return text.str();
}

}  // namespace ballast
