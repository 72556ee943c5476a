#include "common/compute/cpu/module.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

namespace ballast::cpu {
namespace {

// Where a module named without a folder belongs: in lib/ beside the program's bin/.
std::string place_of(const std::string& path) {
  namespace fs = std::filesystem;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (error || fs::path(path).has_parent_path()) return path;
  return (program.parent_path().parent_path() / "lib" / path).string();
}

Status unusable(const std::string& path, const std::string& why) {
  return Status(
      Code::kInvalidInput,
      fmt::format("device cpu: {} cannot be used: {}; unpack the bundle again, or build it "
                  "again with launch/build portable",
                  place_of(path), why));
}

}  // namespace

std::string module_name(const std::string& instruction_set) {
  return fmt::format("ballast-cpu-{}.so", instruction_set);
}

Result<const Module*> load_module(const std::string& instruction_set) {
  return load_module(instruction_set, module_name(instruction_set));
}

Result<const Module*> load_module(const std::string& instruction_set, const std::string& path) {
  void* file = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
  if (file == nullptr) {
    return unusable(
        path, fmt::format("the CPU back end for {} expected, {}", instruction_set, dlerror()));
  }
  const auto entry = reinterpret_cast<ModuleEntry>(dlsym(file, kModuleEntry));
  if (entry == nullptr) {
    return unusable(
        path, fmt::format("a CPU back end expected, a library without {} found", kModuleEntry));
  }
  const Module* module = entry();
  if (std::string_view(module->version) != BALLAST_VERSION) {
    return unusable(path,
                    fmt::format("version {} expected, {} found", BALLAST_VERSION, module->version));
  }
  if (instruction_set != module->instruction_set) {
    return unusable(path, fmt::format("the CPU back end for {} expected, that for {} found",
                                      instruction_set, module->instruction_set));
  }
  return module;
}

}  // namespace ballast::cpu
