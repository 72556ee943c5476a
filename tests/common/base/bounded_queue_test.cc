#include "common/base/bounded_queue.h"

#include <gtest/gtest.h>

#include <thread>

namespace ballast {
namespace {

TEST(BoundedQueue, HandsOutItemsInOrder) {
  BoundedQueue<int> queue(3);

  queue.push(1);
  queue.push(2);

  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), 2);
  EXPECT_EQ(queue.try_pop(), std::nullopt);
}

TEST(BoundedQueue, RefusesWhatDoesNotFitAndLeavesItToTheCaller) {
  BoundedQueue<std::string> queue(1);
  std::string first = "a", second = "b";

  EXPECT_TRUE(queue.try_push(first));
  EXPECT_FALSE(queue.try_push(second));

  EXPECT_EQ(second, "b");
}

TEST(BoundedQueue, AFullQueueHoldsItsProducerUntilThereIsRoom) {
  BoundedQueue<int> queue(1);
  queue.push(0);

  std::thread producer([&] {
    for (int i = 1; i < 1000; ++i) queue.push(i);
    queue.close();
  });
  int expected = 0;
  while (auto item = queue.pop()) EXPECT_EQ(*item, expected++);
  producer.join();

  EXPECT_EQ(expected, 1000);
}

TEST(BoundedQueue, CloseDrainsAndThenSaysSo) {
  BoundedQueue<int> queue(2);
  queue.push(7);

  queue.close();

  EXPECT_FALSE(queue.push(8));
  EXPECT_EQ(queue.pop(), 7);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

}  // namespace
}  // namespace ballast
