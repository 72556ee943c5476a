#include "common/config/key_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/config/job_file.h"
#include "common/config/key_table.h"

namespace ballast {
namespace {

using testing::HasSubstr;

TEST(KeyReference, ExplainsEveryKey) {
  const std::string text = key_reference();

  for (const Section& section : key_table()) {
    for (const Key& key : section.keys) {
      EXPECT_THAT(text, HasSubstr("  " + section.name + "." + key.name + "\n"));
    }
  }
  EXPECT_THAT(text, HasSubstr("      integer, 1 to 16777216 samples; default 128\n"));
}

TEST(KeyReference, WritesEveryKeyOfPeopleAsToml) {
  const std::string text = reference_toml();

  for (const Section& section : key_table()) {
    for (const Key& key : section.keys) {
      const bool there = text.find("\n" + key.name + " = ") != std::string::npos ||
                         text.find("\n# " + key.name + " = ") != std::string::npos;
      EXPECT_NE(there, section.by_tool) << section.name << "." << key.name;
    }
  }
}

TEST(KeyReference, IsItselfASoundJobOfDefaults) {
  const Result<JobConfig> job = parse_job(reference_toml(), "reference.toml");

  ASSERT_TRUE(job.ok()) << job.status().to_string();
  EXPECT_EQ(job->cluster, ClusterConfig());
  EXPECT_EQ(job->train.optimizer, OptimizerConfig());
  EXPECT_EQ(job->model.layers.size(), 4u);
  EXPECT_EQ(job->data.transforms.size(), 17u);
  EXPECT_EQ(job->data.mix.size(), 1u);
}

TEST(KeyReference, KeepsItsLinesShort) {
  for (const std::string& text : {key_reference(), reference_toml()}) {
    for (size_t begin = 0, end; begin < text.size(); begin = end + 1) {
      end = text.find('\n', begin);
      EXPECT_LE(end - begin, 100u) << text.substr(begin, end - begin);
    }
  }
}

}  // namespace
}  // namespace ballast
