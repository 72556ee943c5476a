// The plain training loop: one process, one thread, no servers, units, messages or views. It shares
// with the product only Backend, the optimizer functions, the job's values and the hash behind all
// random numbers; layers, forward and backward, first values, dropout keys, schedules, lanes, the
// tree of sums, steps and epochs are written out here once more, from what the headers say of them.
// What a cluster in sync mode ends with must be these bits. With one lane it is plain SGD (or any
// optimizer), which an asynchronous job with one worker and one lane must equal.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "common/config/job_config.h"
#include "tests/support/plain_model.h"

namespace ballast::testing {

// The row at `position` of the lane's rows of the epoch.
using OrderFunction = std::function<uint64_t(uint64_t epoch, uint32_t lane, uint64_t position)>;

struct PlainResult {
  std::vector<PlainTensor> weights;  // in layer order, a weight before its bias
  std::vector<double> step_losses;   // mean loss of each step, before its update
  uint64_t samples_applied = 0;
};

// Trains job.model, of dense and dropout layers and any loss, on features[rows, input_width] and
// labels[rows, label_width]. Reads seed, data.tail, model, train (epochs, batch, lanes > 0,
// max_steps, local_steps, push, optimizer, schedule), cluster.threads_per_worker and resolved
// (train_rows, input_width, label_width). Fails the test when the back end does.
[[nodiscard]] PlainResult plain_sync_run(const JobConfig& job, const std::vector<float>& features,
                                         const std::vector<float>& labels,
                                         const OrderFunction& order);

}  // namespace ballast::testing
