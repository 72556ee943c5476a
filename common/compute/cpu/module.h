// Module: the CPU back end compiled for one instruction set, as a shared library that a portable
// program loads when it opens the device. Loaded once, never dropped: back ends point into it. Any
// thread.
#pragma once

#include <memory>
#include <string>

#include "common/base/status.h"
#include "common/compute/backend.h"

namespace ballast::cpu {

// What a module says of itself. `version` stays the first field: it says whether the others are as
// the program thinks.
struct Module {
  const char* version;  // of Ballast
  const char* instruction_set;
  std::unique_ptr<Backend> (*open)(const BackendOptions& options);
};

// The one symbol of a module (module_exports.txt).
inline constexpr const char* kModuleEntry = "ballast_cpu_module";
using ModuleEntry = const Module* (*)();

// "ballast-cpu-x86-64-v4.so"
[[nodiscard]] std::string module_name(const std::string& instruction_set);

// Looks where the program's libraries are (its DT_RPATH). kInvalidInput: it is not there, is none,
// or belongs to another version or instruction set.
[[nodiscard]] Result<const Module*> load_module(const std::string& instruction_set);
// The file at `path`, or by its name as above.
[[nodiscard]] Result<const Module*> load_module(const std::string& instruction_set,
                                                const std::string& path);

}  // namespace ballast::cpu
