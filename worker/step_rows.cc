#include "worker/step_rows.h"

#include "common/base/check.h"

namespace ballast {
namespace {

bool are_same(const StepRows& a, const StepRows& b) {
  const auto same = [](auto one, auto other) {
    return one.data() == other.data() && one.size() == other.size();
  };
  return a.rows == b.rows && same(a.features, b.features) && same(a.labels, b.labels) &&
         same(a.weights, b.weights) && same(a.stored_features, b.stored_features);
}

}  // namespace

RowUploads::RowUploads(StepStreams& streams, uint32_t input_width, uint32_t label_width,
                       uint32_t rows_max)
    : streams_(streams),
      input_width_(input_width),
      label_width_(label_width),
      rows_max_(rows_max) {}

Status RowUploads::allocate(const StoredFeatures* stored) {
  const size_t rows = rows_max_;
  for (Memory& memory : memory_) {
    if (streams_.copies || stored != nullptr) {
      BALLAST_ASSIGN(memory.features, streams_.backend.allocate(rows * input_width_));
    }
    if (!streams_.copies) continue;
    BALLAST_ASSIGN(memory.labels, streams_.backend.allocate(rows * label_width_));
    BALLAST_ASSIGN(memory.row_weights, streams_.backend.allocate(rows));
    memory.arrived = streams_.backend.create_event();
    memory.computed = streams_.backend.create_event();
  }
  return stored == nullptr ? Status() : allocate_stored(*stored);
}

Status RowUploads::allocate_stored(const StoredFeatures& stored) {
  Backend& backend = streams_.backend;
  const size_t bytes = size_t{rows_max_} * input_width_ * bytes_of(stored.type);
  for (Memory& memory : memory_) {
    if (!streams_.copies) break;
    BALLAST_ASSIGN(memory.stored_features,
                   backend.allocate((bytes + sizeof(float) - 1) / sizeof(float)));
  }
  const auto columns = static_cast<uint32_t>(stored.center.size());
  BALLAST_CHECK(columns <= 1 || columns == input_width_);
  scaling_.emplace();
  scaling_->type = stored.type;
  scaling_->columns = columns;
  if (columns == 0) return Status();
  const auto put = [&](const std::vector<float>& values, DeviceBuffer& memory) {
    BALLAST_CHECK(values.size() == columns);
    BALLAST_ASSIGN(memory, backend.allocate(columns));
    backend.upload(streams_.compute, values, memory.matrix(1, columns));
    return backend.synchronize(streams_.compute);
  };
  BALLAST_RETURN_IF_ERROR(put(stored.center, scaling_->center));
  BALLAST_RETURN_IF_ERROR(put(stored.factor, scaling_->factor));
  return put(stored.shift, scaling_->shift);
}

DeviceRows RowUploads::take(const StepRows& batch, bool training) {
  Memory& memory = memory_of(++passes_);
  const bool is_here = training && prefetched_ && are_same(prefetched_->batch, batch);
  Sent sent = is_here ? *prefetched_ : put(batch, training, memory, DeviceTrace::Of::kThisPass);
  prefetched_.reset();
  if (streams_.copies) streams_.backend.wait(streams_.compute, memory.arrived);
  if (sent.stored) sent.rows.features = convert(*sent.stored, memory);
  return sent.rows;
}

void RowUploads::end_pass() {
  if (streams_.copies) streams_.backend.record(memory_of(passes_).computed, streams_.compute);
}

bool RowUploads::prefetch(const StepRows& batch) {
  if (!streams_.copies) return false;
  prefetched_ = put(batch, true, memory_of(passes_ + 1), DeviceTrace::Of::kNextPass);
  return true;
}

RowUploads::Sent RowUploads::put(const StepRows& batch, bool training, Memory& memory,
                                 DeviceTrace::Of pass) {
  BALLAST_CHECK(batch.rows > 0 && batch.rows <= rows_max_);
  Sent sent{batch, {}, {}};
  if (streams_.copies) streams_.backend.wait(streams_.uploads, memory.computed);
  {
    const DeviceTrace::Part part(streams_.copies ? streams_.trace.get() : nullptr, streams_.uploads,
                                 pass == DeviceTrace::Of::kNextPass ? "prefetch" : "upload",
                                 DeviceTrace::kNoLayer, pass);
    if (!batch.stored_features.empty()) {
      sent.stored = put_stored(batch, memory);
    } else {
      sent.rows.features = put_floats(batch.features, batch.rows, input_width_, memory.features);
    }
    if (!batch.labels.empty()) {
      sent.rows.labels = put_floats(batch.labels, batch.rows, label_width_, memory.labels);
    }
    if (training && !batch.weights.empty()) {
      sent.rows.row_weights = put_floats(batch.weights, 1, batch.rows, memory.row_weights);
    }
  }
  if (streams_.copies) streams_.backend.record(memory.arrived, streams_.uploads);
  return sent;
}

StoredMatrix RowUploads::put_stored(const StepRows& batch, Memory& memory) {
  BALLAST_CHECK(scaling_ && batch.features.empty());
  const std::span<const std::byte> host = batch.stored_features;
  StoredMatrix stored{nullptr, scaling_->type, batch.rows, input_width_};
  BALLAST_CHECK(host.size() == stored.bytes());
  if (streams_.copies) {
    stored = memory.stored_features.stored(stored.type, stored.rows, stored.columns);
    streams_.backend.upload(streams_.uploads, host, stored);
  } else {
    stored.device_data = const_cast<std::byte*>(host.data());  // the back end only reads it
  }
  return stored;
}

ConstMatrix RowUploads::convert(StoredMatrix stored, Memory& memory) {
  const auto row = [&](const DeviceBuffer& values) {
    return scaling_->columns == 0 ? ConstMatrix() : values.matrix(1, scaling_->columns);
  };
  const DeviceTrace::Part part(streams_.trace.get(), streams_.compute, "convert");
  const Matrix floats = memory.features.matrix(stored.rows, stored.columns);
  streams_.backend.convert(streams_.compute, stored, row(scaling_->center), row(scaling_->factor),
                           row(scaling_->shift), floats);
  return floats;
}

ConstMatrix RowUploads::put_floats(std::span<const float> host, uint32_t rows, uint32_t columns,
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
