// How much of the machine does the loader leave on the table? Rows of 784 values, u8 and f32, full
// shuffle, verified, page cache warm.
//
// Floor: a bare loop with as many threads that does what cannot be left out: pread of every block,
// XXH3 of its bytes, then the rows of each batch copied (f32) or widened and scaled (u8) into one
// buffer, in a shuffled order that was made before. It has the same memory (huge pages where the
// system gives them: with malloc instead the loader is twice as fast as the floor). `first epoch`
// has reading and verifying in it; `later epochs` are the row copies alone. Both sides end with the
// same batches (checked). Bound: loader >= 0.85 of the floor, in rows per second of processor time:
// the loader's thread and its caller share the work on a wait, so wall time would count two threads
// against the floor's one. Wall time stands beside. `as stored` is the same rows of u8 for a device
// that makes the floats itself, beside those of floats; no bound. --smoke: a few rows, for the
// tests.
#include <fcntl.h>
#include <fmt/format.h>
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "bench/micro/alternate.h"
#include "bench/micro/bounds.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "worker/data/batch_loader.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset_writer.h"
#include "worker/data/memory_table.h"
#include "worker/data/row_memory.h"

namespace ballast::bench {
namespace {

constexpr uint32_t kWidth = 784;
constexpr uint32_t kBatch = 128;
constexpr float kFactor = 1.0f / 256;
constexpr double kBound = 0.85;

struct Reached {
  std::string what;
  double of_bare;  // rows per second of processor time
};

struct Setting {
  ColumnType type;
  uint64_t rows;
  uint64_t epochs;  // of one measurement of `later epochs`
  int rounds;
};

void write_dataset(const std::string& folder, const Setting& setting) {
  auto writer = DatasetWriter::create(
      folder, {{"pixels", setting.type, {kWidth}}, {"label", ColumnType::kU8, {}}}, {});
  BALLAST_CHECK_MSG(writer.ok(), writer.status().to_string());
  Random random(1);
  std::vector<std::byte> row(writer->row_bytes());
  for (uint64_t i = 0; i < setting.rows; ++i) {
    for (uint32_t k = 0; k < kWidth; ++k) {
      const auto value = static_cast<uint8_t>(random.next());
      const float wide = value;
      if (setting.type == ColumnType::kU8) row[k] = static_cast<std::byte>(value);
      if (setting.type == ColumnType::kF32) std::memcpy(&row[k * 4], &wide, sizeof wide);
    }
    row.back() = static_cast<std::byte>(i % 10);
    BALLAST_CHECK(writer->add_row(row).ok());
  }
  BALLAST_CHECK(writer->commit().ok());
}

JobConfig job_of(const std::string& folder, ColumnType type) {
  JobConfig job;
  job.data.train = folder;
  job.data.features = {"pixels"};
  job.data.label = "label";
  job.data.order = Order::kFull;
  job.train.mode = Mode::kAsync;
  TransformConfig scale;
  scale.column = "pixels";
  scale.factor = kFactor;
  if (type == ColumnType::kU8) job.data.transforms = {scale};
  return job;
}

// The floor. Reads where the blocks lie from the footers, once, outside of the clock.
class BareLoop {
 public:
  BareLoop(const Dataset& dataset, ColumnType type, std::vector<uint64_t> order)
      : type_(type),
        row_bytes_(kWidth * element_bytes(type)),
        order_(std::move(order)),
        batch_(new float[kBatch * kWidth]),
        labels_(new float[kBatch]) {
    for (uint32_t c = 0; c < dataset.manifest().chunks.size(); ++c) {
      const ChunkReader chunk = ChunkReader::open(dataset, c).value();
      for (const BlockPlace& place : dataset.blocks_of(c)) {
        const BlockSpec& spec = chunk.footer().blocks[place.index_in_chunk];
        reads_.push_back({dataset.chunk_path(c), spec.offset, spec.buffers, place.first_row});
      }
    }
  }

  void load() {
    pixels_ = map_rows(order_.size() * row_bytes_).value();
    label_values_ = map_rows(order_.size()).value();
    int file = -1;
    const std::string* opened = nullptr;
    for (const Read& read : reads_) {
      if (opened == nullptr || *opened != read.path) {
        if (file >= 0) close(file);
        file = open(read.path.c_str(), O_RDONLY);
        opened = &read.path;
      }
      fetch(file, read.offset, read.buffers[0], pixels_.data() + read.first_row * row_bytes_);
      fetch(file, read.offset, read.buffers[1], label_values_.data() + read.first_row);
    }
    close(file);
  }

  void epoch() {
    for (size_t first = 0; first < order_.size(); first += kBatch) {
      const size_t rows = std::min<size_t>(kBatch, order_.size() - first);
      for (size_t i = 0; i < rows; ++i) copy_row(order_[first + i], i);
      sum_ += batch_[0];
    }
  }

  [[nodiscard]] const float* batch() const { return batch_.get(); }
  [[nodiscard]] float sum() const { return sum_; }

 private:
  struct Read {
    std::string path;
    uint64_t offset;
    std::vector<BufferSpec> buffers;
    uint64_t first_row;
  };

  static void fetch(int file, uint64_t block, const BufferSpec& buffer, std::byte* out) {
    const auto offset = static_cast<off_t>(block + buffer.offset);
    const ssize_t got = pread(file, out, buffer.raw_bytes, offset);
    BALLAST_CHECK(got == static_cast<ssize_t>(buffer.raw_bytes));
    BALLAST_CHECK(xxh3(std::span<const std::byte>(out, buffer.raw_bytes)) == buffer.xxh3);
  }

  void copy_row(uint64_t row, size_t i) {
    float* out = batch_.get() + i * kWidth;
    const std::byte* in = pixels_.data() + row * row_bytes_;
    if (type_ == ColumnType::kF32) {
      std::memcpy(out, in, kWidth * sizeof(float));
    } else {
      const auto* bytes = reinterpret_cast<const uint8_t*>(in);
      for (uint32_t k = 0; k < kWidth; ++k) out[k] = static_cast<float>(bytes[k]) * kFactor;
    }
    labels_[i] = static_cast<float>(label_values_.data()[row]);
  }

  ColumnType type_;
  uint64_t row_bytes_;
  std::vector<uint64_t> order_;
  std::vector<Read> reads_;
  Buffer pixels_;
  Buffer label_values_;
  std::unique_ptr<float[]> batch_;
  std::unique_ptr<float[]> labels_;
  float sum_ = 0;
};

// The product. One lane whose step is the whole batch.
class Loader {
 public:
  Loader(JobConfig job, uint64_t rows)
      : job_(std::move(job)), schedule_(rows, 1, kBatch, 1 << 20) {}

  void load() {
    auto opened = BatchLoader::open(job_, schedule_);
    BALLAST_CHECK_MSG(opened.ok(), opened.status().to_string());
    loader_ = std::move(opened).value();
    clock_ = 0;
    loader_->follow(std::span(&lane_, 1), clock_);
  }

  void epoch() {
    for (uint64_t step = 0; step < schedule_.steps_per_epoch(); ++step) {
      batch_ = loader_->take(std::span(&lane_, 1), clock_++).value();
      sum_ += batch_.labels[0];
    }
  }

  [[nodiscard]] const Batch& batch() const { return batch_; }
  [[nodiscard]] float sum() const { return sum_; }
  // The rows of an epoch in the loader's own order, for the floor and the check.
  [[nodiscard]] std::vector<uint64_t> first_epoch() {
    load();
    std::vector<uint64_t> rows;
    for (uint64_t step = 0; step < schedule_.steps_per_epoch(); ++step) {
      const Batch batch = loader_->take(std::span(&lane_, 1), step).value();
      rows.insert(rows.end(), batch.row_ids.begin(), batch.row_ids.end());
    }
    return rows;
  }

 private:
  JobConfig job_;
  LaneSchedule schedule_;
  LaneId lane_{0};
  Clock clock_ = 0;
  std::unique_ptr<BatchLoader> loader_;
  Batch batch_;
  float sum_ = 0;
};

// Both sides must have made the same last batch of the first epoch.
void verify(Loader& loader, BareLoop& bare) {
  loader.load();
  loader.epoch();
  bare.load();
  bare.epoch();
  const size_t bytes = loader.batch().features.size() * sizeof(float);
  BALLAST_CHECK(std::memcmp(loader.batch().features.data(), bare.batch(), bytes) == 0);
}

// Rows as they are stored, against those of floats.
void run_stored(JobConfig job, const Setting& setting, Loader& floats) {
  job.cluster.device = Device::kCuda;  // of the loader it wants rows as stored, and nothing else
  Loader stored(job, setting.rows);
  stored.load();
  stored.epoch();
  floats.load();
  floats.epoch();
  const Batch &made = floats.batch(), &kept = stored.batch();
  BALLAST_CHECK(kept.stored_features.size() == made.features.size());
  for (size_t i = 0; i < made.features.size(); ++i) {
    const float value = std::to_integer<uint8_t>(kept.stored_features[i]) * kFactor;
    BALLAST_CHECK(value == made.features[i]);
  }
  const auto epochs_of = [&](Loader& loader) {
    return [&] {
      for (uint64_t e = 0; e < setting.epochs; ++e) loader.epoch();
    };
  };
  const auto timings =
      alternate({{"stored", epochs_of(stored)}, {"floats", epochs_of(floats)}}, setting.rounds);
  fmt::print("u8, as stored      stored / floats = {:.2f}, by wall time {:.2f}\n",
             timings[1].processor_seconds / timings[0].processor_seconds,
             timings[1].median_seconds / timings[0].median_seconds);
}

// -> loader / bare.
Reached report(const std::string& what, const std::vector<Timing>& timings, double rows) {
  for (const Timing& timing : timings) {
    fmt::print(
        "{:<18} {:<7} {:>10.0f} rows/cpu-s {:>7.0f} cpu-ns/row  wall {:>10.0f} rows/s "
        "(median {:.4f} s, MAD {:.4f} s)\n",
        what, timing.name, rows / timing.processor_seconds, timing.processor_seconds / rows * 1e9,
        rows / timing.median_seconds, timing.median_seconds, timing.mad_seconds);
  }
  const double ratio = timings[1].processor_seconds / timings[0].processor_seconds;
  fmt::print("{:<18} loader / bare = {:.2f}, by wall time {:.2f}\n", what, ratio,
             timings[1].median_seconds / timings[0].median_seconds);
  return {what, ratio};
}

std::vector<Reached> run(const std::string& root, const Setting& setting) {
  const std::string type(column_type_name(setting.type));
  const std::string folder = root + "/" + type;
  write_dataset(folder, setting);
  const auto dataset = Dataset::open(folder).value();
  Loader loader(job_of(folder, setting.type), setting.rows);
  BareLoop bare(*dataset, setting.type, loader.first_epoch());
  verify(loader, bare);

  const auto first = alternate({{"loader", [&] { loader.load(), loader.epoch(); }},
                                {"bare", [&] { bare.load(), bare.epoch(); }}},
                               setting.rounds);
  const auto later = alternate({{"loader",
                                 [&] {
                                   for (uint64_t e = 0; e < setting.epochs; ++e) loader.epoch();
                                 }},
                                {"bare",
                                 [&] {
                                   for (uint64_t e = 0; e < setting.epochs; ++e) bare.epoch();
                                 }}},
                               setting.rounds);
  if (setting.type == ColumnType::kU8) {
    run_stored(job_of(folder, setting.type), setting, loader);
  }
  const auto rows = static_cast<double>(setting.rows);
  const double later_rows = rows * static_cast<double>(setting.epochs);
  return {report(type + ", first epoch", first, rows),
          report(type + ", later epochs", later, later_rows)};
}

int main_of(bool smoke) {
  std::string root = std::filesystem::temp_directory_path() / "ballast-loader-bench-XXXXXX";
  BALLAST_CHECK(mkdtemp(root.data()) != nullptr);
  const uint64_t rows = smoke ? 1'000 : 60'000;
  const uint64_t epochs = smoke ? 1 : 5;
  const int rounds = smoke ? 1 : 7;
  std::vector<Reached> judged;
  for (ColumnType type : {ColumnType::kU8, ColumnType::kF32}) {
    for (auto& reached : run(root, {type, rows, epochs, rounds})) {
      judged.push_back(std::move(reached));
    }
  }
  std::filesystem::remove_all(root);
  Bounds bounds(smoke);
  for (const auto& [what, ratio] : judged) bounds.at_least(what, ratio, kBound);
  return bounds.exit_code();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  return ballast::bench::main_of(argc > 1 && std::string_view(argv[1]) == "--smoke");
}
