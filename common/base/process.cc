#include "common/base/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>

#include "common/base/hash.h"
#include "common/base/json_writer.h"
#include "common/base/log.h"

namespace ballast {
namespace {

Status parse_arguments(int argc, char** argv, Process& process) {
  const std::string usage =
      fmt::format("usage: {} --run-dir DIR [--index N] [--trace FOLDER]", argv[0]);
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string key = argv[i], value = argv[i + 1];
    char* end = nullptr;
    if (key == "--run-dir") {
      process.run_dir = value;
    } else if (key == "--trace") {
      process.trace_folder = value;
    } else if (key == "--index") {
      process.index = static_cast<uint32_t>(std::strtoul(value.c_str(), &end, 10));
      if (end == value.c_str() || *end != '\0') {
        return Status(Code::kInvalidInput,
                      fmt::format("--index {}: not a number; {}", value, usage));
      }
    } else {
      return Status(Code::kInvalidInput, fmt::format("unknown argument {}; {}", key, usage));
    }
  }
  if (argc % 2 == 0 || process.run_dir.empty()) return Status(Code::kInvalidInput, usage);
  return Status();
}

Status enter_run_dir(Process& process) {
  std::error_code error;
  process.run_dir = std::filesystem::absolute(process.run_dir, error).lexically_normal().string();
  std::filesystem::current_path(process.run_dir, error);
  if (error) {
    return Status(Code::kInvalidInput, fmt::format("cannot enter run directory {}: {}",
                                                   process.run_dir, error.message()));
  }
  std::filesystem::create_directories("logs", error);
  if (error) {
    return Status(
        Code::kInvalidInput,
        fmt::format("cannot make folder {}/logs: {}; check its permissions and free space",
                    process.run_dir, error.message()));
  }
  return log::open(fmt::format("logs/{}-{}.log", process.role, process.index),
                   fmt::format("{}-{}", process.role, process.index));
}

Status guarded(const std::function<Status(Process&)>& work, Process& process) {
  try {
    return work(process);
  } catch (const std::bad_alloc&) {
    return Status(Code::kExhausted, "out of memory");
  } catch (const std::exception& error) {
    return Status(Code::kInternal, fmt::format("unexpected exception: {}", error.what()));
  }
}

// Frames of up to 1 MiB come and go hundreds of times a second. As the allocator comes, it gives
// each back to the system and takes it again, and the first touch of fresh memory is a page fault
// for every 4 KiB. Keeping what was freed took a job from 1,050,000 page faults to 28,000 (job and
// machine: the message of the commit that added this, `git log -S keep_freed_memory`); what a
// process holds is then the most it ever needed at once.
void keep_freed_memory() {
#ifdef __GLIBC__
  ::mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most glibc takes
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

std::string errno_text() {
  return std::strerror(errno);
}

// fmt::print() throws where stderr is a file on a full disk.
void tell_on_stderr(const Status& status) {
  std::fputs((status.to_string() + "\n").c_str(), stderr);
}

}  // namespace

int run_process(const std::string& role, int argc, char** argv,
                const std::function<Status(Process&)>& work) {
  ::signal(SIGPIPE, SIG_IGN);
  keep_freed_memory();
  Process process;
  process.role = role;
  Status status = parse_arguments(argc, argv, process);
  const bool entered = status.ok() && (status = enter_run_dir(process)).ok();
  if (entered) {
    log::info("started process={} run_dir={}", ::getpid(), process.run_dir);
    status = guarded(work, process);
  }
  if (!entered) {
    tell_on_stderr(status);
  } else if (!status.ok() && status.code() != Code::kStopped) {
    log::error("failed step={} {}", process.step.load(), status.to_string());
    write_failure_report(process, status);
  } else {
    log::info("ended step={} {}", process.step.load(), status.to_string());
  }
  log::close();
  return exit_code(status);
}

std::unique_ptr<Trace> open_trace(const Process& process, uint64_t first_step, uint64_t steps) {
  if (process.trace_folder.empty()) return nullptr;
  auto trace = Trace::open(
      {.path = fmt::format("{}/{}-{}.jsonl", process.trace_folder, process.role, process.index),
       .role = process.role,
       .index = process.index,
       .first_step = first_step,
       .steps = steps});
  if (trace.ok()) return std::move(trace).value();
  log::warn("no trace: {}; the job goes on", trace.status().to_string());
  return nullptr;
}

void write_failure_report(const Process& process, const Status& status) {
  JsonWriter json;
  json.open().key("role").value(process.role).key("index").value(process.index);
  json.key("host").value(host_name()).key("time").value(utc_now());
  json.key("step").value(process.step.load()).key("code").value(code_name(status.code()));
  json.key("chain").open_list();
  for (const std::string& line : status.chain()) json.value(line);
  json.close_list().key("log_tail").value(log::tail()).close();
  const std::string path =
      fmt::format("{}/logs/{}-{}.failure.json", process.run_dir, process.role, process.index);
  if (const Status written = replace_file(path, json.text()); !written.ok()) {
    tell_on_stderr(status);  // the disk is what failed: say it at least
  }
}

Status replace_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  const auto failed = [&](const char* what) {
    const Code code = errno == ENOSPC || errno == EDQUOT ? Code::kExhausted : Code::kUnavailable;
    Status status(
        code, fmt::format("cannot {} {}: {}; free space or mend the permissions, then resume", what,
                          path, errno_text()));
    ::unlink(temporary.c_str());
    return status;
  };
  const int file = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file < 0) return failed("create");
  while (!text.empty()) {
    const ssize_t written = ::write(file, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) {
      const int reason = errno;
      ::close(file);
      errno = reason;
      return failed("write");
    }
    text.remove_prefix(static_cast<size_t>(written));
  }
  if (::close(file) != 0) return failed("write");
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("replace");
  return Status();
}

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown";
}

uint64_t new_incarnation() {
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(
                                   std::chrono::system_clock::now().time_since_epoch())
                                   .count());
}

std::string new_run_name() {
  std::random_device system;
  return hex64(uint64_t{system()} << 32 | system());
}

SignalWatch::SignalWatch(std::function<void()> notice) : notice_(std::move(notice)) {
  sigset_t watched;
  sigemptyset(&watched);
  for (int signal : {SIGINT, SIGTERM, SIGUSR1}) sigaddset(&watched, signal);
  pthread_sigmask(SIG_BLOCK, &watched, nullptr);
  thread_ = std::thread([this, watched] {
    int signal = 0;
    while (sigwait(&watched, &signal) == 0 && !ending_) notice_();
  });
}

SignalWatch::~SignalWatch() {
  ending_ = true;
  pthread_kill(thread_.native_handle(), SIGUSR1);  // only wakes the watch
  thread_.join();
}

void ignore_interrupts() {
  ::signal(SIGINT, SIG_IGN);
}

}  // namespace ballast
