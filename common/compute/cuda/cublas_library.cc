#include "common/compute/cuda/cublas_library.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <string>

namespace ballast::cuda {
namespace {

Status missing(const std::string& what) {
  return Status(Code::kInvalidInput,
                fmt::format("device cuda: {}; install the CUDA {} libraries, or name their folder "
                            "in LD_LIBRARY_PATH, or set cluster.device = \"cpu\"",
                            what, CUBLAS_VER_MAJOR));
}

template <typename Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Result<CublasLibrary> load_now() {
  const std::string name = fmt::format("libcublasLt.so.{}", CUBLAS_VER_MAJOR);
  void* file = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  const std::string reason = file == nullptr ? dlerror() : "";
  // Where NVIDIA's packages put it, which is not always among the folders the loader searches.
  if (file == nullptr) {
    file = dlopen(("/usr/local/cuda/lib64/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (file == nullptr) return missing(fmt::format("{} expected, {}", name, reason));
  CublasLibrary library;
  const bool all = find(file, "cublasLtCreate", library.create) &&
                   find(file, "cublasLtDestroy", library.destroy) &&
                   find(file, "cublasLtGetStatusString", library.status_string) &&
                   find(file, "cublasLtGetVersion", library.version) &&
                   find(file, "cublasLtMatmul", library.matmul) &&
                   find(file, "cublasLtMatmulAlgoGetHeuristic", library.find_algorithm) &&
                   find(file, "cublasLtMatmulDescCreate", library.create_product) &&
                   find(file, "cublasLtMatmulDescDestroy", library.destroy_product) &&
                   find(file, "cublasLtMatmulDescSetAttribute", library.set_product) &&
                   find(file, "cublasLtMatrixLayoutCreate", library.create_layout) &&
                   find(file, "cublasLtMatrixLayoutDestroy", library.destroy_layout) &&
                   find(file, "cublasLtMatmulPreferenceCreate", library.create_preference) &&
                   find(file, "cublasLtMatmulPreferenceDestroy", library.destroy_preference) &&
                   find(file, "cublasLtMatmulPreferenceSetAttribute", library.set_preference);
  if (!all) return missing(fmt::format("{} lacks a function: {}", name, dlerror()));
  return library;
}

}  // namespace

Result<const CublasLibrary*> CublasLibrary::load() {
  static const Result<CublasLibrary> loaded = load_now();
  if (!loaded.ok()) return loaded.status();
  return &loaded.value();
}

}  // namespace ballast::cuda
