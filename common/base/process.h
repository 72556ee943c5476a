// What every process of a job does around its own work: arguments, working directory, log, the
// report of a failure, signals. The mains call run_process() and do nothing else at top level.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "common/base/time.h"
#include "common/base/trace.h"

namespace ballast {

struct Process {
  std::string role;  // "coordinator", "server", "worker"
  uint32_t index = 0;
  std::string run_dir;            // absolute; also the working directory
  std::string trace_folder;       // of --trace, below run_dir; empty: no trace
  std::atomic<uint64_t> step{0};  // the last step done, for the failure report; any thread
};

// Reads `--run-dir DIR [--index N] [--trace FOLDER]`, enters the run directory, opens
// logs/<role>-<index>.log, and runs `work`. A status that is not ok is logged and, unless it is
// kStopped, written to logs/<role>-<index>.failure.json. Returns the exit code (status.h).
[[nodiscard]] int run_process(const std::string& role, int argc, char** argv,
                              const std::function<Status(Process&)>& work);

// The trace that --trace asks for, <folder>/<role>-<index>.jsonl. Null without it, and where it
// cannot be written: that is a warning, not the end of a job.
[[nodiscard]] std::unique_ptr<Trace> open_trace(const Process& process, uint64_t first_step,
                                                uint64_t steps);

// {role, index, host, time, step, chain[], log_tail}, written to a temporary file and renamed.
void write_failure_report(const Process& process, const Status& status);

// Writes `text` so that readers see the old file or the new one, never a part.
Status replace_file(const std::string& path, std::string_view text);

[[nodiscard]] std::string host_name();

// Rises with every process of this machine that is started: microseconds of the wall clock.
[[nodiscard]] uint64_t new_incarnation();

// 64 random bits of the system in hex: names one start of one job.
[[nodiscard]] std::string new_run_name();

// SIGINT and SIGTERM as a call on a thread of its own. Make it before any other thread, so that all
// inherit the mask. `notice` must not block.
class SignalWatch {
 public:
  explicit SignalWatch(std::function<void()> notice);
  ~SignalWatch();

 private:
  std::function<void()> notice_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

// The launcher speaks to the coordinator alone: the others leave SIGINT to it. Before any thread.
void ignore_interrupts();

}  // namespace ballast
