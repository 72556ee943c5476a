#include "common/compute/cuda/gemm.h"

#include <fmt/format.h>

#include "common/base/check.h"

namespace ballast::cuda {
namespace {

constexpr size_t kWorkBytes = 32u << 20;  // what NVIDIA recommends for Hopper
constexpr uint32_t kAlignment = 16;

// Of Scratch::operands.
enum Operand : size_t { kA, kB, kC, kVector, kZ, kOperands };

bool is_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % kAlignment == 0;
}

cublasLtEpilogue_t epilogue_of(Product::Epilogue epilogue) {
  switch (epilogue) {
    case Product::Epilogue::kNone:
      return CUBLASLT_EPILOGUE_DEFAULT;
    case Product::Epilogue::kBias:
      return CUBLASLT_EPILOGUE_BIAS;
    case Product::Epilogue::kRelu:
      return CUBLASLT_EPILOGUE_RELU;
    case Product::Epilogue::kBiasRelu:
      return CUBLASLT_EPILOGUE_RELU_BIAS;
    case Product::Epilogue::kBiasGelu:
      return CUBLASLT_EPILOGUE_GELU_AUX_BIAS;
    case Product::Epilogue::kBiasGradient:
      return CUBLASLT_EPILOGUE_BGRADA;  // the library's A is our b
  }
  return CUBLASLT_EPILOGUE_DEFAULT;
}

}  // namespace

struct Gemm::Plan {
  explicit Plan(const CublasLibrary& from) : library(from) {}
  ~Plan() {
    if (c != nullptr) library.destroy_layout(c);
    if (b != nullptr) library.destroy_layout(b);
    if (a != nullptr) library.destroy_layout(a);
    if (product != nullptr) library.destroy_product(product);
  }
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  const CublasLibrary& library;
  cublasLtMatmulDesc_t product = nullptr;
  cublasLtMatrixLayout_t a = nullptr, b = nullptr, c = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
};

Result<std::unique_ptr<Gemm>> Gemm::create(Failure& failure) {
  BALLAST_ASSIGN(const CublasLibrary* library, CublasLibrary::load());
  std::unique_ptr<Gemm> gemm(new Gemm(*library, failure));
  const cublasStatus_t status = library->create(&gemm->handle_);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return Status(Code::kExhausted,
                  fmt::format("device cuda: cuBLASLt: {}", library->status_string(status)));
  }
  return gemm;
}

Gemm::Gemm(const CublasLibrary& library, Failure& failure) : library_(library), failure_(failure) {}

Gemm::~Gemm() {
  plans_.clear();
  for (const auto& [stream, scratch] : scratch_) {
    cudaFree(scratch.work);
    for (const auto& [memory, bytes] : scratch.operands) cudaFree(memory);
  }
  if (handle_ != nullptr) library_.destroy(handle_);
}

bool Gemm::note(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return true;
  failure_.note(Status(Code::kUnavailable, fmt::format("device cuda: cuBLASLt, {}: {}", what,
                                                       library_.status_string(status))));
  return false;
}

std::unique_ptr<Gemm::Plan> Gemm::make_plan(const Product& product) {
  auto plan = std::make_unique<Plan>(library_);
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const auto& value) {
    return note(library_.set_product(plan->product, attribute, &value, sizeof value),
                "describe a product");
  };
  const auto lay_out = [&](cublasLtMatrixLayout_t& layout, ConstMatrix m) {
    return note(library_.create_layout(&layout, CUDA_R_32F, m.columns, m.rows, m.columns),
                "describe a matrix");
  };
  const cublasOperation_t a = product.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t b = product.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue = epilogue_of(product.epilogue);
  bool described = note(library_.create_product(&plan->product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                        "describe a product") &&
                   set(CUBLASLT_MATMUL_DESC_TRANSA, a) && set(CUBLASLT_MATMUL_DESC_TRANSB, b) &&
                   set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue) && lay_out(plan->a, product.b) &&
                   lay_out(plan->b, product.a) && lay_out(plan->c, product.c);
  if (described && product.epilogue == Product::Epilogue::kBiasGelu) {
    const int64_t columns = product.c.columns;
    described = set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, columns);
  }
  if (!described) return nullptr;

  cublasLtMatmulPreference_t preference = nullptr;
  if (!note(library_.create_preference(&preference), "choose an algorithm")) return nullptr;
  const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, const auto& value) {
    note(library_.set_preference(preference, attribute, &value, sizeof value),
         "choose an algorithm");
  };
  prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkBytes);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, kAlignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, kAlignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, kAlignment);
  prefer(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, kAlignment);
  cublasLtMatmulHeuristicResult_t best{};
  int found = 0;
  const cublasStatus_t status = library_.find_algorithm(
      handle_, plan->product, plan->a, plan->b, plan->c, plan->c, preference, 1, &best, &found);
  library_.destroy_preference(preference);
  if (status != CUBLAS_STATUS_SUCCESS || found == 0) return nullptr;
  plan->algorithm = best.algo;
  return plan;
}

Gemm::Plan* Gemm::plan_for(const Product& product) {
  const uint32_t k = product.a_transposed ? product.a.rows : product.a.columns;
  const Key key{product.a_transposed, product.b_transposed, product.c.rows, product.c.columns, k,
                product.epilogue};
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second.get();
  return plans_.emplace(key, make_plan(product)).first->second.get();
}

Gemm::Scratch* Gemm::scratch_of(cudaStream_t stream) {
  Scratch& scratch = scratch_[stream];
  scratch.operands.resize(kOperands);
  if (scratch.work == nullptr &&
      !failure_.note(cudaMalloc(&scratch.work, kWorkBytes), "memory for matrix products")) {
    return nullptr;
  }
  return &scratch;
}

// Null: there is no memory, and the failure is noted.
float* Gemm::room(Scratch& scratch, size_t operand, size_t floats) {
  auto& [memory, bytes] = scratch.operands[operand];
  if (bytes < floats * sizeof(float)) {
    cudaFree(memory);  // waits for what uses it
    memory = nullptr;
    bytes = 0;
    if (!failure_.note(cudaMalloc(&memory, floats * sizeof(float)), "memory for an operand")) {
      return nullptr;
    }
    bytes = floats * sizeof(float);
  }
  return static_cast<float*>(memory);
}

const float* Gemm::aligned(cudaStream_t stream, Scratch& scratch, size_t operand,
                           ConstMatrix matrix) {
  if (is_aligned(matrix.device_data)) return matrix.device_data;
  float* copy = room(scratch, operand, matrix.size());
  if (copy == nullptr) return nullptr;
  failure_.note(cudaMemcpyAsync(copy, matrix.device_data, matrix.size() * sizeof(float),
                                cudaMemcpyDeviceToDevice, stream),
                "align an operand");
  return copy;
}

bool Gemm::multiply(cudaStream_t stream, const Product& product) {
  Plan* plan = plan_for(product);
  if (plan == nullptr) return false;
  Scratch* scratch = scratch_of(stream);
  if (scratch == nullptr) return true;
  const uint32_t n = product.c.columns;
  const auto room_for = [&](size_t operand, float* out, size_t floats) {
    return out == nullptr || is_aligned(out) ? out : room(*scratch, operand, floats);
  };
  const float* a = aligned(stream, *scratch, kA, product.a);
  const float* b = aligned(stream, *scratch, kB, product.b);
  float* c = room_for(kC, product.c.device_data, product.c.size());
  float* z = room_for(kZ, product.z, product.c.size());
  float* gradient = room_for(kVector, product.bias_gradient, n);
  const float* vector = gradient;
  if (product.bias != nullptr) vector = aligned(stream, *scratch, kVector, {product.bias, 1, n});
  if (!failure_.status().ok()) return true;
  const auto set = [&](cublasLtMatmulDescAttributes_t attribute, const void* address) {
    if (address == nullptr) return;
    note(library_.set_product(plan->product, attribute, &address, sizeof address),
         "describe a product");
  };
  set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, vector);
  set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, z);
  const float one = 1, zero = 0;
  note(library_.matmul(handle_, plan->product, &one, b, plan->a, a, plan->b, &zero, c, plan->c, c,
                       plan->c, &plan->algorithm, scratch->work, kWorkBytes, stream),
       "multiply");
  const auto bring_back = [&](const float* from, float* to, size_t floats) {
    if (from == to) return;
    failure_.note(
        cudaMemcpyAsync(to, from, floats * sizeof(float), cudaMemcpyDeviceToDevice, stream),
        "bring a result to where it belongs");
  };
  bring_back(c, product.c.device_data, product.c.size());
  bring_back(z, product.z, product.c.size());
  bring_back(gradient, product.bias_gradient, n);
  return true;
}

}  // namespace ballast::cuda
