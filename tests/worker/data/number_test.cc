#include "worker/data/convert/number.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <charconv>
#include <cmath>
#include <cstring>

namespace ballast {
namespace {

float parsed(const std::string& text) {
  float number = 0;
  EXPECT_TRUE(parse_number(text, ColumnType::kF32, false, reinterpret_cast<std::byte*>(&number)))
      << text;
  return number;
}

TEST(Number, GivesTheBitsOfTheStandardLibraryForEveryShortNumber) {
  uint64_t state = 7;
  for (int i = 0; i < 200'000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const uint64_t digits = (state >> 33) % (i % 2 == 0 ? 20'000'000u : 1000u);
    std::string text = std::to_string(digits);
    const size_t behind = (state >> 20) % 12;
    if (behind > 0) {
      text = fmt::format("{:0>{}}", text, behind + 1);
      const size_t before = text.size() - behind;
      text = fmt::format("{}.{}", text.substr(0, before), text.substr(before));
    }
    if (i % 3 == 0) text = fmt::format("-{}", text);
    float expected = 0;
    std::from_chars(text.data(), text.data() + text.size(), expected);

    const float found = parsed(text);

    ASSERT_EQ(std::memcmp(&found, &expected, sizeof found), 0) << text;
  }
}

TEST(Number, ReadsOddButRightNumbersAndRefusesWrongOnes) {
  EXPECT_EQ(parsed("1."), 1.0f);
  EXPECT_EQ(parsed(".5"), 0.5f);
  EXPECT_EQ(parsed("+2"), 2.0f);
  EXPECT_EQ(parsed("1e3"), 1000.0f);
  EXPECT_EQ(parsed("00000000000000001.5"), 1.5f);
  EXPECT_TRUE(std::signbit(parsed("-0")));
  std::byte value[4];
  for (const char* text : {"", "-", ".", "-.", "1.2.3", "1-", "--1", "1 2", "0x1", "nan"}) {
    EXPECT_FALSE(parse_number(text, ColumnType::kF32, false, value)) << text;
  }
}

}  // namespace
}  // namespace ballast
