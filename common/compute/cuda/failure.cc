#include "common/compute/cuda/failure.h"

#include <fmt/format.h>

namespace ballast::cuda {

bool Failure::note(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return true;
  note(Status(Code::kUnavailable, fmt::format("device cuda: {}: {} ({})", what,
                                              cudaGetErrorString(error), cudaGetErrorName(error))));
  return false;
}

void Failure::note(Status status) {
  if (status_.ok()) status_ = std::move(status);
}

}  // namespace ballast::cuda
