#include "worker/feed/feeder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <thread>

#include "common/base/process.h"
#include "common/net/zeromq_transport.h"
#include "common/wire/codec.h"

namespace ballast {
namespace {

constexpr wire::FeedStamp kStamp{7, 8};
constexpr uint32_t kLanes = 4;
constexpr uint64_t kLaneRows = 100;
constexpr LaneId kStuck(0);

// Rows of zeros. Whoever reads the lane kStuck has it in its hands until release(), as a stream
// that waits for its network.
class SlowRows final : public RowSource {
 public:
  Status read(uint64_t, LaneId lane, uint64_t, const RowRoom& room) override {
    std::lock_guard lock(lanes_[lane.value()]);
    std::fill(room.ids.begin(), room.ids.end(), 0);
    std::fill_n(room.weights, room.ids.size(), 1.0f);
    if (lane == kStuck) released_.get_future().wait();
    return {};
  }
  void forget(LaneId lane) override {
    std::lock_guard lock(lanes_[lane.value()]);
    if (lane == kStuck) forgotten_.set_value();
  }
  void stop() override {}
  [[nodiscard]] bool in_memory() const override { return false; }
  [[nodiscard]] const RowPlan& plan() const override { return plan_; }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override { return dataset_; }

  void release() {
    if (!is_released_.exchange(true)) released_.set_value();
  }
  bool is_forgotten() { return forgotten_.get_future().wait_for(10s) == std::future_status::ready; }

 private:
  RowPlan plan_;
  const std::shared_ptr<const Dataset> dataset_;
  std::mutex lanes_[kLanes];
  std::atomic<bool> is_released_ = false;
  std::promise<void> released_;
  std::promise<void> forgotten_;
};

class FeederTest : public testing::Test {
 protected:
  void start(FeederSetup setup) {
    feeder_ = std::make_unique<Feeder>(std::move(setup), rows_);
    const std::string endpoint =
        "ipc://" + testing::TempDir() + "feeder-" + std::to_string(new_incarnation());
    std::promise<void> listens;
    thread_ = std::thread([&, endpoint] {
      const auto transport = make_zeromq_transport({Role::kFeeder, 0, new_incarnation()});
      EXPECT_TRUE(transport->bind(endpoint).ok());
      listens.set_value();
      feeder_->run(*transport);
    });
    listens.get_future().wait();
    worker_ = make_zeromq_transport({Role::kWorker, 0, new_incarnation()});
    ASSERT_TRUE(worker_->connect({Role::kFeeder, 0, 0}, endpoint).ok());
    for (bool is_up = false; !is_up;) {
      const auto event = worker_->receive(monotonic_now() + 10s);
      ASSERT_TRUE(event.has_value());
      is_up = std::holds_alternative<PeerUp>(*event);
    }
  }
  void TearDown() override {
    rows_.release();
    feeder_->stop();
    thread_.join();
  }

  static FeederSetup setup() {
    return {.stamp = kStamp,
            .schedule = LaneSchedule(kLanes * kLaneRows, kLanes, 2 * kLanes, 1),
            .threads = 2};
  }
  void ask(LaneId lane) {
    const wire::FeedAsk ask{kStamp, {0, lane, 0, 2}};
    ASSERT_TRUE(worker_->send({Role::kFeeder, 0, 0}, wire::encode(ask)).ok());
  }
  // The next one, of any lane.
  wire::FeedAnswer answer() {
    auto event = worker_->receive(monotonic_now() + 10s);
    auto* in = event ? std::get_if<MessageIn>(&*event) : nullptr;
    if (in == nullptr) {
      ADD_FAILURE() << "no answer";
      return {};
    }
    return std::get<wire::FeedAnswer>(wire::decode(std::move(in->message)).value());
  }

  SlowRows rows_;
  std::unique_ptr<Feeder> feeder_;
  std::unique_ptr<Transport> worker_;
  std::thread thread_;
};

TEST_F(FeederTest, AnswersOtherLanesWhileOneThatIsIdleWaitsForItsNetwork) {
  FeederSetup impatient = setup();
  impatient.idle_lane = 20ms;
  start(impatient);

  ask(kStuck);
  for (const Time end = monotonic_now() + 5 * impatient.idle_lane; monotonic_now() < end;) {
    ask(LaneId(1));
    ASSERT_EQ(answer().run.lane, LaneId(1));
  }
  rows_.release();

  EXPECT_EQ(answer().run.lane, kStuck);
  EXPECT_TRUE(rows_.is_forgotten());
}

}  // namespace
}  // namespace ballast
