// What the fuzzer of job files does (tests/fuzz/toml_fuzzer.cc), without clang: damaged files of
// every key are refused with a reason, or give a job that reads back to itself.
#include <gtest/gtest.h>

#include <string>

#include "common/base/random.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "common/config/key_reference.h"

namespace ballast {
namespace {

// Changes a few places: a byte, a piece cut out, a piece said twice.
std::string mutated(std::string text, Random& random) {
  for (uint64_t change = 0; change <= random.below(3) && !text.empty(); ++change) {
    const size_t at = random.below(text.size());
    const size_t length = std::min<size_t>(1 + random.below(40), text.size() - at);
    switch (random.below(4)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text[at] = "[]{}=\"'.,#\n-0e"[random.below(15)];
        break;
      case 2:
        text.erase(at, length);
        break;
      default:
        text.insert(at, text.substr(at, length));
    }
  }
  return text;
}

TEST(JobMutation, IsRefusedWithAReasonOrReadsBackToTheSameJob) {
  const std::string whole = reference_toml();
  Random random(20261121);
  int accepted = 0;
  for (int i = 0; i < 3000; ++i) {
    const std::string text = mutated(whole, random);
    const Result<JobConfig> job = parse_job(text, "mutated.toml");
    if (!job.ok()) {
      ASSERT_EQ(job.status().code(), Code::kInvalidInput) << text;
      ASSERT_NE(job.status().to_string().find("mutated.toml"), std::string::npos) << text;
      continue;
    }
    ++accepted;
    const Result<JobConfig> again = parse_job(dump_job(*job), "again.toml");
    ASSERT_TRUE(again.ok()) << again.status().to_string() << "\nof\n" << text;
    ASSERT_EQ(*again, *job) << text;
  }
  EXPECT_GT(accepted, 100) << "most changes are in comments: some must pass";
}

}  // namespace
}  // namespace ballast
