#include "common/config/nearest.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

TEST(Nearest, CountsEditsAndSwaps) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("bacth", "batch"), 1u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("learning_rat", "learning_rate"), 1u);
}

TEST(Nearest, IsSymmetric) {
  const std::vector<std::string> words = {"", "a", "ab", "ba", "train.batch", "train.lanes"};
  for (const auto& a : words) {
    for (const auto& b : words) EXPECT_EQ(edit_distance(a, b), edit_distance(b, a));
  }
}

TEST(Nearest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest_word("snyc", {"sync", "ssp", "async"}), "sync");
  EXPECT_EQ(nearest_word("fast", {"sync", "ssp", "async"}), "");
  EXPECT_EQ(did_you_mean("snyc", {"sync", "ssp"}), "; did you mean \"sync\"?");
  EXPECT_EQ(did_you_mean("fast", {"sync", "ssp"}), "");
  EXPECT_EQ(nearest_path("train.zzzz", {"train.batch", "cluster.workers"}), "");
}

TEST(Nearest, FindsTheSameNameElsewhere) {
  EXPECT_EQ(nearest_path("train.workers", {"train.batch", "cluster.workers"}), "cluster.workers");
}

}  // namespace
}  // namespace ballast
