// The door of the device "cpu". A build for its own machine has the back end inside
// (open_native.cc). A portable one has it once for each instruction set, as modules beside the
// programs, and loads the best one that the processor has (open_module.cc). Any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/compute/backend.h"

namespace ballast::cpu {

// What the back end was compiled for and this processor has, the best first; "native" alone in a
// build for its own machine.
[[nodiscard]] std::vector<std::string> instruction_sets();

// kInvalidInput: the processor has none of them, or the module for the best one cannot be loaded;
// says what was looked for and where. There is no second best then: other bits than expected would
// be worse than no job.
[[nodiscard]] Status check_device();
// With the best of instruction_sets(). Errors: those of check_device.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_backend(const BackendOptions& options);
// With one of instruction_sets(), for tests.
[[nodiscard]] Result<std::unique_ptr<Backend>> open_backend(const std::string& instruction_set,
                                                            const BackendOptions& options);

}  // namespace ballast::cpu
