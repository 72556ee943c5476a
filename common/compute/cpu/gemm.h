// Gemm: matrix products on the CPU, by Eigen, each on one thread or cut into as many runs of output
// rows as there are threads. Owner thread: the computing thread.
//
// Eigen cuts a product into blocks by the cache sizes it detects, and the order of additions, hence
// the last bits, follow the blocks; so the sizes are set to constants, once per process. It packs
// operands, so results do not depend on where matrices lie. Rows at the edge of a block go through
// other code than those inside, so the bits do depend on `threads`.
#pragma once

#include <string>

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

  // "Eigen 3.4.0, AVX512, 1 thread"
  [[nodiscard]] std::string description() const;

 private:
  // Calls product(first_row, row_count) for runs of output rows that cover out[rows, columns] once.
  template <typename Product>
  void cut(Matrix out, uint32_t inner, const Product& product);

  Crew crew_;
};

}  // namespace ballast::cpu
