#include "common/storage/unit_image.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/storage/images.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

TEST(UnitImage, ComesBackBitForBitWithItsMarksAndState) {
  for (size_t elements : {0, 1, 15, 16, 17, 1000}) {
    const UnitImage image = make_image(3, 7, elements);

    const Result<UnitImage> decoded = decode(encode(image));

    ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
    EXPECT_TRUE(same_image(*decoded, image)) << elements;
  }
}

TEST(UnitImage, KeepsSectionsAtMultiplesOf64) {
  const UnitImage image = make_image(3, 7, 17);

  const Buffer bytes = encode(image);

  const Result<UnitImage> decoded = decode(bytes);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(bytes.size() % 64, 0u);
  EXPECT_EQ((decoded->weights.data() - bytes.data()) % 64, 0);
  EXPECT_EQ((decoded->state[1].data() - bytes.data()) % 64, 0);
}

TEST(UnitImage, DecodesFromAnOddAddress) {
  const UnitImage image = make_image(3, 7, 100);
  const Buffer bytes = encode(image);
  Buffer shifted = Buffer::allocate(bytes.size() + 1);
  std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());

  const Result<UnitImage> decoded = decode(shifted.slice(1, bytes.size()));

  ASSERT_TRUE(decoded.ok()) << decoded.status().to_string();
  EXPECT_TRUE(same_image(*decoded, image));
  EXPECT_EQ(decoded->weights.floats().size(), 100u);
}

TEST(UnitImage, RefusesEveryFlippedBit) {
  const Buffer bytes = encode(make_image(3, 7, 5));

  for (size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    Buffer damaged = Buffer::copy_of(bytes.bytes());
    damaged.data()[bit / 8] ^= std::byte(1 << (bit % 8));

    const Result<UnitImage> decoded = decode(damaged);

    ASSERT_FALSE(decoded.ok()) << "bit " << bit;
    ASSERT_EQ(decoded.status().code(), Code::kDataLoss);
  }
}

TEST(UnitImage, RefusesEveryTruncation) {
  const Buffer bytes = encode(make_image(3, 7, 5));

  for (size_t size = 0; size < bytes.size(); ++size) {
    ASSERT_FALSE(decode(bytes.slice(0, size)).ok()) << size;
  }
}

TEST(UnitImage, SaysWhatItExpectedAndFound) {
  Buffer bytes = encode(make_image(3, 7, 5));
  bytes.data()[bytes.size() - 1] ^= std::byte(1);

  const Result<UnitImage> decoded = decode(bytes);

  EXPECT_THAT(decoded.status().to_string(), HasSubstr("xxh3 stored"));
  EXPECT_THAT(decoded.status().to_string(), HasSubstr(", found "));
}

}  // namespace
}  // namespace ballast
