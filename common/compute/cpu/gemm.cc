#include "common/compute/cpu/gemm.h"

#include <fmt/format.h>

#include <Eigen/Core>
#include <algorithm>

#include "common/base/check.h"

namespace ballast::cpu {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<RowMajor>;
using ConstView = Eigen::Map<const RowMajor>;

// Constants, not what the machine has: the smallest caches among server cores since 2017.
constexpr int kFirstLevelBytes = 32 << 10;
constexpr int kSecondLevelBytes = 1 << 20;
constexpr int kThirdLevelBytes = 8 << 20;

// Waking a sleeping thread costs 30 to 40 us (research/baselines: "waking an idle vCPU"), in which
// one core does about 4 million multiply-adds: smaller products stay on one thread.
constexpr uint64_t kCutFrom = 8'000'000;
// Runs are multiples of this many rows, so that only the last has a ragged edge.
constexpr uint32_t kCutRows = 16;

View view(Matrix m) {
  return {m.device_data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.columns)};
}
ConstView view(ConstMatrix m) {
  return {m.device_data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.columns)};
}

}  // namespace

Gemm::Gemm(uint32_t threads) : crew_(threads) {
  Eigen::setCpuCacheSizes(kFirstLevelBytes, kSecondLevelBytes, kThirdLevelBytes);
}

template <typename Product>
void Gemm::cut(Matrix out, uint32_t inner, const Product& product) {
  const uint32_t threads = crew_.threads();
  if (threads == 1 || uint64_t{out.size()} * inner < kCutFrom) return product(0, out.rows);
  const uint32_t share = (out.rows + threads - 1) / threads;
  const uint32_t run = (share + kCutRows - 1) / kCutRows * kCutRows;
  crew_.run([&](uint32_t part) {
    const uint64_t first = std::min<uint64_t>(uint64_t{part} * run, out.rows);
    const uint64_t last = std::min<uint64_t>(first + run, out.rows);
    if (first < last)
      product(static_cast<Eigen::Index>(first), static_cast<Eigen::Index>(last - first));
  });
}

void Gemm::multiply(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.columns == b.rows && out.rows == a.rows && out.columns == b.columns);
  cut(out, a.columns, [&](Eigen::Index first, Eigen::Index count) {
    view(out).middleRows(first, count).noalias() = view(a).middleRows(first, count) * view(b);
  });
}

void Gemm::multiply_at_b(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.rows == b.rows && out.rows == a.columns && out.columns == b.columns);
  cut(out, a.rows, [&](Eigen::Index first, Eigen::Index count) {
    view(out).middleRows(first, count).noalias() =
        view(a).middleCols(first, count).transpose() * view(b);
  });
}

void Gemm::multiply_a_bt(ConstMatrix a, ConstMatrix b, Matrix out) {
  BALLAST_CHECK(a.columns == b.columns && out.rows == a.rows && out.columns == b.rows);
  cut(out, a.columns, [&](Eigen::Index first, Eigen::Index count) {
    view(out).middleRows(first, count).noalias() =
        view(a).middleRows(first, count) * view(b).transpose();
  });
}

std::string Gemm::description() const {
  return fmt::format("Eigen {}.{}.{}, {}, {} thread{}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION,
                     EIGEN_MINOR_VERSION, Eigen::SimdInstructionSetsInUse(), crew_.threads(),
                     crew_.threads() == 1 ? "" : "s");
}

}  // namespace ballast::cpu
