// In place of cuda/, where there is no CUDA Toolkit or BALLAST_CUDA is OFF.
#include "common/compute/cuda/open_cuda.h"

namespace ballast::cuda {

Status check_device(uint32_t /*devices*/) {
  return Status(Code::kInvalidInput,
                "device cuda: this build has no CUDA back end; build it where the CUDA Toolkit is, "
                "or set cluster.device = \"cpu\"");
}

Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& /*options*/) {
  return check_device(0);
}

}  // namespace ballast::cuda
