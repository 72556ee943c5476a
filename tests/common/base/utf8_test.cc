#include "common/base/utf8.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

TEST(Utf8, TakesEveryLengthOfCharacter) {
  for (const char* text :
       {"", "plain", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x9a\xa2", "a\xc2\x80z"}) {
    EXPECT_TRUE(is_utf8(text)) << escaped(text);
  }
}

TEST(Utf8, RefusesWhatIsCutShortTooLongOrNoCharacter) {
  for (const char* text :
       {"\xff", "a\xe4", "\xc3", "\x80", "\xc0\xaf", "\xe0\x80\x80", "\xed\xa0\x80",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82"}) {
    EXPECT_FALSE(is_utf8(text)) << escaped(text);
  }
}

TEST(Utf8, ShowsForeignBytesInMessages) {
  EXPECT_EQ(escaped("a\xff\n"), "a\\xff\\x0a");
}

}  // namespace
}  // namespace ballast
