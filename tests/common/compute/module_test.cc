// The modules beside the programs of a portable build. (What their back ends compute:
// tests/contract/backend.)
#include "common/compute/cpu/module.h"

#include <dlfcn.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "common/compute/cpu/instruction_set.h"

namespace ballast::cpu {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void expect_unusable(const Result<const Module*>& loaded, const std::string& path,
                     const std::string& why) {
  ASSERT_FALSE(loaded.ok());
  EXPECT_EQ(loaded.status().code(), Code::kInvalidInput);
  EXPECT_THAT(loaded.status().to_string(), AllOf(HasSubstr(path), HasSubstr(why)));
}

// Where the loader found a module: not in build/portable/tests, where this program is.
std::string path_of(const std::string& instruction_set) {
  Dl_info found{};
  const Module* module = load_module(instruction_set).value();
  dladdr(reinterpret_cast<const void*>(module->open), &found);
  return found.dli_fname;
}

TEST(Module, SaysWhatItWasCompiledFor) {
  for (const std::string& set : instruction_sets_of(this_processor())) {
    const auto module = load_module(set);

    ASSERT_TRUE(module.ok()) << module.status().to_string();
    EXPECT_EQ((*module)->instruction_set, set);
  }
}

TEST(Module, IsTheSameOneHoweverOftenItIsLoaded) {
  const std::string set = best_instruction_set(this_processor()).value();

  EXPECT_EQ(load_module(set).value(), load_module(set).value());
}

TEST(Module, ShowsNothingButItsEntry) {
  void* file = dlopen(module_name("x86-64-v3").c_str(), RTLD_NOW | RTLD_LOCAL);

  ASSERT_NE(file, nullptr);
  EXPECT_NE(dlsym(file, kModuleEntry), nullptr);
  // ballast::Buffer::allocate(unsigned long), which it has a copy of.
  EXPECT_EQ(dlsym(file, "_ZN7ballast6Buffer8allocateEm"), nullptr);
}

TEST(Module, ThatIsMissingIsOneErrorThatNamesFileAndReason) {
  expect_unusable(load_module("x86-64-v9"), "/lib/ballast-cpu-x86-64-v9.so",
                  "the CPU back end for x86-64-v9 expected");
  expect_unusable(load_module("x86-64-v3", "/absent/x.so"), "/absent/x.so",
                  "No such file or directory");
}

TEST(Module, OfAnotherInstructionSetIsRefused) {
  const std::string v3 = path_of("x86-64-v3");

  expect_unusable(load_module("x86-64-v4", v3), v3,
                  "the CPU back end for x86-64-v4 expected, that for x86-64-v3 found");
}

TEST(Module, ThatIsNoneIsRefused) {
  const auto folder = std::filesystem::path(::testing::TempDir()) / "ballast-module-test";
  std::filesystem::create_directories(folder);
  for (const char* content : {"", "not a library", "\177ELF"}) {
    const std::string path = (folder / "module.so").string();
    std::ofstream(path, std::ios::trunc) << content;

    expect_unusable(load_module("x86-64-v3", path), path,
                    "the CPU back end for x86-64-v3 expected");
  }
  expect_unusable(load_module("x86-64-v3", "libm.so.6"), "libm.so.6",
                  "a CPU back end expected, a library without ballast_cpu_module found");
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace ballast::cpu
