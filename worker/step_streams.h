// StepStreams: where a step's work is put. On a device of its own three streams work beside one
// another, in this order by events: rows and weights arrive, are computed with, and what came of it
// leaves; rows while the pass before them is computed, weights while the rest of them is waited
// for, gradients of a layer while the one below it is computed. Where the device computes on host
// memory nothing is copied, and everything is done at once. Owner thread: the computing thread.
#pragma once

#include <memory>
#include <vector>

#include "common/compute/backend.h"
#include "worker/device_trace.h"

namespace ballast {

struct StepStreams {
  explicit StepStreams(Backend& backend_in)
      : backend(backend_in),
        compute(backend_in.create_stream()),
        uploads(backend_in.create_stream()),
        downloads(backend_in.create_stream()),
        copies(backend_in.device_address(backend_in.allocate_host(sizeof(float)).floats().data()) ==
               nullptr),
        pass_computed(backend_in.create_event()) {}

  // What is put on `downloads` from now on sees all that is on `compute` by now.
  void let_downloads_follow(EventId computed) {
    if (!copies) return;
    backend.record(computed, compute);
    backend.wait(downloads, computed);
  }
  // What is put on `uploads` after wait_for_pass() may write over weights that all on `compute` by
  // now uses.
  void end_pass() {
    if (copies) backend.record(pass_computed, compute);
  }
  void wait_for_pass() { backend.wait(uploads, pass_computed); }
  void trace_to(DeviceTracks& tracks) {
    trace = std::make_unique<DeviceTrace>(
        backend,
        std::vector<DeviceTrace::Stream>{
            {compute, tracks.compute}, {uploads, tracks.uploads}, {downloads, tracks.downloads}});
  }
  // Waits until nothing is under way.
  void settle() {
    for (const StreamId stream : {uploads, compute, downloads}) (void)backend.synchronize(stream);
  }

  Backend& backend;  // outlives it
  const StreamId compute;
  const StreamId uploads;
  const StreamId downloads;
  const bool copies;                   // the device has memory of its own
  const EventId pass_computed;         // the last one
  std::unique_ptr<DeviceTrace> trace;  // null: nobody wants to know
};

}  // namespace ballast
