// StepWeights: the weights of a step on their way to the device. What servers sent goes on at once,
// part by part, while the rest is waited for. What they send while a step with older weights is
// computed is copied meanwhile to where it leaves from, and leaves after that step. A parameter
// that was written on the host goes whole, before its layer's next use. Where the device computes
// on host memory there is no way to go. Owner thread: the computing thread.
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
  // What take() does, in two parts: stage() copies, while passes go on that are not to see the
  // values, and send_staged() lets all that was copied go. can_stage(): the host side of the
  // parameter is where nothing under way reads.
  [[nodiscard]] bool can_stage(uint32_t parameter);
  void stage(uint32_t parameter, size_t first, std::span<const std::byte> values);
  void send_staged();
  // Lets what is put on the compute stream from now on see the newest weights of the layer.
  void put(uint32_t layer);

 private:
  struct Layer {
    EventId arrived;
    bool coming = false;  // parts that the compute stream does not wait for yet
  };
  struct Part {
    uint32_t layer = 0;
    Model::WeightsPart weights;
  };

  Part copy(uint32_t parameter, size_t first, std::span<const std::byte> values);
  void send(const Part& part);

  StepStreams& streams_;
  Model& model_;
  std::vector<Layer> layers_;
  std::vector<Part> staged_;
};

}  // namespace ballast
