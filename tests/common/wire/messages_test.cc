#include "common/wire/messages.h"

#include <gtest/gtest.h>

namespace ballast::wire {
namespace {

TEST(EndStatus, IsOkOnlyWhenTheJobIsDone) {
  EXPECT_TRUE(end_status(EndKind::kDone, "").ok());
  EXPECT_EQ(end_status(EndKind::kStopped, "").code(), Code::kStopped);
}

TEST(EndStatus, CountsAFailureElsewhereAsAStopAndSaysWhy) {
  const Status status = end_status(EndKind::kFailed, "shard 1: disk full");

  EXPECT_EQ(status.code(), Code::kStopped);
  EXPECT_EQ(status.to_string(), "the job failed elsewhere: shard 1: disk full");
}

}  // namespace
}  // namespace ballast::wire
