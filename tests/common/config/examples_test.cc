// The examples that people start from are sound, and the generated one is up to date.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/config/job_file.h"
#include "common/config/key_reference.h"

namespace ballast {
namespace {

std::string example(const std::string& name) {
  return BALLAST_EXAMPLES "/" + name;
}

TEST(Examples, AllParse) {
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(BALLAST_EXAMPLES)) {
    if (entry.path().extension() != ".toml") continue;
    const Result<JobConfig> job = load_job(entry.path());
    EXPECT_TRUE(job.ok()) << job.status().to_string();
    ++count;
  }
  EXPECT_GE(count, 3);
}

TEST(Examples, RunInEveryMode) {
  for (const char* name : {"digits.toml", "fashion_mnist.toml"}) {
    for (const char* mode : {"sync", "ssp", "async"}) {
      const Result<JobConfig> job = load_job(example(name), {std::string("train.mode=") + mode});
      EXPECT_TRUE(job.ok()) << job.status().to_string();
    }
  }
}

TEST(Examples, ReferenceIsWhatTheTablePrints) {
  std::ifstream file(example("reference.toml"));
  std::ostringstream text;
  text << file.rdbuf();

  EXPECT_TRUE(text.str() == reference_toml())
      << "write `ballast-tool keys --toml` to reference.toml";
}

}  // namespace
}  // namespace ballast
