#include "common/config/job_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/config/job_text.h"

namespace ballast {
namespace {

using testing::HasSubstr;

std::string check(const JobConfig& job) {
  return check_job(job).to_string();
}

TEST(JobCheck, AcceptsASoundJob) {
  EXPECT_EQ(check(small_job()), "ok");
}

TEST(JobCheck, RefusesLanesThatDoNotDivideTheBatch) {
  JobConfig job = small_job();
  job.train.lanes = 3;

  EXPECT_EQ(check(job),
            "train.lanes = 3 does not divide train.batch = 256; nearest legal lanes: 2, 4; nearest "
            "legal batch: 255, 258");
  EXPECT_EQ(check_job(job).code(), Code::kInvalidInput);
}

TEST(JobCheck, RefusesMoreWorkersThanLanes) {
  JobConfig job = small_job();
  job.train.lanes = 2;
  job.cluster.workers = 3;

  EXPECT_THAT(check(job), HasSubstr("cluster.workers = 3 is more than train.lanes = 2"));
}

TEST(JobCheck, RefusesEmptySizesOfAJobBuiltInCode) {
  JobConfig job = small_job();
  job.cluster.workers = 0;
  job.cluster.servers = 0;
  job.train.epochs = 0;

  EXPECT_THAT(check(job), HasSubstr("cluster.workers = 0; expected at least 1"));
  EXPECT_THAT(check(job), HasSubstr("cluster.servers = 0; expected at least 1"));
  EXPECT_THAT(check(job), HasSubstr("train.epochs = 0; expected at least 1"));
}

TEST(JobCheck, RefusesToResampleRowsThatStayAsStored) {
  JobConfig job = small_job();
  job.data.order = Order::kNone;
  job.data.mix = {{.train = "/data/more", .rate = 1}};
  EXPECT_EQ(check(job), "ok");

  for (const auto& change :
       {+[](DataConfig& data) { data.rate = 2; }, +[](DataConfig& data) { data.mix[0].rate = 0.5; },
        +[](DataConfig& data) { data.balance = Balance::kUndersample; }}) {
    JobConfig resampled = job;
    change(resampled.data);
    EXPECT_THAT(check(resampled), HasSubstr("data.order = \"none\" takes each row once, as stored; "
                                            "with data.balance = \"oversample\""));
    EXPECT_THAT(check(resampled), HasSubstr("expected full, strip or auto"));
  }
}

TEST(JobCheck, RefusesASetWithoutAPlace) {
  JobConfig job = small_job();
  job.data.mix = {{.train = "/data/more", .rate = 1}, {.train = "", .rate = 1}};

  EXPECT_THAT(check(job), HasSubstr("data.mix[1].train is empty; expected the folder or the "
                                    "address of a data set"));
}

TEST(JobCheck, RefusesAnOutputTheLossCannotUse) {
  JobConfig job = small_job();
  job.model.layers[0].units = 1;
  EXPECT_THAT(check(job), HasSubstr("layer[0].units = 1 leaves softmax_cross_entropy"));

  job.model.loss = LossKind::kSigmoidCrossEntropy;
  EXPECT_EQ(check(job), "ok");
  job.model.layers[0].activation = Activation::kSigmoid;
  EXPECT_THAT(check(job), HasSubstr("layer[0].activation = \"sigmoid\" before "
                                    "sigmoid_cross_entropy, which applies its own"));

  job.model.loss = LossKind::kMeanSquaredError;
  EXPECT_EQ(check(job), "ok");
}

TEST(JobCheck, RefusesALastLayerWithoutUnits) {
  JobConfig job = small_job();
  job.model.layers.push_back({.kind = LayerKind::kDropout});

  EXPECT_THAT(check(job), HasSubstr("layer[1].kind = \"dropout\" is the last layer"));
}

TEST(JobCheck, RefusesAModelWithoutLayers) {
  JobConfig job = small_job();
  job.model.layers.clear();

  EXPECT_THAT(check(job), HasSubstr("the model has no layer"));
}

TEST(JobCheck, RefusesColumnsThatLeakOrRepeat) {
  JobConfig job = small_job();
  job.data.features = {"a", "a", "label"};

  EXPECT_THAT(check(job), HasSubstr("data.features names the column \"a\" twice"));
  EXPECT_THAT(check(job), HasSubstr("data.features holds \"label\", which is also data.label"));
  TransformConfig cross;
  cross.kind = TransformKind::kCross;
  cross.column = "both";
  cross.columns = {"x", "label"};
  cross.buckets = 10;
  job.data.features = {"both"};
  job.data.transforms = {cross};
  EXPECT_THAT(check(job), HasSubstr("data.transform cross \"both\" takes \"label\", which is "
                                    "data.label"));
}

TransformConfig transform_of(TransformKind kind) {
  TransformConfig transform;
  transform.kind = kind;
  transform.column = small_job().data.features[0];
  return transform;
}

TEST(JobCheck, RefusesTransformsThatDoNotFit) {
  JobConfig job = small_job();
  job.data.transforms = {transform_of(TransformKind::kStandardize)};
  job.data.transforms[0].column = "pixel";
  job.data.transforms[0].mean = {1, 2};
  job.data.transforms[0].std = {1};

  EXPECT_THAT(
      check(job),
      HasSubstr("data.transform[0].column = \"pixel\" is neither in data.features (pixels)"));
  EXPECT_THAT(check(job), HasSubstr("data.transform[0].mean has 2 values and data.transform[0].std "
                                    "has 1"));
}

TEST(JobCheck, RefusesTransformsWhoseNumbersMakeNoSense) {
  JobConfig job = small_job();
  job.data.transforms = {transform_of(TransformKind::kClip)};
  job.data.transforms[0].low = 2;
  job.data.transforms[0].high = 1;
  EXPECT_THAT(check(job),
              HasSubstr("data.transform[0].low = 2 is above data.transform[0].high = 1"));

  job.data.transforms = {transform_of(TransformKind::kBucketize)};
  EXPECT_THAT(check(job), HasSubstr("data.transform[0].boundaries is empty"));
  job.data.transforms[0].boundaries = {1, 5, 5};
  EXPECT_THAT(check(job), HasSubstr("boundaries[2] = 5 is not above 5 before it"));

  job.data.transforms = {transform_of(TransformKind::kRandomFlip)};
  job.data.transforms[0].shape = {8, 7.5};
  EXPECT_THAT(check(job), HasSubstr("shape = [8, 7.5]; expected two or three whole numbers"));

  job.data.transforms = {transform_of(TransformKind::kCross)};
  job.data.transforms[0].columns = {"a"};
  EXPECT_THAT(check(job), HasSubstr("data.transform[0].columns has 1 names; expected two or more"));
}

TEST(JobCheck, AcceptsAFilterOfAnyColumnAndTransformsOfWhatIsCrossed) {
  JobConfig job = small_job();
  job.data.features.push_back("both");
  job.data.transforms = {transform_of(TransformKind::kHash), transform_of(TransformKind::kCross),
                         transform_of(TransformKind::kFilter)};
  job.data.transforms[0].column = "city";
  job.data.transforms[1].column = "both";
  job.data.transforms[1].columns = {"city", "day"};
  job.data.transforms[2].column = "anything";
  EXPECT_EQ(check(job), "ok");

  job.data.transforms[1].columns = {"town", "day"};
  EXPECT_THAT(check(job), HasSubstr("data.transform[0].column = \"city\" is neither in"));
}

TEST(JobCheck, RefusesToMakeClassesEqualThatAFilterMakesUnlike) {
  JobConfig job = small_job();
  job.data.transforms = {transform_of(TransformKind::kFilter)};
  job.data.transforms[0].column = "quality";
  for (const Balance balance : {Balance::kNone, Balance::kWeights}) {
    job.data.balance = balance;
    EXPECT_EQ(check(job), "ok");
  }
  job.data.balance = Balance::kUndersample;
  EXPECT_THAT(
      check(job),
      HasSubstr("data.balance = \"undersample\" makes classes equal that are counted before "
                "filters, so what the filter data.transform[0].column = \"quality\" leaves "
                "of them is not equal; expected a filter of data.label, data.balance"));
  job.data.balance = Balance::kOversample;
  EXPECT_THAT(check(job), HasSubstr("data.balance = \"oversample\" makes classes equal"));

  job.data.transforms[0].column = job.data.label;
  EXPECT_EQ(check(job), "ok");
}

TEST(JobCheck, RefusesPortsBeyondTheLast) {
  JobConfig job = small_job();
  job.cluster.transport = TransportKind::kTcp;
  job.cluster.servers = 2;
  job.cluster.shards_per_server = 2;
  job.cluster.port = 65531;
  EXPECT_EQ(check(job), "ok");

  job.cluster.port = 65532;
  EXPECT_THAT(check(job), HasSubstr("cluster.port = 65532 leaves no room below 65536 for 5 ports"));
  EXPECT_THAT(check(job), HasSubstr("highest legal port: 65531"));

  job.cluster.port = 65530;
  job.cluster.feeders = 2;
  EXPECT_THAT(check(job), HasSubstr("for 7 ports"));
}

TEST(JobCheck, RefusesHostsOfFeedersWhereAllAreOnOne) {
  JobConfig job = small_job();
  job.cluster.feeders = 2;
  job.cluster.feeder_hosts = {"10.0.0.7"};
  EXPECT_THAT(check(job), HasSubstr("cluster.feeder_hosts are of no use with cluster.transport = "
                                    "\"ipc\""));

  job.cluster.transport = TransportKind::kTcp;
  EXPECT_EQ(check(job), "ok");
}

TEST(JobCheck, RefusesADeathBeforeTwoHeartbeats) {
  JobConfig job = small_job();
  job.cluster.dead_after_ms = 999;

  EXPECT_THAT(check(job), HasSubstr("cluster.dead_after_ms = 999"));
  EXPECT_THAT(check(job), HasSubstr("expected at least 1000"));
}

TEST(JobCheck, RefusesANameThatIsNoFolder) {
  for (const char* name : {"", "a/b", "..", ".hidden", "with space"}) {
    JobConfig job = small_job();
    job.name = name;
    EXPECT_THAT(check(job), HasSubstr("cannot name a folder")) << name;
  }
}

TEST(JobCheck, RefusesASlowWorkerThatDoesNotExist) {
  JobConfig job = small_job();
  job.fault.slow_worker = 2;

  EXPECT_THAT(check(job), HasSubstr("fault.slow_worker = 2 does not exist; workers are 0 to 1"));
}

}  // namespace
}  // namespace ballast
