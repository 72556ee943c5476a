#include "worker/tool/resume_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>

namespace ballast {
namespace {

namespace fs = std::filesystem;

// The launcher of a run that is going on holds this lock (launch/ballast_launcher).
bool is_running(const std::string& run_dir) {
  const int file = ::open((run_dir + "/launch.lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const bool held = ::flock(file, LOCK_SH | LOCK_NB) != 0;
  ::close(file);
  return held;
}

Status nothing(const std::string& run_dir, const std::string& why) {
  return Status(Code::kNotFound, fmt::format("{}: nothing to resume: {}", run_dir, why));
}

}  // namespace

Result<ResumeSource> find_resume_source(const std::string& run_dir) {
  std::error_code ignored;
  if (!fs::is_directory(run_dir, ignored)) return nothing(run_dir, "no such folder");
  if (!fs::exists(fs::path(run_dir) / "job.toml", ignored)) {
    return nothing(run_dir, "no job.toml in it, so no run was started there");
  }
  Result<NewestCheckpoint> newest = newest_checkpoint(run_dir);
  if (newest.status().code() == Code::kNotFound) {
    return nothing(run_dir, "no checkpoint in it; run the job again instead");
  }
  if (newest.status().code() == Code::kDataLoss) {
    return newest.status().because(
        fmt::format("cannot resume {}: run {}/job.toml again, with the --set it had, or put the "
                    "damaged files back from a copy",
                    run_dir, run_dir));
  }
  if (!newest.ok()) return newest.status();
  return ResumeSource{newest->manifest.id, newest->manifest.clock, newest->manifest.config,
                      checkpoint_folder(run_dir, newest->manifest.id), std::move(newest->rejected)};
}

Status check_not_running(const std::string& run_dir) {
  if (!is_running(run_dir)) return Status();
  return Status(Code::kInvalidInput,
                fmt::format("{}: its run is going on; `ballast status {}` shows it, Ctrl-C in its "
                            "launcher stops it with a checkpoint",
                            run_dir, run_dir));
}

std::string to_string(const ResumeSource& source) {
  return fmt::format("checkpoint {} at step {} ({})", source.checkpoint, source.step,
                     source.folder);
}

}  // namespace ballast
