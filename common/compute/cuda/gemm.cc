#include "common/compute/cuda/gemm.h"

#include <fmt/format.h>

#include "common/base/check.h"
#include "common/compute/cuda/kernels.h"

namespace ballast::cuda {
namespace {

constexpr size_t kWorkBytes = 32u << 20;  // what NVIDIA recommends for Hopper
constexpr uint32_t kAlignment = 16;

// Of Scratch::operands.
enum Operand : size_t { kA, kB, kC, kBias, kOperands };

bool is_aligned(const void* address) {
  return reinterpret_cast<uintptr_t>(address) % kAlignment == 0;
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

Result<std::unique_ptr<Gemm>> Gemm::create(Precision precision, DeviceMemory& memory,
                                           Failure& failure) {
  BALLAST_ASSIGN(const CublasLibrary* library, CublasLibrary::load());
  std::unique_ptr<Gemm> gemm(new Gemm(*library, precision, memory, failure));
  const cublasStatus_t status = library->create(&gemm->handle_);
  if (status != CUBLAS_STATUS_SUCCESS) {
    return Status(Code::kExhausted,
                  fmt::format("device cuda: cuBLASLt: {}", library->status_string(status)));
  }
  return gemm;
}

Gemm::Gemm(const CublasLibrary& library, Precision precision, DeviceMemory& memory,
           Failure& failure)
    : library_(library), precision_(precision), memory_(memory), failure_(failure) {}

Gemm::~Gemm() {
  plans_.clear();
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
  const auto lay_out = [&](cublasLtMatrixLayout_t& layout, cudaDataType_t type, ConstMatrix m) {
    return note(library_.create_layout(&layout, type, m.columns, m.rows, m.columns),
                "describe a matrix");
  };
  const cudaDataType_t factor_type = precision_ == Precision::kBf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute =
      precision_ == Precision::kTf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const cublasOperation_t a = product.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasOperation_t b = product.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N;
  const cublasLtEpilogue_t epilogue =
      product.bias == nullptr ? CUBLASLT_EPILOGUE_DEFAULT : CUBLASLT_EPILOGUE_BIAS;
  // The least aligned there may be: the choice must not depend on where the first one lay.
  const void* const any_bias = reinterpret_cast<const void*>(uintptr_t{kAlignment});
  bool described =
      note(library_.create_product(&plan->product, compute, CUDA_R_32F), "describe a product") &&
      set(CUBLASLT_MATMUL_DESC_TRANSA, a) && set(CUBLASLT_MATMUL_DESC_TRANSB, b) &&
      set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue) && lay_out(plan->a, factor_type, product.b) &&
      lay_out(plan->b, factor_type, product.a) && lay_out(plan->c, CUDA_R_32F, product.c);
  if (described && product.bias != nullptr) {
    described = set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, any_bias);
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

Gemm::Key Gemm::key_of(const Product& product) {
  const uint32_t k = product.a_transposed ? product.a.rows : product.a.columns;
  return {product.a_transposed,   product.b_transposed, product.c.rows, product.c.columns, k,
          product.bias != nullptr};
}

Gemm::Plan* Gemm::plan_for(const Product& product) {
  const Key key = key_of(product);
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second.get();
  return plans_.emplace(key, make_plan(product)).first->second.get();
}

// Null: there is no memory, and the failure is noted.
Gemm::Scratch* Gemm::scratch_of(cudaStream_t stream) {
  Scratch& scratch = scratch_[stream];
  scratch.operands.resize(kOperands);
  return room(scratch.work, kWorkBytes / sizeof(float)) == nullptr ? nullptr : &scratch;
}

// Null: there is no memory, and the failure is noted.
float* Gemm::room(DeviceBuffer& memory, size_t floats) {
  if (memory.floats() < floats) {
    if (keeps_outgrown_ && memory.floats() > 0) outgrown_.push_back(std::move(memory));
    memory = DeviceBuffer();  // before the larger one is taken
    Result<DeviceBuffer> larger = memory_.allocate(floats);
    if (!larger.ok()) {
      failure_.note(larger.status().because("for a matrix product"));
      return nullptr;
    }
    memory = std::move(larger).value();
  }
  return memory.matrix(1, 1).device_data;
}

const float* Gemm::aligned(cudaStream_t stream, Scratch& scratch, size_t operand,
                           ConstMatrix matrix) {
  if (is_aligned(matrix.device_data)) return matrix.device_data;
  float* copy = room(scratch.operands[operand], matrix.size());
  if (copy == nullptr) return nullptr;
  failure_.note(cudaMemcpyAsync(copy, matrix.device_data, matrix.size() * sizeof(float),
                                cudaMemcpyDeviceToDevice, stream),
                "align an operand");
  return copy;
}

// As the product takes it: aligned, and rounded where it is of bf16.
const void* Gemm::factor(cudaStream_t stream, Scratch& scratch, size_t operand,
                         ConstMatrix matrix) {
  if (precision_ != Precision::kBf16) return aligned(stream, scratch, operand, matrix);
  float* rounded = room(scratch.operands[operand], (matrix.size() + 1) / 2);  // two in a float
  if (rounded == nullptr) return nullptr;
  round_to_bf16(stream, matrix, rounded);
  failure_.note(cudaGetLastError(), "round an operand");
  return rounded;
}

bool Gemm::multiply(cudaStream_t stream, const Product& product) {
  Plan* plan = plan_for(product);
  if (plan == nullptr) return false;
  Scratch* scratch = scratch_of(stream);
  if (scratch == nullptr) return true;
  const void* a = factor(stream, *scratch, kA, product.a);
  const void* b = factor(stream, *scratch, kB, product.b);
  float* c = product.c.device_data;
  if (!is_aligned(c)) c = room(scratch->operands[kC], product.c.size());
  const void* bias = nullptr;
  if (product.bias != nullptr) {
    bias = aligned(stream, *scratch, kBias, {product.bias, 1, product.c.columns});
  }
  if (!failure_.status().ok()) return true;
  if (bias != nullptr) {
    note(library_.set_product(plan->product, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
         "describe a product");
  }
  const float one = 1, zero = 0;
  const cublasStatus_t status = library_.matmul(
      handle_, plan->product, &one, b, plan->a, a, plan->b, &zero, c, plan->c, c, plan->c,
      &plan->algorithm, scratch->work.matrix(1, 1).device_data, kWorkBytes, stream);
  // Refused after all: without the bias it may be done.
  if (status != CUBLAS_STATUS_SUCCESS && bias != nullptr && !in_graph_) {
    plans_[key_of(product)] = nullptr;
    return false;
  }
  note(status, "multiply");
  if (c != product.c.device_data) {
    failure_.note(cudaMemcpyAsync(product.c.device_data, c, product.c.size() * sizeof(float),
                                  cudaMemcpyDeviceToDevice, stream),
                  "bring a product to where it belongs");
  }
  return true;
}

}  // namespace ballast::cuda
