#include "common/base/hash.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

TEST(Hash, MatchesThePublishedValueOfTheEmptyInput) {
  EXPECT_EQ(hex64(xxh3(std::string_view())), "2d06800538d394c2");  // XXH3_64bits("", 0)
}

TEST(Hash, PiecesHashLikeTheWhole) {
  Hasher hasher;
  hasher.add(std::string_view("bal"));
  hasher.add(std::string_view("last"));

  EXPECT_EQ(hasher.digest(), xxh3(std::string_view("ballast")));
}

}  // namespace
}  // namespace ballast
