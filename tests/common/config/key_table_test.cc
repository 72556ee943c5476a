#include "common/config/key_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace ballast {
namespace {

// Converts to anything: a struct has as many fields as it can be built from.
struct Anything {
  template <typename T>
  operator T() const;  // NOLINT: implicit on purpose
};

template <typename Struct, typename... Fields>
consteval size_t field_count() {
  if constexpr (requires { Struct{Fields{}..., Anything{}}; }) {
    return field_count<Struct, Fields..., Anything>();
  } else {
    return sizeof...(Fields);
  }
}

// A field without a key would be lost when the effective config is written.
TEST(KeyTable, HasAKeyForEveryField) {
  const auto keys = [](const char* section) { return find_section(section)->keys.size(); };

  EXPECT_EQ(keys("job"), field_count<JobConfig>() - 8) << "two keys, the rest are sections";
  EXPECT_EQ(keys("data"), field_count<DataConfig>() - 3) << "but mix, transforms and s3";
  EXPECT_EQ(keys("data.mix"), field_count<MixConfig>());
  EXPECT_EQ(keys("data.s3"), field_count<S3Config>());
  EXPECT_EQ(keys("data.transform"), field_count<TransformConfig>());
  EXPECT_EQ(keys("model"), field_count<ModelConfig>() - 1) << "but the layers";
  EXPECT_EQ(keys("layer"), field_count<LayerConfig>());
  EXPECT_EQ(keys("train"), field_count<TrainConfig>() - 2) << "but optimizer and schedule";
  EXPECT_EQ(keys("train.optimizer"), field_count<OptimizerConfig>());
  EXPECT_EQ(keys("train.schedule"), field_count<ScheduleConfig>());
  EXPECT_EQ(keys("cluster"), field_count<ClusterConfig>());
  EXPECT_EQ(keys("checkpoint"), field_count<CheckpointConfig>());
  EXPECT_EQ(keys("fault"), field_count<FaultConfig>());
  EXPECT_EQ(keys("trace"), field_count<TraceConfig>());
  EXPECT_EQ(keys("resolved"), field_count<ResolvedConfig>());
}

TEST(KeyTable, NamesEveryKeyOnceAndExplainsIt) {
  std::set<std::string> paths;
  for (const Section& section : key_table()) {
    EXPECT_FALSE(section.text.empty()) << section.name;
    for (const Key& key : section.keys) {
      EXPECT_TRUE(paths.insert(section.name + "." + key.name).second) << section.name << key.name;
      EXPECT_FALSE(key.text.empty()) << key.name;
      EXPECT_EQ(key.type == KeyType::kChoice, !key.choices.empty()) << key.name;
    }
  }
}

TEST(KeyTable, HoldsEveryDefaultInItsRange) {
  for (const Section& section : key_table()) {
    if (section.repeated) continue;
    for (const Key& key : section.keys) {
      if (key.required) continue;
      const KeyValue value = key.get(JobConfig(), 0);
      if (const auto* integer = std::get_if<int64_t>(&value)) {
        EXPECT_TRUE(key.range.contains(static_cast<double>(*integer))) << key.name;
      }
      if (const auto* number = std::get_if<double>(&value)) {
        EXPECT_TRUE(key.range.contains(*number)) << key.name;
      }
    }
  }
}

TEST(KeyTable, GivesBackWhatItSet) {
  const Key* batch = find_section("train")->find("batch");
  JobConfig job;

  batch->set(job, 0, int64_t{77});

  EXPECT_EQ(job.train.batch, 77u);
  EXPECT_EQ(std::get<int64_t>(batch->get(job, 0)), 77);
}

TEST(KeyTable, KindsOfKeysAreChoicesOfTheirSection) {
  for (const Section& section : key_table()) {
    for (const Key& key : section.keys) {
      for (const std::string& kind : key.kinds) {
        const Key* kinds = section.find("kind");
        ASSERT_NE(kinds, nullptr) << section.name;
        EXPECT_EQ(std::count(kinds->choices.begin(), kinds->choices.end(), kind), 1) << key.name;
      }
    }
  }
}

TEST(KeyTable, WritesValuesAsToml) {
  EXPECT_EQ(to_toml(true), "true");
  EXPECT_EQ(to_toml(int64_t{-3}), "-3");
  EXPECT_EQ(to_toml(1.0), "1.0");
  EXPECT_EQ(to_toml(1e-5), "1e-05");
  EXPECT_EQ(to_toml(std::string("a\"b\n")), "\"a\\\"b\\u000A\"");
  EXPECT_EQ(to_toml(std::vector<double>{1, 0.5}), "[1.0, 0.5]");
}

TEST(KeyRange, KnowsItsEnds) {
  const KeyRange open{0, 1, true, true};
  EXPECT_FALSE(open.contains(0));
  EXPECT_TRUE(open.contains(0.5));
  EXPECT_FALSE(open.contains(1));
  EXPECT_EQ(open.to_string(), "above 0 and below 1");

  const KeyRange any;
  EXPECT_FALSE(any.contains(std::numeric_limits<double>::quiet_NaN()));
  EXPECT_FALSE(any.contains(std::numeric_limits<double>::infinity()));
}

}  // namespace
}  // namespace ballast
