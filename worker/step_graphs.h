// StepGraphs: which steps of a model a device keeps as graphs: all that is put on a stream between
// the arrival of rows and weights and the first gradient's leaving, launched by one call instead of
// some thirty. That pays where launching takes longer than computing, in small models; in large
// ones gradients had better leave layer by layer. Owner thread: the computing thread.
#pragma once

#include <cstdint>
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
  uint32_t memory = 0;  // where the rows lie
  auto operator<=>(const StepShape&) const = default;
};

// Whether steps of the model on so many rows are worth a graph, and can be one: what dropout leaves
// out changes from step to step. A kernel is launched in about 4 us, so a step of 30 in 0.12 ms,
// which is 2e10 operations on a device that does 160 TFLOP/s.
[[nodiscard]] bool suits_graphs(const ModelConfig& model, uint32_t input_width, uint32_t rows);

class StepGraphs {
 public:
  // `stream` is of `backend`, which outlives it. Not `allowed`: every step goes one by one.
  StepGraphs(Backend& backend, StreamId stream, bool allowed);

  // One by one: the first time, so that memory is taken and algorithms are chosen; always where
  // the device could make no graph of it, or has enough of others.
  enum class Way { kOneByOne, kKeep, kLaunch };
  [[nodiscard]] Way way(const StepShape& shape);

  // Around what is to be kept. False: no graph came of it, and none will.
  void begin();
  [[nodiscard]] bool end(const StepShape& shape);
  void launch(const StepShape& shape);

 private:
  static constexpr size_t kGraphsMax = 32;

  struct Known {
    bool refused = false;
    std::optional<GraphId> graph;
  };

  Backend& backend_;
  const StreamId stream_;
  const bool allowed_;
  std::map<StepShape, Known> known_;
};

}  // namespace ballast
