#include "common/compute/cpu/gemm.h"

#include <fmt/format.h>

#include <Eigen/Core>

#include "common/base/check.h"

namespace ballast::cpu {
namespace {

using RowMajor = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using View = Eigen::Map<RowMajor>;
using ConstView = Eigen::Map<const RowMajor>;

// Constants, not what the machine has: typical of server cores since 2017 (bench/micro/train_step).
constexpr int kFirstLevelBytes = 32 << 10;
constexpr int kSecondLevelBytes = 1 << 20;
constexpr int kThirdLevelBytes = 8 << 20;

View view(Matrix m) {
  return {m.device_data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.columns)};
}
ConstView view(ConstMatrix m) {
  return {m.device_data, static_cast<Eigen::Index>(m.rows), static_cast<Eigen::Index>(m.columns)};
}

}  // namespace

Gemm::Gemm() {
  Eigen::setCpuCacheSizes(kFirstLevelBytes, kSecondLevelBytes, kThirdLevelBytes);
}

void Gemm::multiply(ConstMatrix a, ConstMatrix b, Matrix out) const {
  BALLAST_CHECK(a.columns == b.rows && out.rows == a.rows && out.columns == b.columns);
  view(out).noalias() = view(a) * view(b);
}

void Gemm::multiply_at_b(ConstMatrix a, ConstMatrix b, Matrix out) const {
  BALLAST_CHECK(a.rows == b.rows && out.rows == a.columns && out.columns == b.columns);
  view(out).noalias() = view(a).transpose() * view(b);
}

void Gemm::multiply_a_bt(ConstMatrix a, ConstMatrix b, Matrix out) const {
  BALLAST_CHECK(a.columns == b.columns && out.rows == a.rows && out.columns == b.rows);
  view(out).noalias() = view(a) * view(b).transpose();
}

std::string gemm_description() {
  return fmt::format("Eigen {}.{}.{}, {}", EIGEN_WORLD_VERSION, EIGEN_MAJOR_VERSION,
                     EIGEN_MINOR_VERSION, Eigen::SimdInstructionSetsInUse());
}

}  // namespace ballast::cpu
