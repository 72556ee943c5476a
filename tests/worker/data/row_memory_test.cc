#include "worker/data/row_memory.h"

#include <gtest/gtest.h>

#include <cstring>
#include <limits>

namespace ballast {
namespace {

constexpr uint64_t kHugePage = 2u << 20;

TEST(RowMemory, BeginsWhereAHugePageCan) {
  for (const uint64_t bytes : {uint64_t{1}, kHugePage - 1, kHugePage, 3 * kHugePage + 5}) {
    Result<Buffer> rows = map_rows(bytes);

    ASSERT_TRUE(rows.ok()) << rows.status().to_string();
    EXPECT_EQ(rows->size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(rows->data()) % kHugePage, 0u) << bytes;
    std::memset(rows->data(), 1, bytes);  // all of it is there
  }
}

TEST(RowMemory, HasNoneForNoRows) {
  EXPECT_TRUE(map_rows(0)->empty());
  EXPECT_TRUE(allocate_rows(0)->empty());
}

TEST(RowMemory, RefusesMoreThanThereIs) {
  for (const uint64_t bytes : {uint64_t{1} << 62, std::numeric_limits<uint64_t>::max()}) {
    EXPECT_EQ(map_rows(bytes).status().code(), Code::kExhausted) << bytes;
  }
}

}  // namespace
}  // namespace ballast
