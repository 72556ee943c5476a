// What a server and a worker need of memory, as a sum of named users, from the config alone. The
// largest server counts. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/config/job_config.h"

namespace ballast {

struct MemoryUser {
  std::string name;  // "weights, two versions"
  uint64_t bytes = 0;
};

struct MemorySum {
  std::vector<MemoryUser> users;

  [[nodiscard]] uint64_t total() const;
  // "a 1.0 MiB + b 2.0 MiB = 3.0 MiB"
  [[nodiscard]] std::string to_string() const;
};

// Bytes of the weights that each server holds under the proposed placement, index = server.
[[nodiscard]] std::vector<uint64_t> server_parameter_bytes(const JobConfig& job);

// `job` is resolved (input_width > 0). Server: the versions of its weights, the optimizer's state,
// the nodes that may be there at once, the copy that a checkpoint is written from, what the journal
// holds (none with durability "checkpoint"), code and libraries. Not counted, because they are
// among these (tests/process/memory_test.py): the next version, which is written over a node; in
// async the version a worker is being sent, whose node is used up, and the snapshot of an
// evaluation, whose readers push nothing. "At most": fewer nodes are there while workers take
// turns, as in async and where more workers than cores share a machine.
[[nodiscard]] MemorySum server_memory(const JobConfig& job);

// Worker: weights, gradients (being computed and being sent), weights that arrive, the values of
// one computation's rows in every layer and their gradients, and the loaders: both data sets as
// stored and their batches (worker/data/memory_budget.h); with feeders the portions around where
// each lane is read (worker/feed/portion.h), beside the rows that are read where no feeder gives
// them.
[[nodiscard]] MemorySum worker_memory(const JobConfig& job);

// Feeder: its own rows, and the portions that workers have asked for.
[[nodiscard]] MemorySum feeder_memory(const JobConfig& job);

// Of all processes on one host.
[[nodiscard]] uint64_t job_memory_bytes(const JobConfig& job);

// Bytes of one checkpoint: weights and optimizer state.
[[nodiscard]] uint64_t checkpoint_bytes(const JobConfig& job);

// "1.5 MiB", "3.2 GiB".
[[nodiscard]] std::string bytes_text(uint64_t bytes);

}  // namespace ballast
