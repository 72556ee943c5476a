#include "common/compute/backend.h"

#include "common/base/check.h"
#include "common/compute/cpu/open_cpu.h"
#include "common/compute/cuda/open_cuda.h"

namespace ballast {

Matrix DeviceBuffer::matrix(uint32_t rows, uint32_t columns) const {
  BALLAST_CHECK(size_t{rows} * columns <= floats_);
  return {device_data_.get(), rows, columns};
}

StoredMatrix DeviceBuffer::stored(StoredType type, uint32_t rows, uint32_t columns) const {
  const StoredMatrix matrix{reinterpret_cast<std::byte*>(device_data_.get()), type, rows, columns};
  BALLAST_CHECK(matrix.bytes() <= floats_ * sizeof(float));
  return matrix;
}

Indices DeviceBuffer::indices(size_t count) const {
  static_assert(sizeof(uint32_t) == sizeof(float));
  BALLAST_CHECK(count <= floats_);
  return {reinterpret_cast<uint32_t*>(device_data_.get()), count};
}

BackendOptions backend_options(const JobConfig& job, uint32_t worker) {
  return {.threads = job.cluster.threads_per_worker,
          .precision = job.train.precision,
          .worker = worker,
          .devices = job.cluster.devices,
          .memory = job.cluster.device_memory};
}

Status check_device(Device device, uint32_t devices) {
  return device == Device::kCuda ? cuda::check_device(devices) : cpu::check_device();
}

Result<std::unique_ptr<Backend>> make_backend(Device device, const BackendOptions& options) {
  if (device == Device::kCuda) return cuda::open_backend(options);
  return cpu::open_backend(options);
}

}  // namespace ballast
