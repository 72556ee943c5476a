#include "server/job_report.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "common/base/hash.h"
#include "common/base/json_writer.h"
#include "common/base/process.h"
#include "common/config/choices.h"
#include "common/metrics/evaluation.h"
#include "common/storage/checkpoint.h"
#include "common/weights/model_weights.h"

namespace ballast {
namespace {

Status append_line(const std::string& path, const std::string& line) {
  const std::string text = line + "\n";
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  const bool written =
      file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  const int reason = errno;
  if (file >= 0) ::close(file);
  if (written) return Status();
  return Status(reason == ENOSPC ? Code::kExhausted : Code::kUnavailable,
                fmt::format("cannot add a line to {}: {}; free space or mend the permissions, then "
                            "resume",
                            path, std::strerror(reason)));
}

void write_shares(JsonWriter& json, const wire::TimeShares& shares) {
  json.open().key("load").value(shares.load).key("compute").value(shares.compute);
  json.key("push").value(shares.push).key("wait").value(shares.wait);
  json.key("pull").value(shares.pull).close();
}

void write_loader(JsonWriter& json, const wire::LoaderProgress& loader) {
  json.open().key("batches_ready").value(loader.ready);
  json.key("batches_waited").value(loader.waited);
  json.key("blocks_per_batch_mean").value(wire::blocks_mean(loader));
  json.key("blocks_per_batch_min").value(loader.blocks_min);
  json.key("blocks_read").value(loader.blocks_read);
  json.key("blocks_found").value(loader.blocks_found).close();
}

wire::TimeShares as_fractions(wire::TimeShares shares) {
  const double sum = shares.load + shares.compute + shares.push + shares.wait + shares.pull;
  if (sum <= 0) return shares;
  return {shares.load / sum, shares.compute / sum, shares.push / sum, shares.wait / sum,
          shares.pull / sum};
}

void write_metrics(JsonWriter& json, const std::vector<std::pair<std::string, double>>& metrics) {
  for (const auto& [name, value] : metrics) json.key(name).value(value);
}

double mean_of(const std::vector<uint64_t>& histogram) {
  double sum = 0, count = 0;
  for (size_t i = 0; i < histogram.size(); ++i) {
    sum += static_cast<double>(i) * static_cast<double>(histogram[i]);
    count += static_cast<double>(histogram[i]);
  }
  return count > 0 ? sum / count : 0;
}

void write_worker(JsonWriter& json, const WorkerStatus& worker) {
  Clock least = kNever;
  for (const LaneStatus& lane : worker.lanes) least = std::min(least, lane.clock);
  const char* state = !worker.alive                 ? "away"
                      : worker.lanes.empty()        ? "spare"
                      : least == kNever             ? "done"
                      : !worker.waiting_for.empty() ? "waiting"
                                                    : "running";
  json.open().key("index").value(worker.worker.value()).key("state").value(state);
  json.key("host").value(worker.host).key("process").value(worker.process);
  if (least != kNever) json.key("clock").value(least);
  json.key("steps").value(worker.steps).key("samples").value(worker.samples);
  json.key("samples_per_second").value(worker.samples_per_second);
  json.key("lag_steps").value(worker.lag_steps);
  json.key("lanes").open_list();
  for (const LaneStatus& lane : worker.lanes) json.value(lane.lane.value());
  json.close_list().key("shares");
  write_shares(json, worker.shares);
  json.key("loader");
  write_loader(json, worker.loader);
  json.key("silent_seconds").value(worker.silent_seconds);
  json.key("waiting_for").value(worker.waiting_for);
  json.key("waiting_seconds").value(worker.waiting_seconds).close();
}

void write_shard(JsonWriter& json, const ShardStatus& shard) {
  json.open().key("index").value(shard.shard.value()).key("loaded").value(shard.loaded);
  json.key("version_min").value(shard.version_min).key("version_max").value(shard.version_max);
  json.key("memory_bytes").value(shard.memory_bytes);
  json.key("silent_seconds").value(shard.silent_seconds);
  json.key("waiting_for").value(shard.waiting_for);
  json.key("waiting_seconds").value(shard.waiting_seconds).close();
}

void write_feeders(JsonWriter& json, const JobStatus& status) {
  if (status.feeders.empty()) return;
  json.key("rows_fed").value(status.totals.rows_fed);
  json.key("rows_local").value(status.totals.rows_local);
  json.key("feeders").open_list();
  uint32_t index = 0;
  for (const FeederStatus& feeder : status.feeders) {
    json.open().key("index").value(index++).key("workers").value(feeder.workers_up);
    json.key("portions").value(feeder.portions);
    json.key("portions_per_second").value(feeder.portions_per_second).close();
  }
  json.close_list();
}

}  // namespace

JobReport::JobReport(const JobConfig& job, std::string job_hash, Time started)
    : job_(job), job_hash_(std::move(job_hash)), started_(started) {}

Status JobReport::write_status(const JobStatus& status) {
  JsonWriter json;
  json.open().key("state").value(job_state_name(status.state));
  json.key("mode").value(name_of(job_.train.mode));
  json.key("epoch").value(status.epoch).key("epochs").value(status.epochs);
  json.key("step").value(status.step).key("steps").value(status.steps);
  json.key("samples").value(status.totals.samples);
  json.key("samples_per_second").value(status.samples_per_second);
  json.key("loss").value(status.loss);
  if (job_.train.mode != Mode::kSync) json.key("staleness_mean").value(status.staleness_mean);
  json.key("checkpoint").value(status.checkpoint);
  json.key("metrics").open();
  write_metrics(json, metrics_);
  json.close().key("workers").open_list();
  for (const WorkerStatus& worker : status.workers) write_worker(json, worker);
  json.close_list().key("shards").open_list();
  for (const ShardStatus& shard : status.shards) write_shard(json, shard);
  json.close_list();
  write_feeders(json, status);
  json.key("waiting_for");
  status.waiting_for.empty() ? json.value("") : json.value(status.waiting_for);
  json.key("updated").value(utc_now()).close();
  return replace_file("status.json", json.text());
}

Status JobReport::add_metrics(const MetricRow& row, Time now) {
  MetricSums sums;
  sums.rows = row.test.rows;
  sums.weight_sum = row.test.weight_sum;
  sums.loss_sum = row.test.loss_sum;
  sums.correct = row.test.correct;
  sums.squared_error_sum = row.test.squared_error_sum;
  sums.label_width = job_.resolved.label_width;
  const std::span<const ScoredLabel> scores(
      reinterpret_cast<const ScoredLabel*>(row.test.scores.data()),
      row.test.scores.size() / sizeof(ScoredLabel));
  metrics_.clear();
  for (auto& [name, value] : metrics_of(job_.model.loss, sums, scores)) {
    metrics_.emplace_back("test_" + name, value);
  }
  JsonWriter json;
  json.open().key("step").value(row.clock).key("epoch").value(row.epoch);
  json.key("time").value(to_seconds(now - started_)).key("final").value(row.final);
  json.key("train_loss").value(row.train_loss);
  write_metrics(json, metrics_);
  json.key("test_rows").value(row.test.rows);
  if (!row.missing.empty()) json.key("lanes_missing").value(row.missing.size());
  json.close();
  return append_line("metrics.jsonl", json.text());
}

Status JobReport::export_model(const std::string& run_dir, uint64_t id) {
  BALLAST_ASSIGN(const CheckpointManifest manifest, read_manifest(run_dir, id));
  BALLAST_ASSIGN(const ModelWeights weights, weights_of_checkpoint(job_, run_dir, manifest));
  weights_xxh3_ = weights.xxh3();
  const std::vector<LaneLedger> ledger = ledger_of(manifest);
  if (!ledger.empty()) order_ledger_ = hex64(sum_of(ledger));
  return write_model(kModelFile, job_, weights, {{"checkpoint", std::to_string(id)}});
}

Status JobReport::write_summary(const JobStatus& status, bool stopped, Time now) {
  const double seconds = to_seconds(now - started_);
  const JobTotals& totals = status.totals;
  JsonWriter json;
  json.open().key("job").value(job_.name).key("mode").value(name_of(job_.train.mode));
  json.key("stopped").value(stopped);
  json.key("steps").value(totals.steps).key("epochs").value(totals.epochs);
  json.key("samples").value(totals.samples).key("wall_seconds").value(seconds);
  json.key("samples_per_second").value(static_cast<double>(totals.samples) / seconds);
  json.key("metrics").open();
  write_metrics(json, metrics_);
  json.close().key("weights_xxh3").value(weights_xxh3_);
  json.key("order_ledger").value(order_ledger_);
  json.key("bytes_pushed")
      .value(totals.bytes_pushed)
      .key("bytes_pulled")
      .value(totals.bytes_pulled);
  json.key("staleness").open().key("mean").value(mean_of(totals.staleness));
  json.key("histogram").open_list();
  for (uint64_t count : totals.staleness) json.value(count);
  json.close_list().close();
  json.key("lost_pushes").value(totals.lost_pushes).key("restarts").value(totals.restarts);
  json.key("lane_moves").value(totals.lane_moves).key("shares");
  write_shares(json, as_fractions(totals.shares));
  json.key("loader");
  write_loader(json, totals.loader);
  uint64_t memory = 0;
  for (const ShardStatus& shard : status.shards) memory += shard.memory_bytes;
  if (!status.feeders.empty()) {
    json.key("rows_fed").value(totals.rows_fed).key("rows_local").value(totals.rows_local);
  }
  json.key("server_memory_bytes").value(memory);
  json.key("job_hash").value(job_hash_).close();
  return replace_file("summary.json", json.text());
}

}  // namespace ballast
