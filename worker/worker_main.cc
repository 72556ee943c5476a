// ballast-worker: wiring and the thread table, no logic.
//
// thread    owns                                takes from             gives to
// main      Transport, WorkerSession            frames, events_ queue  frames, compute's orders
// compute   ComputeLoop, TrainStep, Backend     its orders, batches    events_, a wake of main
// loader    its part of BatchLoader             requests of compute    batches
// feed      Transport, FeedClient of FedRows    requests of loaders    rows, a wake of loaders

#include <fmt/format.h>
#include <unistd.h>

#include <thread>

#include "common/base/log.h"
#include "common/base/process.h"
#include "common/compute/backend.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "common/net/zeromq_transport.h"
#include "common/wire/codec.h"
#include "worker/compute_loop.h"
#include "worker/data/batch_loader.h"
#include "worker/data/eval_loader.h"
#include "worker/evaluate_slice.h"
#include "worker/feed/feed_setup.h"
#include "worker/request_trace.h"
#include "worker/session.h"
#include "worker/train_step.h"

namespace ballast {
namespace {

// Gradients and results that the compute thread may be ahead: a few steps of many layers.
constexpr size_t kEventsWaiting = 4096;

wire::FedShare fed_share(const FedCounts& counts) {
  wire::FedShare share{counts.rows_fed, counts.rows_local, {}};
  for (const FeederCount& feeder : counts.feeders) {
    share.feeders.push_back({feeder.portions, feeder.rows, feeder.up});
  }
  return share;
}

class WorkerProcess {
 public:
  WorkerProcess(Process& process, JobConfig job)
      : process_(process),
        job_(std::move(job)),
        schedule_(schedule_of(job_)),
        parameters_(parameters_of(job_.model, job_.resolved.input_width)),
        units_(cut_units(parameters_, job_.cluster.unit_bytes)),
        self_{Role::kWorker, process.index, new_incarnation()},
        trace_(open_trace(process, job_.trace.first_step, job_.trace.steps)),
        transport_(make_zeromq_transport(self_)),
        events_(kEventsWaiting) {}

  Status run() {
    BALLAST_RETURN_IF_ERROR(prepare());
    WorkerSession session({.worker = WorkerId(process_.index),
                           .incarnation = self_.incarnation,
                           .job = job_,
                           .parameters = parameters_,
                           .units = units_,
                           .job_hash = job_hash(job_),
                           .run = run_number(job_),
                           .host = host_name(),
                           .process = static_cast<uint32_t>(::getpid()),
                           .arithmetic = backend_->arithmetic()});
    ComputeLoop compute(
        job_, WorkerId(process_.index), schedule_, units_, *step_, *loader_, evaluation_.get(),
        [this](SessionEvent event) { report(std::move(event)); },
        compute_trace_ ? &*compute_trace_ : nullptr);
    std::thread computing([&] { compute.run(); });
    const Status status = serve(session, compute);
    compute.close();
    events_.close();
    computing.join();
    return status;
  }

 private:
  // On the computing thread.
  void report(SessionEvent event) {
    const bool step_done = std::holds_alternative<session_event::ComputeDone>(event);
    if (fed_ != nullptr && step_done) events_.push(session_event::Fed{fed_share(fed_->counts())});
    events_.push(std::move(event));
    transport_->wake();
  }

  Status prepare() {
    if (trace_ != nullptr) {
      compute_trace_.emplace(*trace_);
      std::vector<uint32_t> layers;
      for (const UnitSpec& unit : units_) layers.push_back(parameters_[unit.parameter].layer);
      requests_.emplace(*trace_, std::move(layers));
    }
    BALLAST_ASSIGN(backend_,
                   make_backend(job_.cluster.device, backend_options(job_, process_.index)));
    log::info("device {}", backend_->description());
    BALLAST_ASSIGN(loader_, BatchLoader::open(
                                job_, schedule_, wrap_rows(), worker_portions(job_),
                                [this](size_t bytes) { return backend_->allocate_host(bytes); }));
    if (loader_->stored()) {
      log::info("features stay {} until the device has them", name_of(loader_->stored()->type));
    }
    if (!job_.data.test.empty()) {
      BALLAST_ASSIGN(evaluation_,
                     EvalLoader::open(job_, job_.data.test, job_.train.lanes, kEvaluationRows));
    }
    const bool lane_by_lane = job_.train.mode == Mode::kSync;
    const uint32_t rows_max =
        std::max(lane_by_lane ? schedule_.lane_batch() : schedule_.batch(), kEvaluationRows);
    BALLAST_ASSIGN(step_, TrainStep::create(job_.model, job_.resolved.input_width,
                                            job_.resolved.label_width, rows_max, *backend_,
                                            sums_batches(job_.train), loader_->stored().get()));
    return transport_->connect({Role::kCoordinator, 0, 0}, coordinator_endpoint(job_));
  }

  // Feeders in front of the worker's own rows, if the job has any.
  WrapRows wrap_rows() {
    if (job_.cluster.feeders == 0) return nullptr;
    return [this](std::unique_ptr<RowSource> local) {
      FedRowsSetup setup = fed_rows_setup(job_, WorkerId(process_.index), *local);
      const PortionMemory portions = worker_portions(job_);
      log::info("rows come from {} feeders where they can: at most {} portions x {} B = {} B",
                job_.cluster.feeders, portions.portions, portions.portion_bytes, portions.total());
      auto fed = std::make_unique<FedRows>(std::move(local), std::move(setup));
      fed_ = fed.get();
      return fed;
    };
  }

  Status serve(WorkerSession& session, ComputeLoop& compute) {
    SessionEffects effects;
    session.start(monotonic_now(), effects);
    carry_out(effects, compute);
    while (!end_) {
      auto event = transport_->receive(wake_at_);
      const Time now = monotonic_now();
      if (event) take(*event, session, now, effects);
      while (auto report = events_.try_pop()) session.handle(std::move(*report), now, effects);
      if (now >= wake_at_) {
        wake_at_ = kEndOfTime;
        session.handle(session_event::Tick{}, now, effects);
      }
      carry_out(effects, compute);
      if (requests_) requests_->flush_when_due(now);
    }
    return *end_;
  }

  void take(TransportEvent& event, WorkerSession& session, Time now, SessionEffects& effects) {
    if (auto* in = std::get_if<MessageIn>(&event)) {
      Result<wire::Any> message = wire::decode(std::move(in->message));
      if (!message.ok()) {
        log::warn("dropped a message from {}: {}", to_string(in->from),
                  message.status().to_string());
        return;
      }
      if (requests_) requests_->received(*message, now);
      session.handle(session_event::Received{in->from, std::move(*message)}, now, effects);
    } else if (auto* up = std::get_if<PeerUp>(&event)) {
      session.handle(session_event::PeerUp{up->peer}, now, effects);
    } else if (auto* down = std::get_if<PeerDown>(&event)) {
      log::info("lost {} step={}", to_string(down->peer), process_.step.load());
      session.handle(session_event::PeerDown{down->peer}, now, effects);
    }
  }

  void carry_out(SessionEffects& effects, ComputeLoop& compute) {
    for (SessionEffect& effect : effects) {
      if (auto* send = std::get_if<session_effect::Send>(&effect)) {
        if (requests_) requests_->sent(send->to, send->message, monotonic_now());
        (void)transport_->send(send->to, wire::encode(send->message));  // lost ones are sent again
      } else if (auto* weights = std::get_if<session_effect::DeliverWeights>(&effect)) {
        compute.push(std::move(*weights));
      } else if (auto* job = std::get_if<session_effect::Compute>(&effect)) {
        process_.step = job->clock;
        compute.push(std::move(*job));
      } else if (auto* slices = std::get_if<session_effect::EvaluateSlices>(&effect)) {
        compute.push(std::move(*slices));
      } else if (auto* follow = std::get_if<session_effect::Follow>(&effect)) {
        loader_->follow(follow->lanes, schedule_.first_batch(follow->clock));
      } else if (auto* wake = std::get_if<session_effect::WakeAt>(&effect)) {
        wake_at_ = wake->time;
      } else if (auto* connect = std::get_if<session_effect::Connect>(&effect)) {
        if (Status status = transport_->connect(connect->shard, connect->endpoint); !status.ok()) {
          end_ = std::move(status).because("while connecting to a shard");
        }
      } else if (auto* note = std::get_if<session_effect::Note>(&effect)) {
        log::info("{}", note->text);
      } else if (auto* fail = std::get_if<session_effect::Fail>(&effect)) {
        tell_failure(fail->status);
        end_ = fail->status;
      } else if (auto* end = std::get_if<session_effect::End>(&effect)) {
        end_ = wire::end_status(end->kind, end->reason);
      }
    }
    effects.clear();
  }

  void tell_failure(const Status& status) {
    wire::Failed failed{Role::kWorker, process_.index, status.code(), status.chain()};
    (void)transport_->send({Role::kCoordinator, 0, 0}, wire::encode(std::move(failed)));
  }

  Process& process_;
  const JobConfig job_;
  const LaneSchedule schedule_;
  const std::vector<ParameterSpec> parameters_;
  const std::vector<UnitSpec> units_;
  const Peer self_;
  const std::unique_ptr<Trace> trace_;  // null without --trace
  std::optional<ComputeTrace> compute_trace_;
  std::optional<RequestTrace> requests_;
  std::unique_ptr<Transport> transport_;
  BoundedQueue<SessionEvent> events_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<BatchLoader> loader_;
  FedRows* fed_ = nullptr;  // the loader's; null: no feeders
  std::unique_ptr<EvalLoader> evaluation_;
  std::unique_ptr<TrainStep> step_;
  Time wake_at_ = kEndOfTime;
  std::optional<Status> end_;
};

Status run_worker(Process& process) {
  ignore_interrupts();
  BALLAST_ASSIGN(JobConfig job, load_job("config.toml"));
  if (process.index >= job.cluster.workers) {
    return Status(Code::kInvalidInput, fmt::format("--index {}: the job has {} workers",
                                                   process.index, job.cluster.workers));
  }
  return WorkerProcess(process, std::move(job)).run();
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) {
  return ballast::run_process("worker", argc, argv, ballast::run_worker);
}
