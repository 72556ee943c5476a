// ballast-coordinator: wiring and the thread table, no logic.
//
// thread   owns                                takes from          gives to
// main     Transport, Coordinator, JobReport   frames, disk, flag  frames, files, disk
// disk     one manifest at a time              commit_queue(4)     done_queue(4), a wake of main
// signals  SignalWatch                         SIGINT, SIGTERM     a flag, a wake of main
#include <fmt/format.h>
#include <sys/stat.h>

#include <atomic>
#include <thread>
#include <vector>

#include "common/base/bounded_queue.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "common/net/zeromq_transport.h"
#include "common/placement/lane_schedule.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/storage/checkpoint.h"
#include "common/storage/state_store.h"
#include "common/wire/codec.h"
#include "server/checkpoint_files.h"
#include "server/coordinator/coordinator.h"
#include "server/job_report.h"

namespace ballast {
namespace {

constexpr Duration kStatusEvery = 1s;
constexpr Duration kDisturbEvery = 10ms;  // with fault.move_lane_every_steps
// After the end late messages are still answered, so that a process that missed it hears it.
constexpr Duration kLinger = 300ms;
constexpr const char* kStateFile = "coordinator.state";
constexpr const char* kStateKey = "coordinator";

class CoordinatorProcess {
 public:
  CoordinatorProcess(Process& process, JobConfig job)
      : process_(process),
        job_(std::move(job)),
        hash_(job_hash(job_)),
        report_(job_, hash_, monotonic_now()),
        transport_(make_zeromq_transport({Role::kCoordinator, 0, new_incarnation()})),
        commit_queue_(4),
        done_queue_(4) {}

  Status run() {
    BALLAST_RETURN_IF_ERROR(prepare());
    SignalWatch signals([this] {
      stop_requested_ = true;
      transport_->wake();
    });
    std::thread disk([this] { commit_manifests(); });
    const Status status = serve();
    commit_queue_.close();
    done_queue_.close();  // nobody listens any more: the disk thread must not wait for room
    disk.join();
    return status;
  }

 private:
  Status prepare() {
    ::mkdir(kSocketFolder, 0700);
    BALLAST_RETURN_IF_ERROR(transport_->bind(coordinator_endpoint(job_)).status());
    BALLAST_ASSIGN(state_, FileStateStore::open(kStateFile));
    const auto units =
        cut_units(parameters_of(job_.model, job_.resolved.input_width), job_.cluster.unit_bytes);
    CoordinatorSetup setup{
        .config = job_,
        .schedule = schedule_of(job_),
        .placement = propose_placement(units, job_.shard_count()),
        .job_hash = hash_,
        .resume_command = fmt::format("ballast run --resume {}", process_.run_dir),
        .resume = std::nullopt,
        .state = std::nullopt};
    BALLAST_ASSIGN(setup.resume, find_resume_point());
    BALLAST_ASSIGN(coordinator_, Coordinator::create(std::move(setup)));
    return Status();
  }

  // A run directory that holds a checkpoint is being resumed.
  Result<std::optional<ResumePoint>> find_resume_point() {
    Result<NewestCheckpoint> newest = newest_checkpoint(process_.run_dir);
    if (newest.status().code() == Code::kNotFound) return std::optional<ResumePoint>();
    if (!newest.ok())
      return newest.status().because("while looking for a checkpoint to resume from");
    for (const Status& rejected : newest->rejected) {
      log::warn("passed over a damaged checkpoint: {}", rejected.to_string());
    }
    const CheckpointManifest& manifest = newest->manifest;
    if (!newest->rejected.empty()) {
      for (const std::string& line : set_aside_newer_than(process_.run_dir, manifest.id)) {
        log::warn("{}", line);
      }
    }
    log::info("resuming from checkpoint {} at step {}", manifest.id, manifest.clock);
    return std::optional<ResumePoint>({manifest.id,
                                       checkpoint_folder(process_.run_dir, manifest.id),
                                       manifest.clock, manifest.mode});
  }

  Status serve() {
    drive(Tick{});
    const bool disturbs = job_.fault.move_lane_every_steps > 0;
    while (!finish_) {
      Time until = std::min(wake_at_, next_status_);
      if (disturbs) until = std::min(until, monotonic_now() + kDisturbEvery);
      if (auto event = transport_->receive(until)) take(*event);
      if (disturbs) move_a_lane();
      while (auto done = done_queue_.try_pop()) drive(*done);
      if (stop_requested_.exchange(false)) drive(StopRequested{});
      const Time now = monotonic_now();
      if (now >= wake_at_) {
        wake_at_ = kEndOfTime;
        drive(Tick{});
      }
      if (now >= next_status_) {
        write_status();
        next_status_ = now + kStatusEvery;
      }
      if (!problem_.ok()) tell_problem();
    }
    const Status status = finish();
    return !status.ok() || problem_.ok() ? status : problem_;
  }

  // Everybody hears why, so that nobody waits for a coordinator that is gone. One that had ended
  // the job already, in effects that were left out since, says nothing new: it finishes all the
  // same.
  void tell_problem() {
    telling_ = true;
    drive(StoreLost{problem_});
    if (!finish_) finish_ = Finish{wire::EndKind::kFailed, problem_};
  }

  // Processes send their last figures when they hear the end.
  Status finish() {
    const Time ended = monotonic_now();
    while (monotonic_now() < ended + kLinger) {
      if (auto event = transport_->receive(ended + kLinger)) take(*event);
    }
    return conclude(ended);
  }

  // A disturbance on purpose (FaultConfig): every so many steps the next lane goes to the next
  // worker.
  void move_a_lane() {
    const uint64_t step = coordinator_->status(monotonic_now()).step;
    const uint64_t round = step / job_.fault.move_lane_every_steps;
    if (round <= lane_moves_) return;
    lane_moves_ = round;
    drive(MoveLane{
        LaneId(static_cast<uint32_t>(round % job_.train.lanes)),
        WorkerId(static_cast<uint32_t>(round / job_.train.lanes + round) % job_.cluster.workers)});
  }

  Status conclude(Time ended) {
    write_status();
    if (finish_->kind == wire::EndKind::kFailed) return finish_->status;
    const JobStatus status = coordinator_->status(monotonic_now());
    if (status.checkpoint > 0) {
      BALLAST_RETURN_IF_ERROR(report_.export_model(process_.run_dir, status.checkpoint));
    }
    const bool stopped = finish_->kind == wire::EndKind::kStopped;
    BALLAST_RETURN_IF_ERROR(report_.write_summary(status, stopped, ended));
    return stopped ? Status(Code::kStopped, "stopped on request") : Status();
  }

  void take(TransportEvent& event) {
    if (auto* in = std::get_if<MessageIn>(&event)) {
      Result<wire::Any> message = wire::decode(std::move(in->message));
      if (!message.ok()) {
        log::warn("dropped a message from {}: {}", to_string(in->from),
                  message.status().to_string());
        return;
      }
      drive(Received{in->from, std::move(*message)});
    } else if (auto* down = std::get_if<PeerDown>(&event)) {
      log::info("lost {} step={}", to_string(down->peer), process_.step.load());
      drive(PeerLost{down->peer});
      next_status_ = {};  // at once: it may be the last
    } else if (auto* up = std::get_if<PeerUp>(&event)) {
      drive(PeerBack{up->peer});
    }
  }

  void drive(const CoordinatorEvent& event) {
    CoordinatorEffects effects;
    coordinator_->handle(event, monotonic_now(), effects);
    for (CoordinatorEffect& effect : effects) {
      if (!problem_.ok() && !telling_) return;  // what follows would rest on what is not written
      if (auto* send = std::get_if<Send>(&effect)) {
        (void)transport_->send(send->to, wire::encode(send->message));  // orders are repeated
      } else if (auto* save = std::get_if<SaveState>(&effect)) {
        keep(state_->put(kStateKey, std::as_const(save->state).bytes()));
      } else if (auto* commit = std::get_if<CommitManifest>(&effect)) {
        commit_queue_.push(std::move(*commit));
      } else if (auto* row = std::get_if<MetricRow>(&effect)) {
        keep(report_.add_metrics(*row, monotonic_now()));
      } else if (auto* note = std::get_if<Note>(&effect)) {
        log::info("{}", note->text);
      } else if (auto* wake = std::get_if<WakeAt>(&effect)) {
        wake_at_ = wake->at;
      } else if (auto* finish = std::get_if<Finish>(&effect)) {
        if (!finish_) finish_ = std::move(*finish);
      }
    }
  }

  // Disk thread: hashing and syncing must not hold up the orders of a running job.
  void commit_manifests() {
    while (auto order = commit_queue_.pop()) {
      CheckpointManifest manifest;
      manifest.id = order->id;
      manifest.clock = order->clock;
      manifest.mode = job_.train.mode;
      manifest.lanes = job_.train.lanes;
      manifest.job_hash = hash_;
      manifest.config = dump_job(job_);
      manifest.parts = std::move(order->parts);
      Status status = commit_or_confirm(process_.run_dir, manifest);
      if (status.ok()) {
        if (const Status removed = remove_old(process_.run_dir, job_.checkpoint.keep);
            !removed.ok()) {
          log::warn("old checkpoints are still there: {}", removed.to_string());
        }
        done_queue_.push(ManifestCommitted{order->id});
      } else {
        done_queue_.push(ManifestFailed{order->id, std::move(status)});
      }
      transport_->wake();
    }
  }

  void write_status() {
    const JobStatus status = coordinator_->status(monotonic_now());
    process_.step = status.step;
    keep(report_.write_status(status));
  }

  void keep(Status status) {
    if (!status.ok() && problem_.ok()) problem_ = std::move(status);
  }

  Process& process_;
  const JobConfig job_;
  const std::string hash_;
  JobReport report_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<FileStateStore> state_;
  std::unique_ptr<Coordinator> coordinator_;
  // Neither is ever full: CheckpointRounds begins one commit at a time.
  BoundedQueue<CommitManifest> commit_queue_;
  BoundedQueue<CoordinatorEvent> done_queue_;
  std::atomic<bool> stop_requested_{false};
  Time wake_at_ = kEndOfTime;
  Time next_status_{};
  std::optional<Finish> finish_;
  Status problem_;        // of our own files
  bool telling_ = false;  // it ends the job
  uint64_t lane_moves_ = 0;
};

Status run_coordinator(Process& process) {
  BALLAST_ASSIGN(JobConfig job, load_job("config.toml"));
  return CoordinatorProcess(process, std::move(job)).run();
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) {
  return ballast::run_process("coordinator", argc, argv, ballast::run_coordinator);
}
