#include "common/compute/backend.h"

#include "common/base/check.h"
#include "common/compute/cpu/cpu_backend.h"

namespace ballast {

Matrix DeviceBuffer::matrix(uint32_t rows, uint32_t columns) const {
  BALLAST_CHECK(size_t{rows} * columns <= floats_);
  return {device_data_.get(), rows, columns};
}

bool needs_input(Activation activation) {
  return activation == Activation::kGelu;
}

Status check_device(Device device) {
  if (device == Device::kCpu) return {};
  return Status(Code::kInvalidInput,
                "device cuda: this build has no CUDA back end; set cluster.device = \"cpu\"");
}

Result<std::unique_ptr<Backend>> make_backend(Device device, const BackendOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_device(device));
  return std::unique_ptr<Backend>(std::make_unique<cpu::CpuBackend>(options));
}

}  // namespace ballast
