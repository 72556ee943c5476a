#include "worker/tool/doctor_command.h"

#include <fmt/format.h>

#include <sstream>

#include "common/compute/backend.h"
#include "worker/tool/job_plan.h"
#include "worker/tool/memory_sum.h"
#include "worker/tool/resume_source.h"
#include "worker/tool/settings_check.h"

namespace ballast {
namespace {

// A coordinator or a shard holds a few descriptors per peer (ZeroMQ: a socket and an eventfd each)
// and some of its own (log, journal, epoll).
constexpr uint64_t kDescriptorsOwn = 64;
constexpr uint64_t kDescriptorsPerPeer = 4;
// sockaddr_un.sun_path, less the end and the longest socket name.
constexpr size_t kSocketPathMax = 107 - 24;

void judge_run_dir(const HostFacts& facts, Findings& out) {
  if (facts.run_dir_blocked_by == facts.run_dir) {
    out.push_back({true, fmt::format("{}: not a folder; choose another --run-dir", facts.run_dir)});
  } else if (!facts.run_dir_blocked_by.empty()) {
    out.push_back({true, fmt::format("{}: {} is not a folder; choose another --run-dir",
                                     facts.run_dir, facts.run_dir_blocked_by)});
  }
  if (facts.run_dir_used) {
    out.push_back({true, fmt::format("{}: not empty, and a run directory is never reused; choose "
                                     "another --run-dir, or continue it with --resume",
                                     facts.run_dir)});
  }
}

void judge_disk(const JobConfig& job, const HostFacts& facts, Findings& out) {
  if (!facts.run_dir_writable && facts.run_dir_blocked_by.empty()) {
    out.push_back(
        {true, fmt::format("{}: no permission to write; choose another --run-dir", facts.run_dir)});
  }
  // One more than is kept: the old one goes when the new one is whole.
  const uint64_t needed = checkpoint_bytes(job) * (job.checkpoint.keep + 1);
  if (facts.free_disk_bytes < needed) {
    out.push_back({true, fmt::format("{}: {} free, but {} checkpoints need {}; free the disk, "
                                     "choose another --run-dir or lower checkpoint.keep",
                                     facts.run_dir, bytes_text(facts.free_disk_bytes),
                                     job.checkpoint.keep + 1, bytes_text(needed))});
  }
  if (!facts.tmp_writable) out.push_back({true, "/tmp: no permission to write"});
}

void judge_memory(const JobConfig& job, const HostFacts& facts, Findings& out) {
  const uint64_t needed = job_memory_bytes(job);
  if (needed <= facts.available_memory_bytes) return;
  out.push_back({true, fmt::format("memory: the job needs {}, {} are available; lower "
                                   "data.memory_mib, cluster.workers or the model",
                                   bytes_text(needed), bytes_text(facts.available_memory_bytes))});
}

void judge_descriptors(const JobConfig& job, const HostFacts& facts, Findings& out) {
  const uint64_t peers = job.cluster.workers + job.shard_count() + 1;
  const uint64_t needed = kDescriptorsOwn + kDescriptorsPerPeer * peers;
  if (needed <= facts.file_descriptors_max) return;
  out.push_back({true, fmt::format("file descriptors: the limit is {}, a process with {} peers "
                                   "needs {}; raise it with ulimit -n",
                                   facts.file_descriptors_max, peers, needed)});
}

void judge_sockets(const JobConfig& job, const HostFacts& facts, Findings& out) {
  if (job.cluster.transport == TransportKind::kIpc && facts.run_dir.size() > kSocketPathMax) {
    out.push_back({true, fmt::format("{}: {} bytes are too long for sockets in it; expected at "
                                     "most {}; choose a shorter --run-dir",
                                     facts.run_dir, facts.run_dir.size(), kSocketPathMax)});
  }
  for (uint32_t port : facts.used_ports) {
    out.push_back({true, fmt::format("{}:{} cannot be listened on; set cluster.port to another, or "
                                     "0 for any",
                                     job.cluster.host, port)});
  }
}

void judge_cores(const JobConfig& job, const HostFacts& facts, Findings& out) {
  const uint64_t threads =
      uint64_t{job.cluster.workers} * job.cluster.threads_per_worker + job.shard_count();
  if (threads <= 2 * uint64_t{facts.cores}) return;
  out.push_back({false, fmt::format("{} computing threads (workers and shards) share {} cores",
                                    threads, facts.cores)});
}

Findings as_problems(const Status& status) {
  Findings problems;
  std::istringstream lines(status.to_string());
  for (std::string line; std::getline(lines, line);) problems.push_back({true, line});
  return problems;
}

// What a resume would start from, or why it cannot.
Findings judge_resume(const std::string& run_dir) {
  if (const Status status = check_not_running(run_dir); !status.ok()) return as_problems(status);
  const Result<ResumeSource> source = find_resume_source(run_dir);
  if (!source.ok()) return as_problems(source.status());
  Findings notes;
  for (const Status& rejected : source->rejected) {
    notes.push_back({false, "passes over a damaged checkpoint: " + rejected.to_string()});
  }
  notes.push_back({false, "resumes from " + to_string(*source)});
  return notes;
}

HostFacts facts_for(const JobConfig& job, const ResolveOptions& options) {
  const bool resumes = !options.resume.empty();
  const std::string fresh = options.run_dir.empty() ? "runs/" + job.name : options.run_dir;
  HostFacts facts = read_host_facts(job, resumes ? options.resume : fresh);
  // Without --run-dir a run gets a folder of its own below this one.
  if (resumes || options.run_dir.empty()) facts.run_dir_used = false;
  return facts;
}

void add(Findings more, Findings& findings) {
  for (Finding& finding : more) findings.push_back(std::move(finding));
}

// Problems first. -> how many there are.
size_t print(const Findings& findings, std::ostream& out) {
  size_t problems = 0;
  for (const bool stops : {true, false}) {
    for (const Finding& finding : findings) {
      if (finding.stops != stops) continue;
      out << (stops ? "problem: " : "note: ") << finding.text << '\n';
      problems += stops ? 1 : 0;
    }
  }
  if (problems == 0) out << "no problem found\n";
  return problems;
}

Status verdict(const ResolveOptions& options, size_t problems) {
  if (problems == 0) return Status();
  const std::string& job = options.resume.empty() ? options.job_path : options.resume;
  return Status(Code::kInvalidInput,
                fmt::format("{}: {} problem{}", job, problems, problems == 1 ? "" : "s"));
}

}  // namespace

Findings judge_host(const JobConfig& job, const HostFacts& facts) {
  Findings findings;
  judge_run_dir(facts, findings);
  judge_disk(job, facts, findings);
  judge_memory(job, facts, findings);
  judge_descriptors(job, facts, findings);
  judge_sockets(job, facts, findings);
  judge_cores(job, facts, findings);
  return findings;
}

Status run_doctor(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                  const DataJudge& judge_data, std::ostream& out) {
  if (options.job_path.empty() && options.resume.empty()) {
    return Status(Code::kInvalidInput, "doctor: which job? expected JOB.toml or --resume RUNDIR");
  }
  Findings findings;
  if (!options.resume.empty()) findings = judge_resume(options.resume);
  if (!findings.empty() && findings.front().stops) return verdict(options, print(findings, out));
  const Result<JobConfig> job = resolve_job(options, resolve_shapes);
  if (!job.ok()) {
    add(as_problems(job.status()), findings);
    return verdict(options, print(findings, out));
  }
  if (const Status there = check_device(job->cluster.device, job->cluster.devices); !there.ok()) {
    add(as_problems(there), findings);
  }
  add(judge_data(*job), findings);
  add(judge_settings(*job), findings);
  add(judge_host(*job, facts_for(*job, options)), findings);
  const size_t problems = print(findings, out);
  out << describe_memory(*job);
  return verdict(options, problems);
}

}  // namespace ballast
