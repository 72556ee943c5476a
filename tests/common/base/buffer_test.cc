#include "common/base/buffer.h"

#include <gtest/gtest.h>

#include <thread>
#include <utility>

namespace ballast {
namespace {

TEST(Buffer, IsAlignedAndZeroed) {
  Buffer buffer = Buffer::allocate(100);

  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
  for (std::byte byte : buffer.bytes()) EXPECT_EQ(byte, std::byte{0});
}

TEST(Buffer, OfMappedPagesIsAlignedAndZeroedToo) {
  const Buffer buffer = Buffer::map(10'000);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
  EXPECT_EQ(buffer.bytes().back(), std::byte{0});
  EXPECT_TRUE(Buffer::map(0).empty());
}

TEST(Buffer, ASliceKeepsTheMemoryAlive) {
  Buffer part;
  {
    Buffer whole = Buffer::allocate(128);
    whole.floats()[16] = 4.5f;
    part = whole.slice(64, 64);
  }

  EXPECT_EQ(part.floats()[0], 4.5f);
}

TEST(Buffer, KnowsWhetherAnyoneElseHoldsItsMemory) {
  Buffer buffer = Buffer::allocate(64);
  EXPECT_TRUE(buffer.sole_owner());
  {
    const Buffer part = buffer.slice(32, 8);
    EXPECT_FALSE(buffer.sole_owner());
  }
  EXPECT_TRUE(buffer.sole_owner());
  EXPECT_FALSE(Buffer().sole_owner());
}

// For the thread sanitizer: without an order between the count and the reads it finds a race.
TEST(Buffer, IsWrittenAgainOnlyAfterItsReadersOnOtherThreads) {
  Buffer buffer = Buffer::allocate(64);
  float seen = -1;
  std::thread reader([&seen, copy = Buffer(buffer)]() mutable {
    seen = std::as_const(copy).floats()[0];
    copy = Buffer();
  });

  while (!buffer.sole_owner()) std::this_thread::yield();
  buffer.floats()[0] = 1;
  reader.join();

  EXPECT_EQ(seen, 0);
}

TEST(BufferDeathTest, ASliceMustLieInside) {
  Buffer buffer = Buffer::allocate(16);

  EXPECT_DEATH((void)buffer.slice(8, 9), "check failed");
  EXPECT_DEATH((void)buffer.slice(17, 0), "check failed");
}

TEST(BufferPool, GivesReturnedMemoryOutAgain) {
  BufferPool pool(256, 1);
  Buffer first = pool.take();
  const std::byte* address = first.data();

  first = Buffer();
  Buffer second = pool.take();

  EXPECT_EQ(second.data(), address);
  EXPECT_EQ(pool.taken(), 1u);
  EXPECT_EQ(pool.taken_max(), 1u);
}

TEST(BufferPool, BuffersOutliveTheirPool) {
  Buffer buffer;
  {
    BufferPool pool(64, 4);
    buffer = pool.take();
  }

  buffer.floats()[0] = 1.0f;
  EXPECT_EQ(buffer.floats()[0], 1.0f);
}

}  // namespace
}  // namespace ballast
