#include "worker/data/each_chunk.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace ballast {
namespace {

// A network answers many as quickly as one.
constexpr uint32_t kRemoteThreads = 8;

}  // namespace

uint32_t chunk_threads(uint32_t threads, bool is_remote) {
  return is_remote ? std::max(threads, kRemoteThreads) : threads;
}

Status for_each_chunk(const Dataset& dataset, uint32_t threads,
                      const std::function<Status(uint32_t chunk)>& work) {
  const auto chunks = static_cast<uint32_t>(dataset.manifest().chunks.size());
  std::vector<Status> outcomes(chunks);
  std::atomic<uint32_t> next{0};
  std::atomic<bool> failed{false};
  const auto run = [&] {
    for (uint32_t chunk = next++; chunk < chunks && !failed; chunk = next++) {
      outcomes[chunk] = work(chunk);
      if (!outcomes[chunk].ok()) failed = true;
    }
  };
  {
    threads = chunk_threads(threads, dataset.source()->is_remote());
    std::vector<std::jthread> helpers;
    for (uint32_t i = 1; i < std::min(threads, chunks); ++i) helpers.emplace_back(run);
    run();
  }
  for (const Status& outcome : outcomes) BALLAST_RETURN_IF_ERROR(outcome);
  return {};
}

}  // namespace ballast
