#include "common/base/system_cores.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

namespace ballast {
namespace {

class SystemCores : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = ::testing::TempDir() + "ballast-cores-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::filesystem::create_directory(folder_ + "/cpu");
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  [[nodiscard]] double quota() const { return quota_cores(folder_); }

  std::string folder_;
};

TEST_F(SystemCores, ReadsTheQuotaOfAControlGroupV2) {
  write("cpu.max", "150000 100000\n");
  EXPECT_EQ(quota(), 1.5);

  write("cpu.max", "50000 200000\n");
  EXPECT_EQ(quota(), 0.25);
}

TEST_F(SystemCores, ReadsTheQuotaOfAControlGroupV1) {
  write("cpu/cpu.cfs_quota_us", "400000\n");
  write("cpu/cpu.cfs_period_us", "100000\n");

  EXPECT_EQ(quota(), 4);
}

TEST_F(SystemCores, FindsNoQuotaWhereThereIsNone) {
  EXPECT_EQ(quota(), 0) << "no control group";

  write("cpu.max", "max 100000\n");
  EXPECT_EQ(quota(), 0) << "v2";

  std::filesystem::remove(folder_ + "/cpu.max");
  write("cpu/cpu.cfs_quota_us", "-1\n");
  write("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 0) << "v1";
}

TEST_F(SystemCores, TakesNothingFromFilesThatMakeNoSense) {
  for (const char* text : {"", "100000", "100000 0", "100000 -5", "a b", "\xff\xfe"}) {
    write("cpu.max", text);
    EXPECT_EQ(quota(), 0) << text;
  }
  write("cpu/cpu.cfs_quota_us", "100000");
  EXPECT_EQ(quota(), 0) << "no period";
  write("cpu/cpu.cfs_period_us", "0");
  EXPECT_EQ(quota(), 0) << "no time at all";
}

TEST(CoresWithin, IsTheLessOfBothRoundedUpAndAtLeastOne) {
  EXPECT_EQ(cores_within(8, 0), 8u);
  EXPECT_EQ(cores_within(8, 1.5), 2u);
  EXPECT_EQ(cores_within(8, 0.25), 1u);
  EXPECT_EQ(cores_within(8, 7.9), 8u);
  EXPECT_EQ(cores_within(8, 100), 8u);
  EXPECT_EQ(cores_within(0, 0), 1u);
}

TEST(UsableCores, AreAtLeastOne) {
  EXPECT_GE(usable_cores(), 1u);
}

}  // namespace
}  // namespace ballast
