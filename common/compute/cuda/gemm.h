// Gemm: matrix products on a GPU by cuBLASLt, with the bias in the same pass. Its passes with an
// activation are left out: relu makes 0 of NaN, which hides that a job diverged, and gelu is not
// that of the derivative. So is the one with the bias' gradient, which sums a product in another
// order than the one without. Which of its algorithms computes a product is asked once for a shape
// and kept, so that a shape has the same bits in every step and run on one kind of GPU and version
// of the library (reductions split over blocks are joined in a fixed order). Operands that do not
// begin at a multiple of 16 bytes are copied first, so that no bit depends on addresses.
//
// precision rounds the factors and nothing else, sums are fp32: tf32 in the tensor cores; bf16 by a
// pass before the product, which reads 4 and writes 2 bytes a value: of n x k times k x m values
// 6 (n k + k m) bytes against 2 n k m operations, for n = 4096, k = m = 8192 0.2 ms at 3 TB/s and
// 0.8 ms at 700 TFLOP/s. Each of the two operands is rounded for the forward and again for the
// backward pass.
//
// Row-major matrices are the transposed of the column-major ones that the library knows: it is
// given c^T = op(b)^T op(a)^T, and no data moves.
//
// Owner thread: the back end's.
#pragma once

#include <cublasLt.h>

#include <cstdint>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include "common/base/status.h"
#include "common/compute/backend.h"
#include "common/compute/cuda/cublas_library.h"
#include "common/compute/cuda/device_memory.h"
#include "common/compute/cuda/failure.h"

namespace ballast::cuda {

// c[m, n] = op(a)[m, k] op(b)[k, n] + bias[1, n] on every row, unless it is null.
struct Product {
  ConstMatrix a;
  ConstMatrix b;
  Matrix c;
  bool a_transposed = false;  // a is held as [k, m]
  bool b_transposed = false;  // b is held as [n, k]
  const float* bias = nullptr;
};

class Gemm {
 public:
  // `memory` and `failure` outlive it. Errors: those of CublasLibrary; kExhausted: no memory for
  // its handle.
  static Result<std::unique_ptr<Gemm>> create(Precision precision, DeviceMemory& memory,
                                              Failure& failure);
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  // False: cuBLASLt has no such product in one pass; none was put on the stream.
  [[nodiscard]] bool multiply(cudaStream_t stream, const Product& product);
  // Products between the two are kept as a graph: from now on scratch memory stays where it is when
  // a larger product needs more, and a refusal says nothing of a product.
  void begin_graph() { keeps_outgrown_ = in_graph_ = true; }
  void end_graph() { in_graph_ = false; }

 private:
  struct Plan;
  // Operands, shape, whether there is a bias.
  using Key = std::tuple<bool, bool, uint32_t, uint32_t, uint32_t, bool>;
  // Memory that a product needs while it is computed: one for each stream.
  struct Scratch {
    DeviceBuffer work;
    std::vector<DeviceBuffer> operands;  // copies, by operand
  };

  Gemm(const CublasLibrary& library, Precision precision, DeviceMemory& memory, Failure& failure);
  bool note(cublasStatus_t status, const char* what);
  static Key key_of(const Product& product);
  Plan* plan_for(const Product& product);
  std::unique_ptr<Plan> make_plan(const Product& product);
  Scratch* scratch_of(cudaStream_t stream);
  const void* factor(cudaStream_t stream, Scratch& scratch, size_t operand, ConstMatrix matrix);
  const float* aligned(cudaStream_t stream, Scratch& scratch, size_t operand, ConstMatrix matrix);
  float* room(DeviceBuffer& memory, size_t floats);

  const CublasLibrary& library_;
  const Precision precision_;
  DeviceMemory& memory_;
  Failure& failure_;
  cublasLtHandle_t handle_ = nullptr;
  std::map<Key, std::unique_ptr<Plan>> plans_;  // null: there is no such product
  std::map<cudaStream_t, Scratch> scratch_;
  bool keeps_outgrown_ = false;
  bool in_graph_ = false;
  std::vector<DeviceBuffer> outgrown_;
};

}  // namespace ballast::cuda
