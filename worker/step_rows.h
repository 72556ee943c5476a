// RowUploads: the rows of a pass on their way to the device. Two passes have memory of their own,
// so that the rows of the next arrive while the last is computed; where the device computes on host
// memory there is none, and the views are of the host's. Features that come as they are stored
// become floats on the device, first on the compute stream. Owner thread: the computing thread.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "common/base/status.h"
#include "common/compute/backend.h"
#include "worker/step_streams.h"
#include "worker/train_step.h"

namespace ballast {

// Views of the rows, for what is put on the compute stream.
struct DeviceRows {
  ConstMatrix features;     // [rows, input_width]
  ConstMatrix labels;       // [rows, label_width]
  ConstMatrix row_weights;  // [1, rows], or empty: every row weighs 1
};

class RowUploads {
 public:
  // `streams` outlives it.
  RowUploads(StepStreams& streams, uint32_t input_width, uint32_t label_width, uint32_t rows_max);
  // `stored`: features may come so; null: they are floats. kExhausted: no memory on the device.
  [[nodiscard]] Status allocate(const StoredFeatures* stored);

  // Puts the rows on their way, unless they are already, and lets the compute stream wait for them.
  // They come into the memory that the pass before the last one used, once that one is computed.
  // Rows without labels are of a prediction; weights are needed for training only.
  [[nodiscard]] DeviceRows take(const StepRows& batch, bool training);
  // All of the pass that took the last rows is on the compute stream.
  void end_pass();
  // Between end_pass() and the next take(): puts the rows of training that this is likely to be
  // asked for on their way. They stay as they are until the next pass is computed, or the streams
  // are empty and forget_prefetched() was called. False: there is no way to go.
  bool prefetch(const StepRows& batch);
  void forget_prefetched() { prefetched_.reset(); }
  // Which memory the last ones are in: 0 or 1.
  [[nodiscard]] uint32_t place() const { return passes_ % 2; }

 private:
  struct Memory {
    DeviceBuffer features;
    DeviceBuffer stored_features;
    DeviceBuffer labels;
    DeviceBuffer row_weights;
    EventId arrived;
    EventId computed;  // the pass that used it last
  };

  // On the device: how floats are made of what is stored, each [1, input_width], [1, 1] or empty.
  struct Scaling {
    StoredType type = StoredType::kU8;
    DeviceBuffer center, factor, shift;
    uint32_t columns = 0;
  };

  // Where the rows of a pass are, or come to.
  struct Sent {
    StepRows batch;
    DeviceRows rows;                     // its features are empty where `stored` has them
    std::optional<StoredMatrix> stored;  // to be converted
  };

  Status allocate_stored(const StoredFeatures& stored);
  [[nodiscard]] Memory& memory_of(uint32_t pass) { return memory_[pass % 2]; }
  Sent put(const StepRows& batch, bool training, Memory& memory, DeviceTrace::Of pass);
  StoredMatrix put_stored(const StepRows& batch, Memory& memory);
  ConstMatrix put_floats(std::span<const float> host, uint32_t rows, uint32_t columns,
                         DeviceBuffer& memory);
  ConstMatrix convert(StoredMatrix stored, Memory& memory);

  StepStreams& streams_;
  const uint32_t input_width_;
  const uint32_t label_width_;
  const uint32_t rows_max_;
  Memory memory_[2];
  std::optional<Scaling> scaling_;  // features may come as they are stored
  uint32_t passes_ = 0;
  std::optional<Sent> prefetched_;
};

}  // namespace ballast
