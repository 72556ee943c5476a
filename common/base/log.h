// The process's log: one line an event, `time LEVEL role-index text key=value`. Any thread. The
// main opens it; nothing that decides ever reads it.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>

#include "common/base/status.h"

namespace ballast::log {

enum class Level { kDebug, kInfo, kWarning, kError };

// Lines go to `path` (appended) and, from kWarning on, also to stderr. Empty path: stderr only.
// `who` is "worker-1", "coordinator", "ballast-tool".
Status open(const std::string& path, std::string who, Level level = Level::kInfo);
void close();
void write(Level level, std::string_view text);

// The last lines written, oldest first, for failure reports.
[[nodiscard]] std::string tail();

template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kWarning, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace ballast::log
