#include "worker/tool/resolve_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "common/compute/backend.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"
#include "tests/support/known_weights.h"
#include "tests/worker/tool/run_folder.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class ResolveCommand : public RunFolder {};

TEST_F(ResolveCommand, WritesTheJobAsGivenAndTheEffectiveConfig) {
  options_.overrides = {"train.batch=32"};

  const Status status = run_resolve(options_, data_, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(read(folder_ / "run/job.toml"), read(options_.job_path));
  const Result<JobConfig> config = load_job(folder_ / "run/config.toml");
  ASSERT_TRUE(config.ok()) << config.status().to_string();
  EXPECT_EQ(config->train.batch, 32u);
  EXPECT_EQ(config->train.lanes, 2u);
  EXPECT_EQ(config->resolved.input_width, 64u);
  EXPECT_EQ(config->resolved.train_manifest_xxh3, "00000000000000aa");
  EXPECT_EQ(out_.str(), "");
}

TEST_F(ResolveCommand, WritesNothingOnADryRunAndPrintsThePlan) {
  options_.dry_run = true;

  const Status status = run_resolve(options_, data_, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
  EXPECT_THAT(out_.str(), HasSubstr("1000 train rows"));
  EXPECT_THAT(out_.str(), HasSubstr("sync: 1 epoch, 16 steps of 64 samples, 2 lanes over 2"));
  EXPECT_THAT(out_.str(), HasSubstr("[64 -> 100] relu, 6500 parameters"));
  EXPECT_THAT(out_.str(), HasSubstr("4 units on 2 shards"));
  EXPECT_THAT(out_.str(), HasSubstr("memory of a server (2 of them): weights (2 versions) "));
}

TEST_F(ResolveCommand, WritesNothingForABadJobAndNamesTheLine) {
  options_.overrides = {"train.lanes=3"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("does not divide train.batch = 64"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "run"));
}

TEST_F(ResolveCommand, RefusesAModelThatDoesNotFitTheLabels) {
  options_.overrides = {"model.loss=mean_squared_error"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("mean_squared_error"));
}

TEST_F(ResolveCommand, RefusesMoreLanesThanRows) {
  const ShapeResolver few_rows = [this](JobConfig& job) {
    const Status status = data_(job);
    job.resolved.train_rows = 1;
    return status;
  };
  options_.overrides = {"train.lanes=2"};

  const Status status = run_resolve(options_, few_rows, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("train.lanes = 2 is more than the 1 rows of"));
}

TEST_F(ResolveCommand, RefusesADeviceThatIsNotHere) {
  if (check_device(Device::kCuda).ok()) GTEST_SKIP() << "a GPU is here";
  options_.overrides = {"cluster.device=cuda"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("set cluster.device = \"cpu\""));
}

TEST_F(ResolveCommand, PlansForADeviceThatIsElsewhere) {
  if (check_device(Device::kCuda).ok()) GTEST_SKIP() << "a GPU is here";
  options_.overrides = {"cluster.device=cuda"};
  options_.dry_run = true;

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(out_.str(), HasSubstr("note: not on this machine: device cuda"));
}

TEST_F(ResolveCommand, PassesOnWhatIsWrongWithTheData) {
  const ShapeResolver no_data = [](JobConfig& job) {
    return Status(Code::kNotFound, job.data.train + ": no such folder");
  };

  const Status status = run_resolve(options_, no_data, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("/data/train: no such folder"));
}

TEST_F(ResolveCommand, RefusesARunDirectoryThatCannotBeMade) {
  options_.run_dir = options_.job_path + "/run";  // below a file

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              HasSubstr("make folder " + options_.run_dir + ": Not a directory; choose one"));
}

TEST_F(ResolveCommand, RefusesToRunWithoutAJob) {
  options_.job_path.clear();

  EXPECT_THAT(run_resolve(options_, data_, out_).to_string(), HasSubstr("expected JOB.toml or"));
}

class Resume : public RunFolder {
 protected:
  void SetUp() override {
    RunFolder::SetUp();
    ASSERT_TRUE(run_resolve(options_, data_, out_).ok());
    before_ = load_job(folder_ / "run/config.toml").value();
    own_job_ = std::exchange(options_.job_path, "");
    options_.resume = options_.run_dir;
    commit_weights(before_, blank_weights(before_), options_.run_dir, 10);
  }

  JobConfig before_;
  std::string own_job_;
};

TEST_F(Resume, RefusesAnotherJobFileAndTakesItsOwn) {
  options_.job_path = folder_ / "other.toml";
  for (const char* expected : {"other.toml: no such file; ", "other.toml: not the job of "}) {
    const Status status = run_resolve(options_, data_, out_);

    EXPECT_EQ(exit_code(status), 2);
    EXPECT_THAT(status.to_string(), HasSubstr(expected));
    EXPECT_THAT(status.to_string(), HasSubstr("leave the file out, and change keys with --set"));
    std::ofstream(options_.job_path) << read(own_job_) << "# changed\n";
  }
  options_.job_path = own_job_;

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_TRUE(status.ok()) << status.to_string();
}

TEST_F(Resume, MayChangeTheClusterAndKeepsTheHash) {
  options_.overrides = {"cluster.servers=3", "cluster.workers=1", "checkpoint.keep=5"};

  const Status status = run_resolve(options_, data_, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  const JobConfig now = load_job(folder_ / "run/config.toml").value();
  EXPECT_EQ(now.cluster.servers, 3u);
  EXPECT_EQ(now.train.lanes, before_.train.lanes) << "lanes stay, whatever the workers";
  EXPECT_EQ(job_hash(now), job_hash(before_));
}

TEST_F(Resume, NamesTheKeyThatMayNotChange) {
  options_.overrides = {"train.batch=128", "cluster.servers=1"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("train.batch: 64 -> 128"));
  EXPECT_EQ(load_job(folder_ / "run/config.toml").value(), before_) << "nothing was written";
}

TEST_F(Resume, RefusesAnEndThatTheCheckpointIsBeyond) {
  options_.overrides = {"train.max_steps=9"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              HasSubstr("train.max_steps = 9 is behind checkpoint 10 at step 10"));
  EXPECT_THAT(status.to_string(), HasSubstr("at least 10"));
  EXPECT_EQ(load_job(folder_ / "run/config.toml").value(), before_) << "nothing was written";
}

TEST_F(Resume, MayEndWhereTheCheckpointIs) {
  options_.overrides = {"train.max_steps=10"};

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_TRUE(status.ok()) << status.to_string();
}

TEST_F(Resume, IsARunOfItsOwn) {
  ASSERT_TRUE(run_resolve(options_, data_, out_).ok());

  const JobConfig now = load_job(folder_ / "run/config.toml").value();
  EXPECT_EQ(now.resolved.run.size(), 16u);
  EXPECT_EQ(before_.resolved.run.size(), 16u);
  EXPECT_NE(now.resolved.run, before_.resolved.run);
  EXPECT_EQ(job_hash(now), job_hash(before_));
}

TEST_F(Resume, SaysInADryRunFromWhereItWouldGoOnAndWritesNothing) {
  options_.dry_run = true;
  options_.overrides = {"cluster.workers=1"};

  const Status status = run_resolve(options_, data_, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(out_.str(), HasSubstr("resumes from checkpoint 10 at step 10 ("));
  EXPECT_THAT(out_.str(), HasSubstr("2 lanes over 1 worker\n"));
  EXPECT_EQ(load_job(folder_ / "run/config.toml").value(), before_);
}

TEST_F(Resume, SaysHowToGoOnWithADamagedConfigAndDoesWhenItIsDone) {
  std::ofstream(folder_ / "run/config.toml") << "[job\n";

  const Status damaged = run_resolve(options_, data_, out_);
  EXPECT_EQ(exit_code(damaged), 2);
  EXPECT_THAT(damaged.to_string(), HasSubstr("mend it, or remove it to go on with the copy in "
                                             "checkpoint 10"));

  std::filesystem::remove(folder_ / "run/config.toml");
  const Status restored = run_resolve(options_, data_, out_);
  ASSERT_TRUE(restored.ok()) << restored.to_string();
  JobConfig now = load_job(folder_ / "run/config.toml").value();
  now.resolved.run = before_.resolved.run;
  EXPECT_EQ(now, before_);
}

TEST_F(Resume, RefusesBeforeAnythingStartsWhenNoCheckpointIsWhole) {
  for (const auto& file :
       std::filesystem::directory_iterator(checkpoint_folder(options_.run_dir, 10))) {
    std::ofstream(file.path(), std::ios::trunc) << "x";
  }

  const Status status = run_resolve(options_, data_, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("/job.toml again"));
}

TEST_F(Resume, RefusesOtherData) {
  const Status status = run_resolve(options_, data_with_hash("00000000000000bb"), out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              HasSubstr("manifest 00000000000000aa expected by the run " + options_.resume +
                        ", 00000000000000bb found: it is not the data of that run"));
}

TEST_F(Resume, RefusesMoreWorkersThanLanes) {
  options_.overrides = {"cluster.workers=3"};

  EXPECT_THAT(run_resolve(options_, data_, out_).to_string(),
              HasSubstr("cluster.workers = 3 is more than train.lanes = 2"));
}

}  // namespace
}  // namespace ballast
