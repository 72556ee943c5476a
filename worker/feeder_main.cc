// ballast-feeder: reads, decodes, orders and transforms training rows and gives them to the workers
// that ask. Wiring and the thread table, no logic.
//
// thread    owns                       takes from           gives to
// main      Transport                  frames, done portions  asks, frames
// makers    the portion each works on    asks                 done portions, a wake of main
// signals   SignalWatch                SIGINT, SIGTERM      a stop request, hence Feeder::stop
#include <fmt/format.h>
#include <sys/stat.h>

#include <stop_token>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_file.h"
#include "common/net/zeromq_transport.h"
#include "worker/data/open_rows.h"
#include "worker/feed/feed_setup.h"

namespace ballast {
namespace {

Status check_index(const JobConfig& job, uint32_t index) {
  if (index < job.cluster.feeders) return {};
  return Status(Code::kInvalidInput,
                fmt::format("--index {}: the job has {} feeders; set cluster.feeders to what there "
                            "will be when the job is started",
                            index, job.cluster.feeders));
}

Status check_dataset(const JobConfig& job, const Dataset& dataset) {
  const std::string found = hex64(dataset.manifest_xxh3());
  if (found == job.resolved.train_manifest_xxh3) return {};
  return Status(Code::kInvalidInput,
                fmt::format("data set {}: manifest xxh3 {} expected, as when the job was made, {} "
                            "found: is it the same data set?",
                            dataset.folder(), job.resolved.train_manifest_xxh3, found));
}

Status run_feeder(Process& process) {
  std::stop_source stop;
  SignalWatch signals([&stop] { stop.request_stop(); });
  BALLAST_ASSIGN(const JobConfig job, load_job("config.toml"));
  BALLAST_RETURN_IF_ERROR(check_index(job, process.index));
  const LoaderMemory memory = feeder_rows_memory(job);
  BALLAST_RETURN_IF_ERROR(memory.check(job.data.memory_mib));
  BALLAST_ASSIGN(const std::unique_ptr<RowSource> rows, open_rows(job, schedule_of(job), memory));
  BALLAST_RETURN_IF_ERROR(check_dataset(job, *rows->dataset()));

  Feeder feeder(feeder_setup(job, *rows), *rows);
  const std::stop_callback on_stop(stop.get_token(), [&feeder] { feeder.stop(); });
  const std::unique_ptr<Transport> transport =
      make_zeromq_transport({Role::kFeeder, process.index, new_incarnation()});
  ::mkdir(kSocketFolder, 0700);  // whoever comes first makes it
  BALLAST_ASSIGN(const std::string endpoint, transport->bind(feeder_endpoint(job, process.index)));
  const PortionMemory portions = feeder_portions(job);
  log::info("listens on {}; beside its rows it holds at most {} portions x {} B = {} B", endpoint,
            portions.portions, portions.portion_bytes, portions.total());
  feeder.run(*transport);
  const FeederCounters counters = feeder.counters();
  const BlockReads blocks = rows->block_reads();
  log::info(
      "gave {} portions, {} rows; busy {}, refused {}, failed {}; {} blocks read, {} found in "
      "memory",
      counters.portions, counters.rows, counters.busy, counters.refused, counters.failed,
      blocks.read, blocks.found);
  return {};
}

}  // namespace
}  // namespace ballast

int main(int argc, char** argv) {
  return ballast::run_process("feeder", argc, argv, ballast::run_feeder);
}
