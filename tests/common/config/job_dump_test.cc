#include "common/config/job_dump.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "common/base/random.h"
#include "common/config/job_check.h"
#include "common/config/key_table.h"
#include "tests/common/config/job_text.h"

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::string random_text(Random& random) {
  static constexpr std::string_view kLetters = "ab\"\\\n\t #='[]{}\x01\x7f\xc3\xa4";
  std::string text = "x";
  // Whole characters only: the last two bytes are one of UTF-8.
  for (uint64_t i = random.below(8); i > 0; --i) {
    const uint64_t at = random.below(kLetters.size() - 1);
    text += at == kLetters.size() - 2 ? kLetters.substr(at) : kLetters.substr(at, 1);
  }
  return text;
}

double random_number(const KeyRange& range, Random& random) {
  const double low = std::isfinite(range.low) ? range.low : -1e6;
  const double high = std::isfinite(range.high) ? range.high : low + 1e6;
  for (;;) {
    const double value = low + (high - low) * random.uniform();
    if (range.contains(value)) return value;
  }
}

KeyValue random_value(const Key& key, Random& random) {
  switch (key.type) {
    case KeyType::kInteger: {
      const double high = std::min(key.range.high, 1e15);
      return static_cast<int64_t>(key.range.low + (high - key.range.low) * random.uniform());
    }
    case KeyType::kNumber:
      return random_number(key.range, random);
    case KeyType::kText:
      return random_text(random);
    case KeyType::kBoolean:
      return random.chance(0.5);
    case KeyType::kChoice:
      return key.choices[random.below(key.choices.size())];
    case KeyType::kTextList:
      return std::vector<std::string>{random_text(random), random_text(random)};
    case KeyType::kNumberList:
      return std::vector<double>{random_number(key.range, random)};
  }
  return false;
}

// A job with random values in every key that has a meaning, then mended where keys must agree.
JobConfig random_job(Random& random) {
  JobConfig job;
  job.data.mix.resize(random.below(3));
  job.data.transforms.resize(random.below(4));
  job.model.layers.resize(1 + random.below(4));
  for (const Section& section : key_table()) {
    for (size_t index = 0; index < section.table_count(job); ++index) {
      if (const Key* kind = section.find("kind")) {
        kind->set(job, index, random_value(*kind, random));
      }
      for (const Key& key : section.keys) {
        if (key.name == "kind" || !key.belongs_to(section.kind_of(job, index))) continue;
        key.set(job, index, random_value(key, random));
      }
    }
  }
  job.name = "random";
  job.data.features[1] += "2";
  job.data.label = "label";
  if (job.data.order == Order::kNone && job.data.resamples()) job.data.order = Order::kStrip;
  for (TransformConfig& transform : job.data.transforms) {
    const bool filters = transform.kind == TransformKind::kFilter && job.data.samples_classes();
    transform.column = filters ? job.data.label : job.data.features[1];
    for (double& size : transform.shape) size = std::floor(size);
    if (!transform.shape.empty()) transform.shape.push_back(2);
    if (transform.low > transform.high) std::swap(transform.low, transform.high);
  }
  job.model.layers.back() = {.kind = LayerKind::kDense, .units = 3};
  job.cluster.workers = 1 + static_cast<uint32_t>(random.below(9));
  job.train.lanes = job.cluster.workers + static_cast<uint32_t>(random.below(9));
  job.train.batch = job.train.lanes * static_cast<uint32_t>(1 + random.below(9));
  if (job.cluster.device == Device::kCpu) job.train.precision = Precision::kFp32;
  job.cluster.port %= 1000;
  if (job.cluster.transport == TransportKind::kIpc) job.cluster.feeder_hosts.clear();
  job.cluster.heartbeat_ms %= 100000;
  job.cluster.heartbeat_ms += 1;
  job.cluster.dead_after_ms = 2 * job.cluster.heartbeat_ms;
  job.fault.slow_worker = -1;
  if (job.data.features[0] == job.data.features[1]) job.data.features[0] += "3";
  return job;
}

TEST(JobDump, ReadsBackToTheSameJob) {
  for (uint64_t seed = 0; seed < 500; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    const JobConfig job = random_job(random);
    ASSERT_EQ(check_job(job).to_string(), "ok");

    const std::string text = dump_job(job);
    const Result<JobConfig> read = parse_job(text, "config.toml");

    ASSERT_TRUE(read.ok()) << read.status().to_string() << "\n" << text;
    ASSERT_EQ(*read, job) << text;
    ASSERT_EQ(job_hash(*read), job_hash(job));
    ASSERT_EQ(dump_job(*read), text);
  }
}

TEST(JobDump, HashesTheSameForAnyClusterAndFolder) {
  const JobConfig job = small_job();
  const JobConfig moved = small_job(
      {"job.name=other", "data.train=/elsewhere", "data.test=/else", "data.threads=4",
       "cluster.workers=1", "train.lanes=2", "cluster.servers=3", "cluster.shards_per_server=2",
       "cluster.threads_per_worker=2", "cluster.transport=tcp", "cluster.feeders=3",
       "checkpoint.every_steps=5", "fault.pause_ms=3", "trace.first_step=9", "trace.steps=5",
       "train.eval_every_epochs=0", "train.max_steps=9"});

  EXPECT_EQ(job_hash(moved), job_hash(job));
  EXPECT_THAT(changed_result_keys(job, moved), IsEmpty());
  EXPECT_EQ(job_hash(job).size(), 16u);
}

TEST(JobDump, HashesDifferentlyForWhatFixesTheResult) {
  const JobConfig job = small_job();
  for (const char* change :
       {"job.seed=2", "data.rate=2", "data.balance=oversample", "data.features=[\"a\"]",
        "data.label=other", "data.order=none", "model.loss=mean_squared_error", "layer[0].units=11",
        "layer[0].bias=false", "train.mode=ssp", "train.epochs=2", "train.batch=128",
        "train.lanes=4", "train.optimizer.kind=adam", "train.optimizer.learning_rate=0.5",
        "train.schedule.warmup_steps=3", "cluster.unit_bytes=4096"}) {
    const JobConfig changed = small_job({change});
    EXPECT_NE(job_hash(changed), job_hash(job)) << change;
    EXPECT_FALSE(changed_result_keys(job, changed).empty()) << change;
  }

  JobConfig data = job;
  data.resolved.train_manifest_xxh3 = "0123456789abcdef";
  EXPECT_NE(job_hash(data), job_hash(job));
}

TEST(JobDump, NamesTheKeysThatChanged) {
  JobConfig to = small_job();
  to.train.batch = 128;
  to.train.optimizer.kind = OptimizerKind::kMomentum;

  EXPECT_THAT(
      changed_result_keys(small_job(), to),
      ElementsAre("train.batch: 256 -> 128", "train.optimizer.kind: \"sgd\" -> \"momentum\"",
                  "train.optimizer.momentum: new, 0.9"));
}

}  // namespace
}  // namespace ballast
