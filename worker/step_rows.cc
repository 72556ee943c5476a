#include "worker/step_rows.h"

#include "common/base/check.h"

namespace ballast {

RowUploads::RowUploads(StepStreams& streams, uint32_t input_width, uint32_t label_width,
                       uint32_t rows_max)
    : streams_(streams),
      input_width_(input_width),
      label_width_(label_width),
      rows_max_(rows_max) {}

Status RowUploads::allocate() {
  if (!streams_.copies) return Status();
  const size_t rows = rows_max_;
  for (Memory& memory : memory_) {
    BALLAST_ASSIGN(memory.features, streams_.backend.allocate(rows * input_width_));
    BALLAST_ASSIGN(memory.labels, streams_.backend.allocate(rows * label_width_));
    BALLAST_ASSIGN(memory.row_weights, streams_.backend.allocate(rows));
    memory.arrived = streams_.backend.create_event();
  }
  return Status();
}

DeviceRows RowUploads::take(const StepRows& batch, bool training) {
  BALLAST_CHECK(batch.rows > 0 && batch.rows <= rows_max_);
  Memory& memory = memory_[++passes_ % 2];
  DeviceRows rows;
  {
    const DeviceTrace::Part part(streams_.copies ? streams_.trace.get() : nullptr, streams_.uploads,
                                 "upload");
    rows.features = put(batch.features, batch.rows, input_width_, memory.features);
    if (!batch.labels.empty()) {
      rows.labels = put(batch.labels, batch.rows, label_width_, memory.labels);
    }
    if (training && !batch.weights.empty()) {
      rows.row_weights = put(batch.weights, 1, batch.rows, memory.row_weights);
    }
  }
  if (!streams_.copies) return rows;
  streams_.backend.record(memory.arrived, streams_.uploads);
  streams_.backend.wait(streams_.compute, memory.arrived);
  return rows;
}

ConstMatrix RowUploads::put(std::span<const float> host, uint32_t rows, uint32_t columns,
                            DeviceBuffer& memory) {
  BALLAST_CHECK(host.size() == size_t{rows} * columns);
  // The back end only reads through it.
  if (float* address = streams_.backend.device_address(const_cast<float*>(host.data()))) {
    return {address, rows, columns};
  }
  const Matrix copy = memory.matrix(rows, columns);
  streams_.backend.upload(streams_.uploads, host, copy);
  return copy;
}

}  // namespace ballast
