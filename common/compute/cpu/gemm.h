// Gemm: matrix products on the CPU, by Eigen. Owner thread: the computing thread.
//
// Eigen cuts a product into blocks by the cache sizes it detects, and the order of additions, hence
// the last bits, follow the blocks; so the sizes are set to constants. It packs operands, so
// results do not depend on where matrices lie.
#pragma once

#include "common/compute/backend.h"

namespace ballast::cpu {

class Gemm {
 public:
  Gemm();

  // out[n, m] = a[n, k] b[k, m]
  void multiply(ConstMatrix a, ConstMatrix b, Matrix out) const;
  // out[k, m] = a[n, k]^T b[n, m]
  void multiply_at_b(ConstMatrix a, ConstMatrix b, Matrix out) const;
  // out[n, k] = a[n, m] b[k, m]^T
  void multiply_a_bt(ConstMatrix a, ConstMatrix b, Matrix out) const;
};

// "Eigen 3.4.0, avx512"
[[nodiscard]] std::string gemm_description();

}  // namespace ballast::cpu
