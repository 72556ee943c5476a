#include "common/base/log.h"

#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <memory>

namespace ballast::log {
namespace {

constexpr size_t kTailLines = 20;
constexpr const char* kPattern = "%Y-%m-%dT%H:%M:%S.%e %l %n %v";

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::kDebug:
      return spdlog::level::debug;
    case Level::kInfo:
      return spdlog::level::info;
    case Level::kWarning:
      return spdlog::level::warn;
    case Level::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// The one process-wide object: a log is where every room may drop a note and none may read.
struct Sinks {
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> tail =
      std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(kTailLines);
  std::shared_ptr<spdlog::logger> logger;
};

Sinks& sinks() {
  static Sinks instance;
  return instance;
}

}  // namespace

Status open(const std::string& path, std::string who, Level level) {
  try {
    auto to_stderr = std::make_shared<spdlog::sinks::stderr_sink_mt>();
    std::vector<spdlog::sink_ptr> all = {to_stderr, sinks().tail};
    if (!path.empty()) {
      to_stderr->set_level(spdlog::level::warn);
      all.push_back(std::make_shared<spdlog::sinks::basic_file_sink_mt>(path));
    }
    auto logger = std::make_shared<spdlog::logger>(std::move(who), all.begin(), all.end());
    logger->set_level(to_spdlog(level));
    logger->set_pattern(kPattern, spdlog::pattern_time_type::utc);
    logger->flush_on(spdlog::level::info);
    sinks().logger = std::move(logger);
    return Status();
  } catch (const spdlog::spdlog_ex& error) {
    return Status(
        Code::kInvalidInput,
        fmt::format("cannot open log file {}: {}; check that the run directory is writable", path,
                    error.what()));
  }
}

void close() {
  sinks().logger.reset();
}

void write(Level level, std::string_view text) {
  if (auto& logger = sinks().logger) logger->log(to_spdlog(level), text);
}

std::string tail() {
  std::string text;
  for (const std::string& line : sinks().tail->last_formatted()) text += line;
  return text;
}

}  // namespace ballast::log
