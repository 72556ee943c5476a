// How fast does a shard's part of a checkpoint reach the disk? 66 MiB of weights and Adam state in
// units of 1 MiB, written by write_part: header, XXH3, temporary name, fsync, rename.
//
// Bound: the same number of bytes in one plain file by pwrite of 1 MiB each and one fsync ("raw");
// the hash adds 66 MiB at > 10 GB/s, some 7 ms. Also: what verifying and loading costs against a
// plain read. The written part is verified before the clock starts. --smoke: 3 MiB, one round, for
// the tests. Writes under the folder given by --folder, default the current one.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <string_view>

#include "bench/micro/alternate.h"
#include "common/base/random.h"
#include "common/storage/checkpoint.h"

namespace ballast {
namespace {

constexpr size_t kTensorBytes = 1 << 20;
constexpr int kTensors = 3;  // weights and Adam's two

UnitImage filled_image(uint32_t unit) {
  Random random(unit);
  UnitImage image;
  image.unit = UnitId(unit);
  image.weights = Buffer::allocate(kTensorBytes);
  image.state = {Buffer::allocate(kTensorBytes), Buffer::allocate(kTensorBytes)};
  for (float& value : image.weights.floats()) value = unit_float(random.next());
  for (Buffer& tensor : image.state) {
    for (float& value : tensor.floats()) value = unit_float(random.next());
  }
  return image;
}

void write_raw(const std::string& path, const std::vector<UnitImage>& images) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  BALLAST_CHECK(file >= 0);
  const auto write = [file](const Buffer& tensor) {
    BALLAST_CHECK(::write(file, tensor.data(), tensor.size()) ==
                  static_cast<ssize_t>(tensor.size()));
  };
  for (const UnitImage& image : images) {
    write(image.weights);
    for (const Buffer& tensor : image.state) write(tensor);
  }
  BALLAST_CHECK(::fsync(file) == 0);
  ::close(file);
}

void read_raw(const std::string& path, Buffer& scratch) {
  const int file = ::open(path.c_str(), O_RDONLY);
  BALLAST_CHECK(file >= 0);
  while (::read(file, scratch.data(), scratch.size()) > 0) {
  }
  ::close(file);
}

void report(const std::vector<bench::Timing>& timings, double megabytes, int rounds) {
  for (const bench::Timing& timing : timings) {
    fmt::print("{:<14} {:8.1f} ms  MAD {:6.1f}  {:8.0f} MB/s  n={}\n", timing.name,
               timing.median_seconds * 1e3, timing.mad_seconds * 1e3,
               megabytes / timing.median_seconds, rounds);
  }
}

void run(const std::string& folder, uint32_t units, int rounds) {
  const std::string run_dir = folder + "/checkpoint_bench";
  std::filesystem::create_directories(run_dir);
  std::vector<UnitImage> images;
  for (uint32_t unit = 0; unit < units; ++unit) images.push_back(filled_image(unit));
  const std::string raw = run_dir + "/raw";
  Buffer scratch = Buffer::allocate(kTensorBytes);

  CheckpointManifest manifest;
  manifest.id = 1;
  const auto write = [&] {
    Result<CheckpointPart> part = write_part(run_dir, 1, 0, images);
    BALLAST_CHECK_MSG(part.ok(), part.status().to_string());
    manifest.parts = {*part};
  };
  const auto verify = [&] {
    const Status status = verify_parts(run_dir, manifest);
    BALLAST_CHECK_MSG(status.ok(), status.to_string());
  };
  write();
  verify();
  const auto timings = bench::alternate({{"raw write", [&] { write_raw(raw, images); }},
                                         {"write_part", write},
                                         {"raw read", [&] { read_raw(raw, scratch); }},
                                         {"verify_parts", verify}},
                                        rounds);
  report(timings, units * kTensors * kTensorBytes / 1e6, rounds);
  fmt::print("write_part / raw write: {:.2f} of the bound\n",
             timings[0].median_seconds / timings[1].median_seconds);
  std::filesystem::remove_all(run_dir);
}

}  // namespace
}  // namespace ballast

int main(int count, char** arguments) {
  std::string folder = ".";
  bool smoke = false;
  for (int index = 1; index < count; ++index) {
    const std::string_view argument = arguments[index];
    if (argument == "--smoke") smoke = true;
    if (argument == "--folder" && index + 1 < count) folder = arguments[++index];
  }
  // 22 units x 3 tensors of 1 MiB: the first whole number of units above 64 MiB.
  ballast::run(folder, smoke ? 1 : 22, smoke ? 1 : 15);
}
