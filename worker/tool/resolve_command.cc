#include "worker/tool/resolve_command.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/process.h"
#include "common/base/system_cores.h"
#include "common/compute/backend.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "worker/data/file.h"
#include "worker/data/memory_budget.h"
#include "worker/data/train_sets.h"
#include "worker/feed/feeder.h"
#include "worker/model/model_check.h"
#include "worker/tool/job_plan.h"
#include "worker/tool/resume_source.h"
#include "worker/tool/settings_check.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.toml";
constexpr const char* kJobName = "job.toml";

Status write_failed(const std::string& path, int error) {
  const Code code = error == ENOSPC || error == EDQUOT ? Code::kExhausted : Code::kInvalidInput;
  return Status(code, fmt::format("{}: cannot be written: {}; free the disk or choose another "
                                  "--run-dir",
                                  path, std::strerror(error)));
}

// Never half a file: written beside, then renamed.
Status write_file(const fs::path& path, const std::string& text) {
  const std::string part = path.string() + ".part";
  errno = 0;
  std::ofstream file(part, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) {
    const Status failure = write_failed(path, errno != 0 ? errno : EIO);
    std::error_code ignored;
    fs::remove(part, ignored);
    return failure;
  }
  std::error_code error;
  fs::rename(part, path, error);
  return error ? write_failed(path, error.value()) : Status();
}

Result<std::string> read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  if (!file) return Status(Code::kInvalidInput, fmt::format("{}: cannot be read", path));
  return text.str();
}

// The job goes on as it was but for what may change.
// Before anything is reckoned from it.
Status check_same_data(const JobConfig& before, const JobConfig& now, const std::string& run_dir) {
  const auto check = [&](const std::string& name, const std::string& expected,
                         const std::string& found, const char* key) {
    if (expected == found) return Status();
    return Status(
        Code::kInvalidInput,
        fmt::format("data set {}: manifest {} expected by the run {}, {} found: it is not "
                    "the data of that run; put that back, or name where it is with --set "
                    "{}=DIR",
                    name, expected, run_dir, found.empty() ? "none" : found, key));
  };
  BALLAST_RETURN_IF_ERROR(check(train_name(now.data), before.resolved.train_manifest_xxh3,
                                now.resolved.train_manifest_xxh3, "data.train"));
  return check(now.data.test, before.resolved.test_manifest_xxh3, now.resolved.test_manifest_xxh3,
               "data.test");
}

Status check_resumed(const JobConfig& before, const JobConfig& now, const std::string& run_dir) {
  const std::vector<std::string> changes = changed_result_keys(before, now);
  if (changes.empty()) return Status();
  return Status(
      Code::kInvalidInput,
      fmt::format("{}: cannot be resumed with other keys that fix its result: {}; "
                  "[cluster] but unit_bytes, [checkpoint], [fault], [trace], folders, "
                  "memory and threads may change; start a new job, or take the change back",
                  run_dir, fmt::join(changes, ", ")));
}

// A lane that has done more than its share has no end to reach: the job would wait for it for ever.
Status check_end_ahead(const JobConfig& job, const LaneSchedule& schedule,
                       const ResumeSource& source) {
  if (source.step <= schedule.steps()) return Status();
  return Status(Code::kInvalidInput,
                fmt::format("train.max_steps = {} is behind {}; to resume, expected 0 (all epochs) "
                            "or at least {}",
                            job.train.max_steps, to_string(source), source.step));
}

void print_notes(const JobConfig& job, std::ostream& out) {
  for (const Finding& note : judge_settings(job)) out << "note: " << note.text << '\n';
}

// What would run, and from where; nothing is written.
Status print_plan(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                  std::ostream& out) {
  std::string start;
  if (!options.resume.empty()) {
    BALLAST_RETURN_IF_ERROR(check_not_running(options.resume));
    BALLAST_ASSIGN(const ResumeSource source, find_resume_source(options.resume));
    for (const Status& rejected : source.rejected) {
      start += fmt::format("passes over a damaged checkpoint: {}\n", rejected.to_string());
    }
    start += fmt::format("resumes from {}\n", to_string(source));
  }
  BALLAST_ASSIGN(const JobConfig job, resolve_job(options, resolve_shapes));
  out << start << describe_plan(job);
  print_notes(job, out);
  // A plan may be made where nothing is computed.
  if (const Status there = check_device(job.cluster.device, job.cluster.devices); !there.ok()) {
    out << "note: not on this machine: " << there.to_string() << '\n';
  }
  return Status();
}

// A device or a pipe could be endless, so only files of one size are read.
bool same_bytes(const std::string& one, const std::string& other) {
  std::error_code ignored;
  if (!fs::is_regular_file(one, ignored) || !fs::is_regular_file(other, ignored)) return false;
  if (fs::file_size(one, ignored) != fs::file_size(other, ignored)) return false;
  const Result<std::string> first = read_file(one);
  const Result<std::string> second = read_file(other);
  return first.ok() && second.ok() && *first == *second;
}

// A run that is gone on with has a job already; another would be passed over without a word.
Status check_same_job(const std::string& job_path, const std::string& run_dir) {
  const std::string own = (fs::path(run_dir) / kJobName).string();
  if (same_bytes(job_path, own)) return Status();
  std::error_code ignored;
  return Status(
      Code::kInvalidInput,
      fmt::format("{}: {}; a resumed run takes its job from its run directory, {}: leave the file "
                  "out, and change keys with --set",
                  job_path,
                  fs::exists(job_path, ignored) ? "not the job of " + run_dir : "no such file",
                  own));
}

// What a resumed run ran with: its config.toml; when that is gone, the copy in its checkpoint.
Result<JobConfig> load_resumed(const std::string& run_dir, const ResumeSource& source,
                               const std::vector<std::string>& overrides) {
  const std::string path = (fs::path(run_dir) / kConfigName).string();
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return parse_job(source.config, to_string(source), overrides);
  Result<JobConfig> job = load_job(path, overrides);
  if (job.ok() || load_job(path).ok()) return job;
  return job.status().because(
      fmt::format("{} is damaged: mend it, or remove it to go on with the copy in {}", path,
                  to_string(source)));
}

// Every lane has one, and there is a step.
Status check_enough_samples(const JobConfig& job) {
  const uint64_t samples = job.resolved.samples();
  const char* what = job.data.resamples() ? "samples of an epoch" : "rows";
  if (job.train.lanes > samples) {
    return Status(Code::kInvalidInput,
                  fmt::format("train.lanes = {} is more than the {} {} of {}: every lane needs "
                              "one; set train.lanes to at most {}",
                              job.train.lanes, samples, what, train_name(job.data), samples));
  }
  if (job.data.tail != Tail::kDrop || samples >= job.train.batch) return Status();
  return Status(
      Code::kInvalidInput,
      fmt::format("data.tail = \"drop\" leaves no step: {} has {} {} and train.batch = {}; "
                  "set train.batch to at most {}, or data.tail to short or pad",
                  train_name(job.data), samples, what, job.train.batch, samples));
}

// Of each kind of process that has rows.
Status check_memory(const JobConfig& job) {
  const LoaderMemory worker = loader_memory(job, schedule_of(job), worker_portions(job));
  BALLAST_RETURN_IF_ERROR(worker.check(job.data.memory_mib));
  if (job.cluster.feeders == 0) return {};
  Status feeder = feeder_rows_memory(job).check(job.data.memory_mib);
  return feeder.ok() ? feeder : std::move(feeder).because("in a feeder, for all workers it feeds");
}

}  // namespace

Result<JobConfig> resolve_job(const ResolveOptions& options, const ShapeResolver& resolve_shapes) {
  if (options.job_path.empty() && options.resume.empty()) {
    return Status(Code::kInvalidInput, "no job given; expected JOB.toml or --resume RUNDIR");
  }
  JobConfig job, before;
  ResumeSource source;
  if (options.resume.empty()) {
    BALLAST_ASSIGN(job, load_job(options.job_path, options.overrides));
  } else {
    if (!options.job_path.empty()) {
      BALLAST_RETURN_IF_ERROR(check_same_job(options.job_path, options.resume));
    }
    BALLAST_ASSIGN(source, find_resume_source(options.resume));
    BALLAST_ASSIGN(job, load_resumed(options.resume, source, options.overrides));
    BALLAST_ASSIGN(before, load_resumed(options.resume, source, {}));
  }
  job.resolved = ResolvedConfig();  // read anew: the data may not be what it was
  BALLAST_RETURN_IF_ERROR(resolve_shapes(job));
  if (!options.resume.empty()) {
    BALLAST_RETURN_IF_ERROR(check_same_data(before, job, options.resume));
  }
  BALLAST_RETURN_IF_ERROR(check_enough_samples(job));
  choose_order(job);
  choose_threads(job, usable_cores());
  BALLAST_RETURN_IF_ERROR(check_memory(job));
  BALLAST_RETURN_IF_ERROR(
      check_model(job.model, job.resolved.input_width, job.resolved.label_width));
  if (!options.resume.empty()) {
    BALLAST_RETURN_IF_ERROR(check_resumed(before, job, options.resume));
    BALLAST_RETURN_IF_ERROR(check_end_ahead(job, schedule_of(job), source));
  }
  return job;
}

Status run_resolve(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                   std::ostream& out) {
  if (options.dry_run) return print_plan(options, resolve_shapes, out);
  BALLAST_ASSIGN(JobConfig job, resolve_job(options, resolve_shapes));
  BALLAST_RETURN_IF_ERROR(check_device(job.cluster.device, job.cluster.devices));
  job.resolved.run = new_run_name();
  const std::string& folder = options.run_dir.empty() ? options.resume : options.run_dir;
  if (folder.empty()) {
    return Status(Code::kInvalidInput, "resolve: expected --run-dir, --resume or --dry-run");
  }
  BALLAST_RETURN_IF_ERROR(make_folder(folder));
  if (options.resume.empty()) {
    BALLAST_ASSIGN(const std::string given, read_file(options.job_path));
    BALLAST_RETURN_IF_ERROR(write_file(fs::path(folder) / kJobName, given));
  }
  print_notes(job, out);
  return write_file(fs::path(folder) / kConfigName, dump_job(job));
}

}  // namespace ballast
