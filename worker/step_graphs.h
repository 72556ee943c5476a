// StepGraphs: which steps of a model a device keeps as graphs: what is put on a stream by one call
// instead of some thirty. That pays where launching takes longer than computing, in small models;
// in large ones gradients had better leave layer by layer. A step is two graphs, forward with its
// losses and backward, so that the losses are known while backward goes on. Owner thread: the
// computing thread.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>

#include "common/compute/backend.h"
#include "common/config/job_config.h"

namespace ballast {

// What the arguments of a step's operations depend on, beside the model.
struct StepShape {
  uint32_t rows = 0;
  bool weighted = false;
  bool first = false;  // of a sum
  bool last = false;
  uint32_t place = 0;  // of the rows in memory
  auto operator<=>(const StepShape&) const = default;
};

class StepGraphs {
 public:
  // `stream` is of `backend`, which outlives it.
  StepGraphs(Backend& backend, StreamId stream, const ModelConfig& model, uint32_t input_width);

  // One by one: until a step of the shape has gone well that way, so that memory is taken and
  // algorithms are chosen; always where the step is too large, the model has dropout, which leaves
  // out something else in every step, the device could make no graph of it, or there are enough.
  enum class Way { kOneByOne, kKeep, kLaunch };
  [[nodiscard]] Way way(const StepShape& shape) const;
  // A step of the shape went well one by one.
  void went_well(const StepShape& shape);

  // Keeps what the two put on the stream. False: no graphs came of it, and none will.
  [[nodiscard]] bool keep(const StepShape& shape, const std::function<void()>& forward,
                          const std::function<void()>& backward);
  void launch_forward(const StepShape& shape);
  void launch_backward(const StepShape& shape);

 private:
  static constexpr size_t kShapesMax = 32;

  struct Known {
    bool refused = false;
    std::optional<GraphId> forward;
    std::optional<GraphId> backward;
  };

  [[nodiscard]] bool suits(const StepShape& shape) const;
  [[nodiscard]] std::optional<GraphId> graph_of(const std::function<void()>& work);

  Backend& backend_;
  const StreamId stream_;
  const double operations_per_row_;
  const bool possible_;
  std::map<StepShape, Known> known_;
  bool told_ = false;  // that there are graphs
};

}  // namespace ballast
