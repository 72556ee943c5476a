// The suite of door 3: every implementation of Backend runs it. Tests see a device only through
// uploads and downloads. Expected values are double-precision sums, written out.
//
// Tolerances: an implementation computes in float32 and may order a sum as it likes. A sum of k
// products of size about 1 then errs by at most k * 2^-24 * (sum of sizes), in practice by about
// sqrt(k) * 2^-24; we allow 1e-6 * (k + 8), which a wrong index or factor exceeds by far. Where the
// two factors of a product are rounded first, by r each, it errs by about 2 r sqrt(k) more; we
// allow 16 r sqrt(k + 8).
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/compute/backend.h"
#include "common/compute/cpu/open_cpu.h"
#include "tests/support/sim_device.h"

namespace ballast::testing {

using Floats = std::vector<float>;

struct Implementation {
  std::string name;
  Device device = Device::kCpu;
  BackendOptions options;
  std::string instruction_set;  // of the CPU

  std::optional<uint64_t> simulated;  // tests/support/sim_device.h, with this seed

  [[nodiscard]] Result<std::unique_ptr<Backend>> open() const {
    if (simulated) return std::unique_ptr<Backend>(std::make_unique<SimDevice>(*simulated));
    return device == Device::kCpu ? cpu::open_backend(instruction_set, options)
                                  : make_backend(device, options);
  }
};

// The CPU with each instruction set that this build and this processor have.
inline std::vector<Implementation> implementations() {
  std::vector<Implementation> all;
  for (const std::string& set : cpu::instruction_sets()) {
    std::string word = set;
    std::ranges::replace(word, '-', '_');  // names of tests have no other
    all.push_back({"CpuOneThread_" + word, Device::kCpu, {.threads = 1}, set, {}});
    all.push_back({"CpuThreeThreads_" + word, Device::kCpu, {.threads = 3}, set, {}});
  }
  all.push_back({"Simulated", Device::kCpu, {}, "", 1});
  all.push_back({"Cuda", Device::kCuda, {}, "", {}});
  all.push_back({"CudaTf32", Device::kCuda, {.precision = Precision::kTf32}, "", {}});
  all.push_back({"CudaBf16", Device::kCuda, {.precision = Precision::kBf16}, "", {}});
  return all;
}

class BackendContract : public ::testing::TestWithParam<Implementation> {
 protected:
  // Skipped, naming it, where there is no GPU.
  void SetUp() override {
    const Status there = check_device(GetParam().device);
    if (!there.ok() && GetParam().device == Device::kCuda) GTEST_SKIP() << there.to_string();
    backend_ = std::move(GetParam().open()).value();
    stream_ = backend_->create_stream();
  }

  Matrix put(const Floats& values, uint32_t rows, uint32_t columns) {
    EXPECT_EQ(values.size(), size_t{rows} * columns);
    const Matrix matrix = room(rows, columns);
    backend_->upload(stream_, values, matrix);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return matrix;
  }

  // Filled with a number that no test expects.
  Matrix room(uint32_t rows, uint32_t columns) {
    auto memory = backend_->allocate(size_t{rows} * columns);
    EXPECT_TRUE(memory.ok());
    memory_.push_back(std::move(memory).value());
    const Matrix matrix = memory_.back().matrix(rows, columns);
    const Floats junk(matrix.size(), -12345.0f);
    backend_->upload(stream_, junk, matrix);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return matrix;
  }

  Floats get(ConstMatrix matrix) {
    Floats values(matrix.size());
    backend_->download(stream_, matrix, values);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return values;
  }

  Floats random_floats(size_t count, double scale = 1) {
    Floats values(count);
    for (float& value : values) value = static_cast<float>(scale * random_.normal());
    return values;
  }

  // terms: the number k of the tolerance above.
  static void expect_close(const Floats& found, const std::vector<double>& expected, double terms) {
    const double tolerance =
        1e-6 * (terms + 8) + 16 * rounding(GetParam().options.precision) * std::sqrt(terms + 8);
    ASSERT_EQ(found.size(), expected.size());
    for (size_t i = 0; i < found.size(); ++i) {
      ASSERT_NEAR(found[i], expected[i], tolerance * (1 + std::abs(expected[i])))
          << "element " << i;
    }
  }

  // By how much of itself a factor of a product may be off.
  static double rounding(Precision precision) {
    switch (precision) {
      case Precision::kFp32:
        return 0;
      case Precision::kTf32:
        return 0x1p-11;
      case Precision::kBf16:
        return 0x1p-9;
    }
    return 0;
  }

  std::unique_ptr<Backend> backend_;
  StreamId stream_;
  std::vector<DeviceBuffer> memory_;
  Random random_{42};
};

inline std::string name_of(const ::testing::TestParamInfo<Implementation>& info) {
  return info.param.name;
}

}  // namespace ballast::testing
