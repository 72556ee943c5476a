// ballast-server: the process that holds shards. Wiring and the thread table, no logic.
//
// thread    owns                        takes from         gives to
// main      Process                     -                  -
// shard N   Transport, Journal, Shard   frames, journal    frames, journal
// journal   files (inside the Journal)  the shard's calls  its events, a wake of the Transport
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "common/base/log.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "common/net/zeromq_transport.h"
#include "common/storage/checkpoint.h"
#include "common/storage/journal_factory.h"
#include "server/service.h"

namespace ballast {
namespace {

ShardConfig make_config(const JobConfig& job, ShardId shard, Incarnation incarnation) {
  ShardConfig config;
  config.shard = shard;
  config.incarnation = incarnation;
  config.job = job;
  config.parameters = parameters_of(job.model, job.resolved.input_width);
  config.units = cut_units(config.parameters, job.cluster.unit_bytes);
  config.job_hash = job_hash(job);
  config.run = run_number(job);
  config.endpoint = shard_endpoint(job, shard);
  config.host = host_name();
  config.process = static_cast<uint32_t>(::getpid());
  return config;
}

// `trace` may be null.
Status run_shard(const JobConfig& job, ShardId shard, Process& process, Trace* trace) {
  const Peer self{Role::kServer, shard.value(), new_incarnation()};
  const auto transport = make_zeromq_transport(self);
  BALLAST_RETURN_IF_ERROR(transport->bind(shard_endpoint(job, shard)).status());
  BALLAST_RETURN_IF_ERROR(
      transport->connect({Role::kCoordinator, 0, 0}, coordinator_endpoint(job)));
  BALLAST_ASSIGN(
      const std::unique_ptr<Journal> journal,
      open_journal({.run_dir = process.run_dir,
                    .folder = fmt::format("{}/journal/shard-{}", process.run_dir, shard.value()),
                    .shard = shard,
                    .durability = job.checkpoint.durability},
                   [&transport] { transport->wake(); }));
  Shard decider(*journal, make_config(job, shard, self.incarnation),
                [&process](const wire::Load& load) {
                  return read_manifest(process.run_dir, load.checkpoint);
                });
  log::info("shard {} listens on {}", shard.value(), shard_endpoint(job, shard));
  std::optional<ShardTrace> shard_trace;
  if (trace != nullptr) shard_trace.emplace(*trace, shard);
  return ShardService(*transport, *journal, decider, process.step,
                      shard_trace ? &*shard_trace : nullptr)
      .run();
}

Status run_server(Process& process) {
  ignore_interrupts();
  BALLAST_ASSIGN(const JobConfig job, load_job("config.toml"));
  if (process.index >= job.cluster.servers) {
    return Status(Code::kInvalidInput, fmt::format("--index {}: the job has {} servers",
                                                   process.index, job.cluster.servers));
  }
  ::mkdir(kSocketFolder, 0700);
  const auto trace = open_trace(process, job.trace.first_step, job.trace.steps);
  const uint32_t count = job.cluster.shards_per_server;
  std::vector<Status> statuses(count);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < count; ++i) {
    threads.emplace_back([&, i] {
      statuses[i] = run_shard(job, ShardId(process.index * count + i), process, trace.get());
      if (!statuses[i].ok() && statuses[i].code() != Code::kStopped) {
        // One shard's failure is the server's: the others would wait for a job that cannot go on.
        write_failure_report(process, statuses[i]);
        log::error("failed {}", statuses[i].to_string());
        std::_Exit(exit_code(statuses[i]));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return statuses.front();
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) {
  return ballast::run_process("server", argc, argv, ballast::run_server);
}
