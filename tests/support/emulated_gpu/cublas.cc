// cuBLASLt as far as common/compute/cuda uses it: products of column-major matrices, as its
// documentation says, in plain loops. In place of cuda/cublas_library.cc. It takes what an
// algorithm for operands at multiples of 16 bytes takes, and uses up its workspace.
#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "common/compute/cuda/cublas_library.h"
#include "tests/support/emulated_gpu/runtime.h"

namespace emulated_gpu {
namespace {

struct Product {
  cublasComputeType_t compute = CUBLAS_COMPUTE_32F;
  cublasOperation_t a = CUBLAS_OP_N, b = CUBLAS_OP_N;
  cublasLtEpilogue_t epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  const float* bias = nullptr;
};

// Column-major: element (r, c) is data[c * ld + r].
struct Layout {
  cudaDataType type = CUDA_R_32F;
  uint64_t rows = 0, columns = 0;
  int64_t ld = 0;
};

Product& product_of(cublasLtMatmulDesc_t desc) {
  return *reinterpret_cast<Product*>(desc);
}
Layout& layout_of(cublasLtMatrixLayout_t layout) {
  return *reinterpret_cast<Layout*>(layout);
}

cublasStatus_t create(cublasLtHandle_t* handle) {
  *handle = reinterpret_cast<cublasLtHandle_t>(uintptr_t{16});
  return CUBLAS_STATUS_SUCCESS;
}
size_t version() {
  return CUBLAS_VER_MAJOR * 10000;
}
cublasStatus_t destroy(cublasLtHandle_t) {
  return CUBLAS_STATUS_SUCCESS;
}
const char* status_string(cublasStatus_t status) {
  return status == CUBLAS_STATUS_NOT_SUPPORTED ? "not supported" : "refused";
}

cublasStatus_t create_product(cublasLtMatmulDesc_t* desc, cublasComputeType_t compute,
                              cudaDataType_t) {
  *desc = reinterpret_cast<cublasLtMatmulDesc_t>(new Product{.compute = compute});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t destroy_product(cublasLtMatmulDesc_t desc) {
  delete &product_of(desc);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set_product(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                           const void* value, size_t bytes) {
  Product& product = product_of(desc);
  const auto set = [&](auto& into) {
    if (bytes != sizeof into) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&into, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(product.a);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(product.b);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(product.epilogue);
    case CUBLASLT_MATMUL_DESC_BIAS_POINTER:
      return set(product.bias);
    default:
      return CUBLAS_STATUS_NOT_SUPPORTED;
  }
}

cublasStatus_t create_layout(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                             uint64_t columns, int64_t ld) {
  *layout = reinterpret_cast<cublasLtMatrixLayout_t>(new Layout{type, rows, columns, ld});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t destroy_layout(cublasLtMatrixLayout_t layout) {
  delete &layout_of(layout);
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t create_preference(cublasLtMatmulPreference_t* preference) {
  *preference = reinterpret_cast<cublasLtMatmulPreference_t>(uintptr_t{16});
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t destroy_preference(cublasLtMatmulPreference_t) {
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t set_preference(cublasLtMatmulPreference_t, cublasLtMatmulPreferenceAttributes_t,
                              const void*, size_t) {
  return CUBLAS_STATUS_SUCCESS;
}

bool fits(const Product& product, const Layout& a, const Layout& b, const Layout& d) {
  const bool ta = product.a == CUBLAS_OP_T, tb = product.b == CUBLAS_OP_T;
  const uint64_t m = ta ? a.columns : a.rows, k = ta ? a.rows : a.columns;
  const uint64_t kb = tb ? b.columns : b.rows, n = tb ? b.rows : b.columns;
  const bool known =
      product.epilogue == CUBLASLT_EPILOGUE_DEFAULT || product.epilogue == CUBLASLT_EPILOGUE_BIAS;
  return known && k == kb && d.rows == m && d.columns == n && m > 0 && n > 0 && k > 0 &&
         a.type == b.type && d.type == CUDA_R_32F && a.ld >= static_cast<int64_t>(a.rows) &&
         b.ld >= static_cast<int64_t>(b.rows) && d.ld >= static_cast<int64_t>(d.rows);
}

cublasStatus_t find_algorithm(cublasLtHandle_t, cublasLtMatmulDesc_t desc, cublasLtMatrixLayout_t a,
                              cublasLtMatrixLayout_t b, cublasLtMatrixLayout_t,
                              cublasLtMatrixLayout_t d, cublasLtMatmulPreference_t, int,
                              cublasLtMatmulHeuristicResult_t* results, int* found) {
  *found = fits(product_of(desc), layout_of(a), layout_of(b), layout_of(d)) ? 1 : 0;
  results[0] = {};
  return *found == 1 ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

// To the nearest, halves to even, of 23 - `kept` bits.
float rounded(float value, int kept) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const int dropped = 23 - kept;
  const uint32_t even = (bits >> dropped) & 1u;
  const uint32_t half = (1u << (dropped - 1)) - 1 + even;
  return std::bit_cast<float>((bits + half) & ~((1u << dropped) - 1));
}

// Of a factor, as the tensor cores take it.
float value_at(const void* data, const Layout& layout, cublasComputeType_t compute, uint64_t row,
               uint64_t column) {
  const uint64_t at = column * static_cast<uint64_t>(layout.ld) + row;
  if (layout.type == CUDA_R_16BF) {
    const uint32_t bits = static_cast<const uint16_t*>(data)[at];
    return std::bit_cast<float>(bits << 16);
  }
  const float value = static_cast<const float*>(data)[at];
  const bool whole = compute != CUBLAS_COMPUTE_32F_FAST_TF32 || !std::isfinite(value);
  return whole ? value : rounded(value, 10);
}

bool is_aligned(const void* memory) {
  return reinterpret_cast<uintptr_t>(memory) % 16 == 0;
}

cublasStatus_t matmul(cublasLtHandle_t, cublasLtMatmulDesc_t desc, const void* alpha, const void* a,
                      cublasLtMatrixLayout_t a_layout, const void* b,
                      cublasLtMatrixLayout_t b_layout, const void* beta, const void* c,
                      cublasLtMatrixLayout_t, void* d, cublasLtMatrixLayout_t d_layout,
                      const cublasLtMatmulAlgo_t*, void* workspace, size_t workspace_bytes,
                      cudaStream_t stream) {
  const Product product = product_of(desc);
  const Layout la = layout_of(a_layout), lb = layout_of(b_layout), ld = layout_of(d_layout);
  const bool with_bias = product.epilogue == CUBLASLT_EPILOGUE_BIAS;
  const bool plain =
      *static_cast<const float*>(alpha) == 1 && *static_cast<const float*>(beta) == 0;
  if (!fits(product, la, lb, ld) || !plain || c != d) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (!is_aligned(a) || !is_aligned(b) || !is_aligned(d) ||
      (with_bias && !is_aligned(product.bias))) {
    return CUBLAS_STATUS_NOT_SUPPORTED;
  }
  put(stream, [=] {
    std::memset(workspace, 0xcd, std::min<size_t>(workspace_bytes, 4096));
    const bool ta = product.a == CUBLAS_OP_T, tb = product.b == CUBLAS_OP_T;
    const uint64_t depth = ta ? la.rows : la.columns;
    std::vector<float> row(depth);
    for (uint64_t i = 0; i < ld.rows; ++i) {
      for (uint64_t k = 0; k < depth; ++k) {
        row[k] = value_at(a, la, product.compute, ta ? k : i, ta ? i : k);
      }
      for (uint64_t j = 0; j < ld.columns; ++j) {
        float sum = 0;
        for (uint64_t k = 0; k < depth; ++k) {
          sum += row[k] * value_at(b, lb, product.compute, tb ? j : k, tb ? k : j);
        }
        static_cast<float*>(d)[j * static_cast<uint64_t>(ld.ld) + i] =
            sum + (with_bias ? product.bias[i] : 0.0f);
      }
    }
  });
  return CUBLAS_STATUS_SUCCESS;
}

}  // namespace
}  // namespace emulated_gpu

namespace ballast::cuda {

Result<const CublasLibrary*> CublasLibrary::load() {
  using namespace emulated_gpu;  // NOLINT: its functions, by the names of the fields
  static const CublasLibrary library{.create = emulated_gpu::create,
                                     .destroy = emulated_gpu::destroy,
                                     .status_string = emulated_gpu::status_string,
                                     .version = emulated_gpu::version,
                                     .matmul = emulated_gpu::matmul,
                                     .find_algorithm = emulated_gpu::find_algorithm,
                                     .create_product = emulated_gpu::create_product,
                                     .destroy_product = emulated_gpu::destroy_product,
                                     .set_product = emulated_gpu::set_product,
                                     .create_layout = emulated_gpu::create_layout,
                                     .destroy_layout = emulated_gpu::destroy_layout,
                                     .create_preference = emulated_gpu::create_preference,
                                     .destroy_preference = emulated_gpu::destroy_preference,
                                     .set_preference = emulated_gpu::set_preference};
  return &library;
}

}  // namespace ballast::cuda
