// CublasLibrary: cuBLASLt, loaded when the first GPU back end is opened and not before: programs
// start on machines without it, and its half gigabyte is the host's, unless a bundle has it in
// lib/. Loaded once, never dropped. Any thread.
#pragma once

#include <cublasLt.h>

#include "common/base/status.h"

namespace ballast::cuda {

struct CublasLibrary {
  decltype(&cublasLtCreate) create = nullptr;
  decltype(&cublasLtDestroy) destroy = nullptr;
  decltype(&cublasLtGetStatusString) status_string = nullptr;
  decltype(&cublasLtGetVersion) version = nullptr;
  decltype(&cublasLtMatmul) matmul = nullptr;
  decltype(&cublasLtMatmulAlgoGetHeuristic) find_algorithm = nullptr;
  decltype(&cublasLtMatmulDescCreate) create_product = nullptr;
  decltype(&cublasLtMatmulDescDestroy) destroy_product = nullptr;
  decltype(&cublasLtMatmulDescSetAttribute) set_product = nullptr;
  decltype(&cublasLtMatrixLayoutCreate) create_layout = nullptr;
  decltype(&cublasLtMatrixLayoutDestroy) destroy_layout = nullptr;
  decltype(&cublasLtMatmulPreferenceCreate) create_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceDestroy) destroy_preference = nullptr;
  decltype(&cublasLtMatmulPreferenceSetAttribute) set_preference = nullptr;

  // kInvalidInput: it is not there, or lacks a function; says what was looked for and why not.
  static Result<const CublasLibrary*> load();
};

}  // namespace ballast::cuda
