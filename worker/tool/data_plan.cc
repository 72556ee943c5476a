#include "worker/tool/data_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <memory>
#include <vector>

#include "common/config/choices.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/memory_budget.h"
#include "worker/data/strip_order.h"
#include "worker/feed/portion.h"
#include "worker/tool/job_plan.h"
#include "worker/tool/memory_sum.h"
#include "worker/tool/settings_check.h"

namespace ballast {
namespace {

uint64_t stored_bytes(const Dataset& dataset) {
  uint64_t bytes = 0;
  for (const ManifestChunk& chunk : dataset.manifest().chunks) bytes += chunk.bytes;
  return bytes;
}

// Distinct values among `draws` draws from `kinds` equally likely ones, on average.
double distinct(double kinds, double draws) {
  return kinds <= 1 ? kinds : kinds * (1 - std::pow(1 - 1 / kinds, draws));
}

uint64_t extra_reads(const JobConfig& job, std::span<const uint32_t> block_samples) {
  return StripOrder(block_samples, job.train.lanes, job.data.window, job.seed, 0).extra_reads();
}

std::string rate_text(const DataPlan& plan, double samples_per_second) {
  constexpr double kMegabyte = 1e6;
  const double asked = samples_per_second > 0 ? samples_per_second : 1000;
  return fmt::format("reading         {:.1f} MB/s{} at {:.0f} samples/s{}\n",
                     plan.bytes_per_sample * asked / kMegabyte,
                     plan.epoch_bytes == 0 ? " (rows are in memory)" : "", asked,
                     samples_per_second > 0 ? "" : "; give --samples-per-second or --run RUNDIR");
}

}  // namespace

DataPlan plan_data(const JobConfig& job, const Dataset& train, const BlockSampling& sampling) {
  DataPlan plan;
  plan.stored_bytes = stored_bytes(train);
  const SampledEpoch first = sampling.epoch(0);
  const std::span<const uint32_t> block_samples = sampling.block_samples(first);
  const uint64_t taken =
      block_samples.size() - static_cast<uint64_t>(std::ranges::count(block_samples, uint32_t{0}));
  const auto blocks = static_cast<double>(taken);
  const LaneSchedule schedule = schedule_of(job);
  if (job.data.order != Order::kStrip) {
    plan.first_epoch_bytes = job.resolved.train_rows * job.resolved.train_row_bytes;
    plan.blocks_per_batch = distinct(blocks, schedule.batch());
    return plan;
  }
  const uint64_t extra = extra_reads(job, block_samples);
  plan.epoch_requests = taken + extra;
  uint64_t block_bytes = 0;
  for (uint64_t block = 0; block < train.block_count(); ++block) {
    if (block_samples[block] > 0) block_bytes += train.block(block).stored.bytes;
  }
  const double again = blocks > 0 ? static_cast<double>(extra) / blocks : 0;
  plan.epoch_bytes = static_cast<uint64_t>(static_cast<double>(block_bytes) * (1 + again));
  plan.bytes_per_sample = static_cast<double>(plan.epoch_bytes) /
                          static_cast<double>(std::max<uint64_t>(sampling.samples(), 1));
  const double lane_blocks = std::max(1.0, blocks / job.train.lanes);
  const double mixed = std::min<double>(job.data.window, lane_blocks);
  plan.blocks_per_batch =
      std::min(blocks, job.train.lanes * distinct(mixed, schedule.lane_batch()));
  return plan;
}

Result<double> measured_rate(const std::string& run_dir) {
  const std::string path = run_dir + "/summary.json";
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return Status(Code::kNotFound, path + ": no such file; a run that has ended expected");
  }
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  constexpr std::string_view kKey = "\"samples_per_second\":";
  const size_t at = text.find(kKey);
  const size_t first = at == std::string::npos ? at : text.find_first_not_of(" ", at + kKey.size());
  double rate = 0;
  if (first != std::string::npos) {
    std::from_chars(text.data() + first, text.data() + text.size(), rate);
  }
  if (rate > 0) return rate;
  return Status(Code::kInvalidInput, path + ": samples_per_second above 0 expected");
}

Status run_data_plan(const ResolveOptions& options, const ShapeResolver& resolve_shapes,
                     double samples_per_second, std::ostream& out) {
  BALLAST_ASSIGN(const JobConfig job, resolve_job(options, resolve_shapes));
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> train, open_train_sets(job.data));
  BALLAST_ASSIGN(const BlockSampling sampling, BlockSampling::open(job.data, job.seed, *train));
  const DataPlan plan = plan_data(job, *train, sampling);
  out << fmt::format("data            {}: {} rows in {} blocks\n", train->folder(), train->rows(),
                     train->block_count());
  if (job.data.samples_classes() && !sampling.by_class()) {
    out << fmt::format(
        "sampling        {} values of {} are as frequent as each other: balance = "
        "\"{}\" changes nothing\n",
        job.resolved.class_labels.size(), job.data.label, name_of(job.data.balance));
  }
  if (job.data.resamples() || train->parts().size() > 1) {
    for (const std::string& line : describe(sampling, train_sets(job.data), job.data.label)) {
      out << "sampling        " << line << '\n';
    }
  }
  out << fmt::format("order           {}", name_of(job.data.order));
  if (job.data.order == Order::kStrip) out << fmt::format(", window {} blocks", job.data.window);
  out << fmt::format("\nmixing          {:.1f} of {} blocks in a batch of {} samples, on average\n",
                     plan.blocks_per_batch, train->block_count(), job.train.batch);
  out << fmt::format("disk            {} as stored; a cache of all of it needs as much\n",
                     bytes_text(plan.stored_bytes));
  const LoaderMemory memory = loader_memory(job, schedule_of(job), worker_portions(job));
  if (plan.epoch_bytes > 0) {
    out << fmt::format("each epoch      {} in {} requests, one a block{}\n",
                       bytes_text(plan.epoch_bytes), plan.epoch_requests,
                       memory.kept_blocks > 0 ? ", less what is kept in memory" : "");
  } else {
    out << fmt::format("at the start    {} into the memory of each worker, nothing later\n",
                       bytes_text(plan.first_epoch_bytes));
  }
  out << rate_text(plan, samples_per_second);
  out << "loader memory   " << memory.to_string() << '\n';
  out << describe_memory(job);
  for (const Finding& note : judge_settings(job)) out << "note: " << note.text << '\n';
  return {};
}

}  // namespace ballast
