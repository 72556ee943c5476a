// Gemm: matrix products on the CPU, each on one thread or cut into as many runs of output rows as
// there are threads. Owner thread: the computing thread.
//
// The blocking of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM
// TOMS 34(3), 2008: operands are packed into slivers that fit the caches, zeros beyond their edges,
// and one small kernel keeps a tile of the output in registers. On one core of an AVX-512 server
// 109, 111 and 105 GFLOP/s for the three products of a 256 x 784 x 512 layer, where Eigen 3.4 has
// 88 (bench/results/gemm_bench.json).
//
// Bits: every element of every output is one sum over the inner dimension, in an order that depends
// on that dimension alone. So they depend neither on where matrices lie, nor on `threads`, nor on
// which other rows and columns are computed beside it.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/compute/backend.h"
#include "common/compute/cpu/crew.h"

namespace ballast::cpu {

class Gemm {
 public:
  explicit Gemm(uint32_t threads);

  // out[n, m] = a[n, k] b[k, m]
  void multiply(ConstMatrix a, ConstMatrix b, Matrix out);
  // out[k, m] = a[n, k]^T b[n, m]
  void multiply_at_b(ConstMatrix a, ConstMatrix b, Matrix out);
  // out[n, k] = a[n, m] b[k, m]^T
  void multiply_a_bt(ConstMatrix a, ConstMatrix b, Matrix out);

  // "8 x 32 tiles of 16-float vectors"
  [[nodiscard]] static std::string tiles();
  [[nodiscard]] uint32_t threads() const { return crew_.threads(); }

  // An operand as it lies in memory, perhaps transposed: element (i, j) is data[i * row_step + j *
  // column_step], one of the steps is 1.
  struct Operand {
    const float* data;
    size_t row_step;
    size_t column_step;
  };

 private:
  void product(const Operand& a, const Operand& b, uint32_t inner, Matrix out);

  Crew crew_;
  std::vector<Buffer> packing_;  // by part: the packed blocks of a and b
};

}  // namespace ballast::cpu
