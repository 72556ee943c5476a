// Does streaming from blocks, shuffled in the order `strip` and verified, run at the speed of what
// cannot be left out? Tabular rows of 160 bytes (1 label, 13 f32, 26 i32) and rows of 784 and
// 25,600 f32; page cache warm, one loader thread, one reading thread.
//
// Blocks of 2 MiB, for rows of 784 f32 of 512 KiB (--block-kib): a window of them stays in the
// third cache. Both sides read 1.4 times as many rows a second then; smaller rows lose it to more
// strips.
//
// Floor: a bare loop with as many threads that is told beforehand which rows come and when a block
// is last used, and copies them column by column in tiles (bare_stream.h). Every batch of both
// sides is the same (checked by its hash before the clock starts). Judged by processor time, which
// is like for like, and by wall time, for which ours has one thread more: whoever takes its batches
// gathers too where it would wait.
//
// Cold disk: the same files past the page cache, every block once in a random order; floor: what
// `dd iflag=direct bs=2M` does, file after file (cold_disk.h).
//
// Resume: a loader opened at a random step of an epoch, up to its first batch.
// Order: set-up for 1e9 rows of 160 bytes in blocks of 2 MiB.
// --smoke: a few rows, for the tests.
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bench/micro/alternate.h"
#include "bench/micro/bare_stream.h"
#include "bench/micro/bounds.h"
#include "bench/micro/cold_disk.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "worker/data/batch_loader.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset_writer.h"
#include "worker/data/memory_budget.h"
#include "worker/data/resolve_shapes.h"
#include "worker/data/strip_order.h"

namespace ballast::bench {
namespace {

constexpr uint32_t kWindow = 16;
constexpr uint64_t kBlock = 2 << 20;  // as `data convert` makes them
constexpr double kOfFloor = 0.85;
constexpr double kTabularRows = 10e6;    // a second of a processor
constexpr double kColdSecondsAGb = 0.1;  // of a processor, XXH3 included
constexpr double kSetUpSeconds = 0.05;
constexpr double kResumeSeconds = 1;

struct Shape {
  std::string name;
  uint32_t floats;    // f32 values a row
  uint32_t integers;  // i32 values a row; 0: no such column
  uint64_t rows;
  uint32_t batch;
  uint64_t block_bytes;
  int rounds;

  [[nodiscard]] uint32_t width() const { return floats + integers; }
};

void write_dataset(const std::string& folder, const Shape& shape, uint64_t block_bytes) {
  std::vector<ColumnSpec> columns = {{"numbers", ColumnType::kF32, {shape.floats}}};
  if (shape.integers > 0) columns.push_back({"ids", ColumnType::kI32, {shape.integers}});
  columns.push_back({"label", ColumnType::kF32, {}});
  DatasetWriterOptions options;
  options.block_bytes = block_bytes;
  auto writer = DatasetWriter::create(folder, columns, options);
  BALLAST_CHECK_MSG(writer.ok(), writer.status().to_string());
  Random random(1);
  std::vector<std::byte> row(writer->row_bytes());
  for (uint64_t i = 0; i < shape.rows; ++i) {
    std::byte* at = row.data();
    const auto put = [&](auto value) {
      std::memcpy(at, &value, sizeof value);
      at += sizeof value;
    };
    for (uint32_t k = 0; k < shape.floats; ++k) put(static_cast<float>(random.next() % 1000));
    for (uint32_t k = 0; k < shape.integers; ++k)
      put(static_cast<int32_t>(random.next() % 100'000));
    put(static_cast<float>(i % 2));
    BALLAST_CHECK(writer->add_row(row).ok());
  }
  BALLAST_CHECK(writer->commit().ok());
  sync();  // what is still on its way to the disk would take turns with what is read
}

JobConfig job_of(const std::string& folder, const Shape& shape) {
  JobConfig job;
  job.data.train = folder;
  job.data.features = {"numbers"};
  if (shape.integers > 0) job.data.features.push_back("ids");
  job.data.label = "label";
  job.data.order = Order::kStrip;
  job.data.window = kWindow;
  job.cluster.workers = 1;
  job.train.mode = Mode::kAsync;
  job.train.epochs = 1 << 20;
  return job;
}

// What the windows need and nothing to keep blocks in: each is read, as the floor reads it.
uint64_t least_memory_mib(JobConfig job, const LaneSchedule& schedule) {
  BALLAST_CHECK(measure_shapes(job).ok());
  job.data.memory_mib = 1 << 20;
  LoaderMemory memory = loader_memory(job, schedule);
  memory.kept_blocks = 0;
  return memory.total() / (1 << 20) + 1;
}

// The product. One lane whose step is the whole batch.
class Stream {
 public:
  Stream(const std::string& folder, const Shape& shape)
      : job_(job_of(folder, shape)), schedule_(shape.rows, 1, shape.batch, 1 << 20) {
    job_.data.memory_mib = least_memory_mib(job_, schedule_);
    auto opened = BatchLoader::open(job_, schedule_);
    BALLAST_CHECK_MSG(opened.ok(), opened.status().to_string());
    loader_ = std::move(opened).value();
  }

  // Each is a first epoch of the same rows: going back costs one window.
  template <typename EachBatch>
  void epoch(EachBatch each) {
    loader_->follow(std::span(&lane_, 1), 0);
    for (uint64_t step = 0; step < schedule_.steps_per_epoch(); ++step) {
      batch_ = loader_->take(std::span(&lane_, 1), step).value();
      each(batch_);
    }
  }
  // From anywhere, as after a restart.
  [[nodiscard]] Batch at(uint64_t step) {
    loader_->follow(std::span(&lane_, 1), step);
    return loader_->take(std::span(&lane_, 1), step).value();
  }
  [[nodiscard]] BlockReads reads() const { return loader_->counters().reads; }

 private:
  JobConfig job_;
  LaneSchedule schedule_;
  LaneId lane_{0};
  std::unique_ptr<BatchLoader> loader_;
  Batch batch_;
};

void report(const Shape& shape, const std::vector<Timing>& timings, Bounds& bounds) {
  const auto rows = static_cast<double>(shape.rows);
  for (const Timing& timing : timings) {
    fmt::print(
        "{:<10} {:<7} {:>10.0f} rows/cpu-s {:>7.1f} cpu-ns/row  wall {:>10.0f} rows/s "
        "(median {:.4f} s, MAD {:.4f} s)\n",
        shape.name, timing.name, rows / timing.processor_seconds,
        timing.processor_seconds / rows * 1e9, rows / timing.median_seconds, timing.median_seconds,
        timing.mad_seconds);
  }
  bounds.at_least(shape.name + ", stream / bare by wall time",
                  timings[1].median_seconds / timings[0].median_seconds, kOfFloor);
  bounds.at_least(shape.name + ", stream / bare by processor time",
                  timings[1].processor_seconds / timings[0].processor_seconds, kOfFloor);
  if (shape.integers == 0) return;
  bounds.at_least(shape.name + ", rows a second of a processor",
                  rows / timings[0].processor_seconds, kTabularRows);
}

uint64_t hash_of(std::span<const float> features, std::span<const float> labels) {
  return hash_numbers({xxh3(std::as_bytes(features)), xxh3(std::as_bytes(labels))});
}

void run_warm(const std::string& folder, const Shape& shape, Bounds& bounds) {
  Stream stream(folder, shape);
  std::vector<uint64_t> rows;
  std::vector<uint64_t> expected;  // hashes, by batch
  stream.epoch([&](const Batch& batch) {
    rows.insert(rows.end(), batch.row_ids.begin(), batch.row_ids.end());
    expected.push_back(hash_of(batch.features, batch.labels));
  });
  BareStream bare(*Dataset::open(folder).value(), rows,
                  {.floats = shape.floats, .integers = shape.integers, .batch = shape.batch});
  size_t number = 0;
  bare.epoch([&](std::span<const float> features, std::span<const float> labels) {
    BALLAST_CHECK(hash_of(features, labels) == expected.at(number++));
  });
  BALLAST_CHECK(number == expected.size());

  float sum = 0;
  const auto timings = alternate(
      {{"stream", [&] { stream.epoch([&](const Batch& batch) { sum += batch.features[0]; }); }},
       {"bare", [&] { bare.epoch([&](auto features, auto) { sum += features[0]; }); }}},
      shape.rounds);
  BALLAST_CHECK(stream.reads().found * 20 <= stream.reads().read);
  report(shape, timings, bounds);
}

uint64_t features_hash(const Batch& batch) {
  return xxh3(std::as_bytes(batch.features));
}

// A loader that begins somewhere in the epoch, from nothing to the batch that the whole epoch had
// there.
void run_resume(const std::string& folder, const Shape& shape, Bounds& bounds) {
  std::vector<uint64_t> expected;  // by step: the hash of its features
  Stream whole(folder, shape);
  whole.epoch([&](const Batch& batch) { expected.push_back(features_hash(batch)); });
  Random random(shape.rows);
  const auto timings = alternate({{"resume",
                                   [&] {
                                     const uint64_t step = random.next() % expected.size();
                                     const Batch batch = Stream(folder, shape).at(step);
                                     BALLAST_CHECK(features_hash(batch) == expected[step]);
                                   }}},
                                 shape.rounds);
  fmt::print("{:<10} resume: {:.3f} s to the first batch (MAD {:.3f} s)\n", shape.name,
             timings[0].median_seconds, timings[0].mad_seconds);
  bounds.at_most(shape.name + ", seconds to the first batch", timings[0].median_seconds,
                 kResumeSeconds);
}

void run_cold(const std::string& folder, const Shape& shape, uint32_t held, Bounds& bounds) {
  ColdDisk disk(Dataset::open(folder).value(), job_of(folder, shape).data, held);
  const std::string name = held == 0 ? "cold disk" : fmt::format("cold disk, {} held", held);
  const auto timings = alternate(
      {{"blocks", [&] { disk.read_blocks(); }}, {"dd", [&] { disk.read_files(); }}}, shape.rounds);
  const double gigabytes = static_cast<double>(disk.block_bytes()) / 1e9;
  for (const Timing& timing : timings) {
    fmt::print("{:<18} {:<7} {:>6.2f} GB/s  {:.3f} cpu-s/GB (median {:.4f} s, MAD {:.4f} s)\n",
               name, timing.name, gigabytes / timing.median_seconds,
               timing.processor_seconds / gigabytes, timing.median_seconds, timing.mad_seconds);
  }
  bounds.at_least(name + ", blocks / dd", timings[1].median_seconds / timings[0].median_seconds,
                  kOfFloor);
  bounds.at_most(name + ", cpu-s/GB", timings[0].processor_seconds / gigabytes, kColdSecondsAGb);
}

void run_set_up(int rounds, Bounds& bounds) {
  const std::vector<uint32_t> block_rows(1'000'000'000 / 13'107, 13'107);
  uint64_t epoch = 0, sum = 0;
  const auto timings = alternate({{"set-up",
                                   [&] {
                                     const StripOrder order(block_rows, 8, 64, 1, epoch++);
                                     sum += order.strip_of(LaneId(3), 60'000'000);
                                   }}},
                                 rounds);
  BALLAST_CHECK(sum > 0);
  fmt::print("order of 1e9 rows: set-up {:.1f} ms\n", timings[0].median_seconds * 1e3);
  bounds.at_most("order of 1e9 rows, set-up in seconds", timings[0].median_seconds, kSetUpSeconds);
}

int main_of(bool smoke) {
  std::string root = std::filesystem::temp_directory_path() / "ballast-stream-bench-XXXXXX";
  BALLAST_CHECK(mkdtemp(root.data()) != nullptr);
  const uint64_t scale = smoke ? 1000 : 1;
  const int rounds = smoke ? 1 : 7;
  const Shape tabular{"160 B", 13, 26, 10'000'000 / scale, 4096, kBlock, rounds};
  const Shape dense{"3 KB", 784, 0, 500'000 / scale, 512, kBlock / 4, rounds};
  const Shape wide{"100 KB", 25'600, 0, 15'000 / scale, 64, kBlock, rounds};
  Bounds bounds(smoke);
  for (const Shape& shape : {tabular, dense, wide}) {
    write_dataset(root + "/data", shape, shape.block_bytes);
    run_warm(root + "/data", shape, bounds);
    run_resume(root + "/data", shape, bounds);
    std::filesystem::remove_all(root + "/data");
  }
  write_dataset(root + "/data", dense, kBlock);
  for (const uint32_t held : {0u, 64u}) run_cold(root + "/data", dense, held, bounds);
  run_set_up(rounds, bounds);
  std::filesystem::remove_all(root);
  return bounds.exit_code();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  return ballast::bench::main_of(argc > 1 && std::string_view(argv[1]) == "--smoke");
}
