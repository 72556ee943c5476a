// StepWeights: the weights of a step on their way to the device. What servers sent goes on at once,
// part by part, while the rest is waited for; a parameter that was written on the host goes whole,
// before its layer's next use. Where the device computes on host memory there is no way to go.
// Owner thread: the computing thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "common/compute/backend.h"
#include "worker/model/model.h"
#include "worker/step_streams.h"

namespace ballast {

class StepWeights {
 public:
  // Both outlive it.
  StepWeights(StepStreams& streams, Model& model);

  // Copies float32 values into the host side of a parameter from element `first` on, and puts them
  // on their way. Older ones may still be on theirs, from the same host memory: whatever arrives of
  // those, the new ones arrive after it.
  void take(uint32_t parameter, size_t first, std::span<const std::byte> values);
  // Lets what is put on the compute stream from now on see the newest weights of the layer.
  void put(uint32_t layer);

 private:
  struct Layer {
    EventId arrived;
    bool coming = false;  // parts that the compute stream does not wait for yet
  };

  StepStreams& streams_;
  Model& model_;
  std::vector<Layer> layers_;
};

}  // namespace ballast
