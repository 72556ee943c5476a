#include "worker/data/memory_budget.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "worker/data/batch_shape.h"
#include "worker/data/block_store.h"
#include "worker/data/dataset.h"
#include "worker/data/each_chunk.h"
#include "worker/data/kept_blocks.h"
#include "worker/data/source/cache_ranks.h"
#include "worker/data/source/source.h"
#include "worker/data/stream_rows.h"

namespace ballast {

namespace {

constexpr uint64_t kMost = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kMib = 1u << 20;

// Two blocks hardly mix; with 64, neighbours in a batch come from 64 places of the data set.
constexpr uint32_t kWindowLeast = 2;
constexpr uint32_t kWindowMost = 64;

uint64_t product(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  return __builtin_mul_overflow(a, b, &result) ? kMost : result;
}
uint64_t sum(uint64_t a, uint64_t b) {
  uint64_t result = 0;
  return __builtin_add_overflow(a, b, &result) ? kMost : result;
}

}  // namespace

uint64_t PortionMemory::total() const {
  return product(portions, portion_bytes);
}

uint64_t LoaderMemory::total() const {
  uint64_t all = 0;
  for (const uint64_t bytes :
       {product(train_rows, train_row_bytes), decode_bytes,
        product(sum(blocks, kept_blocks), block_bytes), order_bytes, list_bytes, cache_bytes,
        portions.total(), product(test_rows, test_row_bytes), product(batch_bytes, batches)}) {
    all = sum(all, bytes);
  }
  return all;
}

std::string LoaderMemory::to_string() const {
  const std::string kept =
      kept_blocks > 0 ? fmt::format(" + {} kept x {} B", kept_blocks, block_bytes) : "";
  const std::string train = blocks > 0 ? fmt::format("{} blocks x {} B{} + their order {} B",
                                                     blocks, block_bytes, kept, order_bytes)
                            : order_bytes > 0
                                ? fmt::format("{} rows x {} B + their samples {} B", train_rows,
                                              train_row_bytes, order_bytes)
                                : fmt::format("{} rows x {} B", train_rows, train_row_bytes);
  const std::string list = list_bytes > 0 ? fmt::format(" + list of blocks {} B", list_bytes) : "";
  const std::string decoding =
      decode_bytes > 0 ? fmt::format(" + decoding {} B", decode_bytes) : "";
  const std::string cache =
      cache_bytes > 0 ? fmt::format(" + list of the disk cache {} B", cache_bytes) : "";
  const std::string fed = portions.portions > 0
                              ? fmt::format(" + {} portions of feeders x {} B", portions.portions,
                                            portions.portion_bytes)
                              : "";
  return fmt::format(
      "train {}{}{}{}{} + test {} rows x {} B + {} batches x {} B = {} B ({:.1f} MiB)", train, list,
      decoding, cache, fed, test_rows, test_row_bytes, batches, batch_bytes, total(),
      static_cast<double>(total()) / static_cast<double>(kMib));
}

Status LoaderMemory::check(uint64_t memory_mib) const {
  if (total() <= product(memory_mib, kMib)) return {};
  const uint64_t besides = sum(product(test_rows, test_row_bytes), product(batch_bytes, batches));
  return Status(
      Code::kInvalidInput,
      fmt::format("data.memory_mib = {}: the loader needs {}; set data.memory_mib to {} or "
                  "more, or {}",
                  memory_mib, to_string(), sum(total(), kMib - 1) / kMib,
                  portions.portions > 0 && total() - portions.total() <= product(memory_mib, kMib)
                      ? "use fewer train.lanes, a smaller train.batch, or no cluster.feeders"
                  : besides > product(memory_mib, kMib)
                      ? "take fewer test rows or a smaller train.batch"
                  : sum(list_bytes, numbers_of_blocks) > product(memory_mib, kMib) / 2
                      ? "take data converted again with a larger --block-kib: its blocks are many"
                  : blocks > 0 ? "use fewer lanes or data.threads, a smaller data.window, smaller "
                                 "rates, or data converted again "
                                 "with a smaller --block-kib"
                               : "stream the rows with data.order = \"strip\""));
}

namespace {

// What StripOrder keeps for a block, in the epochs that lanes stand in and look ahead into.
constexpr uint64_t kOrderBytesPerBlock = 3 * 20;
// What BlockSampling keeps for a block, and for each class in it, beside those epochs of it.
constexpr uint64_t kSamplingBytesPerBlock = 12 + 3 * 12;
constexpr uint64_t kSamplingBytesPerClass = 16 + 3 * 12;

// What Dataset and BlockSampling hold of each block, however small it is. Joined sets are open one
// by one while their list is made.
uint64_t list_bytes(const JobConfig& config) {
  const uint64_t lists = config.data.mix.empty() ? 1 : 2;
  const uint64_t train_bytes = lists * Dataset::kBytesPerBlock + sizeof(uint32_t) /* rows */;
  return sum(product(config.resolved.train_blocks, train_bytes),
             product(config.resolved.test_blocks, Dataset::kBytesPerBlock));
}

uint64_t sampling_bytes(const JobConfig& config) {
  if (!config.data.resamples()) return 0;
  const uint64_t classes =
      config.data.samples_classes()
          ? std::min<uint64_t>(config.resolved.class_labels.size(), kBlockLabelsMax)
          : 1;
  return config.resolved.train_blocks * (kSamplingBytesPerBlock + classes * kSamplingBytesPerClass);
}

// What CacheFolder remembers of each block, in whichever set: lanes ask for each of their pieces at
// most twice an epoch, in three epochs (StreamRows), and each may begin with a part of a block.
uint64_t cache_list_bytes(const JobConfig& config, uint64_t lanes) {
  return product(sum(config.resolved.train_blocks, lanes), CacheRanks::kBytesPerRange);
}

bool has_remote_set(const DataConfig& data) {
  return is_remote(data.train) ||
         std::ranges::any_of(data.mix, [](const MixConfig& set) { return is_remote(set.train); });
}

void add_stream(const JobConfig& config, uint64_t lanes, uint32_t ahead, LoaderMemory& memory) {
  const ResolvedConfig& resolved = config.resolved;
  const uint64_t lanes_here = (lanes + config.cluster.workers - 1) / config.cluster.workers;
  // Lanes that mix the same block share it; a lane's run is cut at its ends within a block. Every
  // loader thread, and whoever takes batches (it helps), but one may still read the strip before.
  const uint64_t readers_behind = std::max(1u, config.data.threads);
  memory.blocks_ahead = ahead;
  memory.blocks = std::min(lanes_here * (uint64_t{config.data.window} + ahead) + readers_behind,
                           resolved.train_blocks);
  memory.block_bytes = resolved.train_block_bytes;
  const uint64_t pieces = std::min<uint64_t>(config.data.window, resolved.train_blocks / lanes + 2);
  // A row of each sample; where rows are resampled how often it was taken, too.
  const uint64_t row_bytes = sizeof(uint32_t) * (config.data.resamples() ? 2 : 1);
  const uint64_t permuted = pieces * resolved.block_samples() * row_bytes;
  const uint64_t samples = resolved.block_samples() * (sizeof(uint32_t) + row_bytes);
  const uint64_t by_class =
      config.data.samples_classes() ? resolved.train_block_rows * sizeof(uint32_t) : 0;
  memory.numbers_of_blocks = resolved.train_blocks * kOrderBytesPerBlock + sampling_bytes(config);
  const uint64_t places = pieces * resolved.train_columns * sizeof(void*);  // of columns
  memory.order_bytes = lanes_here * (permuted + samples + places + by_class) +
                       readers_behind * (resolved.block_samples() * row_bytes + samples + places) +
                       memory.blocks * BlockStore::bytes_per_slot(resolved.train_columns) +
                       memory.numbers_of_blocks;
}

// Blocks into what is left, and what is remembered to choose them.
void add_kept(const JobConfig& config, LoaderMemory& memory) {
  const ResolvedConfig& resolved = config.resolved;
  const uint64_t budget = product(config.data.memory_mib, kMib);
  const uint64_t taken =
      sum(memory.total(), product(resolved.train_blocks, KeptBlocks::kBytesPerBlock));
  if (taken >= budget || memory.block_bytes == 0) return;
  const uint64_t slot_bytes =
      memory.block_bytes + BlockStore::bytes_per_slot(resolved.train_columns);
  memory.kept_blocks =
      std::min((budget - taken) / slot_bytes, resolved.train_blocks - memory.blocks);
  if (memory.kept_blocks == 0) return;
  const uint64_t numbers = resolved.train_blocks * KeptBlocks::kBytesPerBlock;
  memory.numbers_of_blocks += numbers;
  memory.order_bytes +=
      numbers + memory.kept_blocks * BlockStore::bytes_per_slot(resolved.train_columns);
}

LoaderMemory memory_without_kept(const JobConfig& config, const LaneSchedule& schedule,
                                 uint32_t ahead) {
  const ResolvedConfig& resolved = config.resolved;
  const bool together = config.train.mode != Mode::kSync;  // one batch of all lanes, or one a lane
  const uint32_t rows = together ? schedule.batch() : schedule.lane_batch();
  const uint32_t requests = kBatchesAhead * (together ? 1 : schedule.lanes());
  LoaderMemory memory;
  if (config.data.order == Order::kStrip) {
    add_stream(config, schedule.lanes(), ahead, memory);
  } else {
    memory.train_rows = resolved.train_rows;
    memory.train_row_bytes = resolved.train_row_bytes;
    const uint32_t threads =
        chunk_threads(std::max(1u, config.data.threads), has_remote_set(config.data));
    memory.decode_bytes = product(threads, resolved.train_decode_bytes);
    if (config.data.samples_classes()) memory.train_row_bytes += sizeof(uint32_t);  // by class
    memory.order_bytes = sampling_bytes(config);
  }
  memory.list_bytes = list_bytes(config);
  memory.test_rows = resolved.test_rows;
  memory.test_row_bytes = resolved.test_row_bytes;
  memory.batch_bytes =
      BatchShape{rows, resolved.input_width, resolved.label_width, resolved.stored_bytes}.bytes();
  // Prepared, being filled for a plan that dropped them, taken, and on its way to a GPU.
  memory.batches = requests + std::max(1u, config.data.threads) + 1;
  if (config.cluster.device == Device::kCuda) ++memory.batches;
  return memory;
}

}  // namespace

LoaderMemory loader_memory(const JobConfig& config, const LaneSchedule& schedule,
                           const PortionMemory& portions) {
  const auto with_ahead = [&](uint32_t ahead) {
    LoaderMemory memory = memory_without_kept(config, schedule, ahead);
    memory.portions = portions;
    if (!config.data.cache.empty() && has_remote_set(config.data)) {
      memory.cache_bytes = cache_list_bytes(config, schedule.lanes());
    }
    return memory;
  };
  LoaderMemory memory = with_ahead(StreamRows::kBlocksAhead);
  if (config.data.order != Order::kStrip) return memory;
  if (!memory.check(config.data.memory_mib).ok()) {
    memory = with_ahead(StreamRows::kBlocksAheadLeast);
  }
  add_kept(config, memory);
  return memory;
}

void choose_order(JobConfig& config) {
  const uint64_t budget = product(config.data.memory_mib, kMib);
  const LaneSchedule schedule = schedule_of(config);
  const auto fits = [&] {
    JobConfig alone = config;
    alone.cluster.workers = 1;
    alone.data.threads = kLoaderThreadsMost;
    const LoaderMemory least = memory_without_kept(alone, schedule, StreamRows::kBlocksAheadLeast);
    return sum(least.total(), cache_list_bytes(alone, schedule.lanes())) <= budget;
  };
  if (config.data.order == Order::kAuto) {
    config.data.order = Order::kFull;
    if (!fits()) config.data.order = Order::kStrip;
  }
  if (config.data.order != Order::kStrip || config.data.window != 0) return;
  config.data.window = kWindowMost;
  while (config.data.window > kWindowLeast && !fits()) --config.data.window;
}

void choose_threads(JobConfig& config, uint32_t cores) {
  if (config.data.threads != 0) return;
  config.data.threads = std::clamp(cores / (2 * config.cluster.workers), 1u, kLoaderThreadsMost);
}

}  // namespace ballast
