// Failure: the first error of a device. Operations put on a stream cannot fail on their own; what
// went wrong is told by the next synchronize(). Owner thread: the back end's.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "common/base/status.h"

namespace ballast::cuda {

class Failure {
 public:
  // True: no error. `what`: "copy to the device".
  bool note(cudaError_t error, const char* what);
  void note(Status status);
  [[nodiscard]] const Status& status() const { return status_; }

 private:
  Status status_;
};

}  // namespace ballast::cuda
