#include "common/base/status.h"

#include <gtest/gtest.h>

#include "common/base/log.h"

namespace ballast {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) return Status(Code::kInvalidInput, "odd number 3");
  return number / 2;
}

Status quarter(int number, int& out) {
  BALLAST_ASSIGN(const int first, half(number));
  BALLAST_ASSIGN(out, half(first));
  return Status();
}

TEST(Status, EachLayerAddsOneLine) {
  const Status status = Status(Code::kDataLoss, "block 3: hash differs").because("in epoch 2");

  EXPECT_EQ(status.to_string(), "block 3: hash differs; in epoch 2");
  EXPECT_EQ(status.chain().size(), 2u);
}

TEST(Status, TheExitCodeFollowsFromWhatTheUserCanDo) {
  EXPECT_EQ(exit_code(Status()), 0);
  EXPECT_EQ(exit_code(Status(Code::kInternal, "x")), 1);
  EXPECT_EQ(exit_code(Status(Code::kInvalidInput, "x")), 2);
  EXPECT_EQ(exit_code(Status(Code::kDataLoss, "x")), 2);
  EXPECT_EQ(exit_code(Status(Code::kNotFound, "x")), 2);
  EXPECT_EQ(exit_code(Status(Code::kDiverged, "x")), 3);
  EXPECT_EQ(exit_code(Status(Code::kExhausted, "x")), 3);
  EXPECT_EQ(exit_code(Status(Code::kStopped, "x")), 75);
}

TEST(Result, ErrorsReturnEarly) {
  int out = 0;

  EXPECT_TRUE(quarter(8, out).ok());
  EXPECT_EQ(out, 2);
  EXPECT_EQ(quarter(6, out).code(), Code::kInvalidInput);
}

TEST(ResultDeathTest, TakingAValueThatIsNotThereIsOurBug) {
  Result<int> result = half(3);

  EXPECT_DEATH((void)result.value(), "odd number 3");
}

TEST(Log, TheTailKeepsWhatWasWrittenLast) {
  ASSERT_TRUE(log::open("", "test").ok());

  log::info("step={} loss={:.3f}", 7, 0.25);

  EXPECT_NE(log::tail().find("test step=7 loss=0.250"), std::string::npos);
  log::close();
}

TEST(Log, AFolderThatCannotBeWrittenIsTheUsersToMend) {
  const Status status = log::open("/proc/nowhere/x.log", "test");

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_NE(status.to_string().find("/proc/nowhere/x.log"), std::string::npos);
}

}  // namespace
}  // namespace ballast
