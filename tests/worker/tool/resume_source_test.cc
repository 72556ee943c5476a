#include "worker/tool/resume_source.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "tests/support/known_weights.h"
#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class ResumeSourceTest : public DataFixture {
 protected:
  void SetUp() override { std::filesystem::create_directories(run_); }

  void start_run() { std::ofstream(run_ + "/job.toml") << dump_job(job_); }
  void checkpoint(CutId id) { commit_weights(job_, known_weights(job_), run_, id); }
  void damage(CutId id) {
    for (const auto& file : std::filesystem::directory_iterator(checkpoint_folder(run_, id))) {
      flip_bit(file.path(), 100);
    }
  }
  [[nodiscard]] std::string refusal() const {
    const auto source = find_resume_source(run_);
    EXPECT_FALSE(source.ok());
    EXPECT_EQ(exit_code(source.status()), 2);
    return source.status().to_string();
  }

  const JobConfig job_ = one_layer_job(3, 4);
  const std::string run_ = path("run");
};

TEST_F(ResumeSourceTest, IsTheNewestWholeCheckpoint) {
  start_run();
  checkpoint(10);
  checkpoint(20);
  EXPECT_EQ(find_resume_source(run_)->checkpoint, 20u);

  damage(20);

  const auto source = find_resume_source(run_);
  ASSERT_TRUE(source.ok()) << source.status().to_string();
  EXPECT_EQ(source->step, 10u);
  EXPECT_EQ(source->rejected.size(), 1u);
  EXPECT_THAT(to_string(*source), HasSubstr("checkpoint 10 at step 10 (" + run_));
}

TEST_F(ResumeSourceTest, SaysWhyThereIsNone) {
  EXPECT_THAT(refusal(), HasSubstr("no job.toml in it"));
  start_run();
  EXPECT_THAT(refusal(), HasSubstr("no checkpoint in it; run the job again"));
  checkpoint(10);
  damage(10);
  EXPECT_THAT(refusal(), HasSubstr("cannot resume " + run_ + ": run " + run_ + "/job.toml again"));
}

TEST_F(ResumeSourceTest, LeavesARunAloneThatIsGoingOn) {
  start_run();
  checkpoint(10);
  const int lock = ::open((run_ + "/launch.lock").c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(::flock(lock, LOCK_EX), 0);

  EXPECT_EQ(exit_code(check_not_running(run_)), 2);
  EXPECT_THAT(check_not_running(run_).to_string(), HasSubstr("its run is going on"));

  ::close(lock);
  EXPECT_TRUE(check_not_running(run_).ok());
}

}  // namespace
}  // namespace ballast
