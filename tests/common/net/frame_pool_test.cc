#include "common/net/frame_pool.h"

#include <gtest/gtest.h>

#include <cstring>

namespace ballast {
namespace {

TEST(FramePool, GivesReleasedMemoryOutAgainForASizeNearby) {
  FramePool pool(uint64_t{1} << 20);
  Buffer first = pool.take(100'000);
  const std::byte* address = first.data();

  first = Buffer();
  Buffer second = pool.take(99'000);

  EXPECT_EQ(second.data(), address);
  EXPECT_EQ(second.size(), 99'000u);
  EXPECT_EQ(pool.spare_bytes(), 0u);
}

TEST(FramePool, EveryByteAskedForIsThere) {
  FramePool pool(uint64_t{1} << 20);
  for (size_t bytes = 1; bytes < 10'000; bytes += 7) {
    Buffer buffer = pool.take(bytes);
    ASSERT_EQ(buffer.size(), bytes);
    std::memset(buffer.data(), 1, bytes);  // the address sanitizer sees a short one
  }
}

TEST(FramePool, KeepsNoMoreThanItMay) {
  FramePool pool(300'000);
  {
    Buffer a = pool.take(100'000);
    Buffer b = pool.take(100'000);
    Buffer c = pool.take(100'000);
    Buffer d = pool.take(100'000);
  }

  EXPECT_GT(pool.spare_bytes(), 0u);
  EXPECT_LE(pool.spare_bytes(), 300'000u);
}

TEST(FramePool, BuffersOutliveTheirPool) {
  Buffer buffer;
  {
    FramePool pool(1000);
    buffer = pool.take(64);
  }

  buffer.data()[63] = std::byte{1};
  EXPECT_EQ(buffer.data()[63], std::byte{1});
}

}  // namespace
}  // namespace ballast
