// FeedClient and feeders over the simulated network, from seeds: messages are lost, repeated, late
// and reordered, feeders die and come back, stand still, say busy, cannot read. Every portion that
// is wanted ends exactly once, with the bytes of the pure function where it is delivered.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "common/base/random.h"
#include "common/net/sim_network.h"
#include "common/wire/codec.h"
#include "worker/feed/feed_client.h"

namespace ballast {
namespace {

constexpr wire::FeedStamp kStamp{7, 8};
constexpr PortionShape kShape{8, 1};
constexpr uint32_t kFeeders = 3;
constexpr uint32_t kLanes = 4;
constexpr uint64_t kPortions = 40;  // of a lane
constexpr uint32_t kRows = 4;       // of a portion
constexpr uint32_t kAhead = 3;

wire::FeedAnswer rows_of(const wire::RowRun& run) {
  wire::FeedAnswer answer;
  answer.stamp = kStamp;
  answer.run = run;
  lay_out(answer, kShape, run.rows, Buffer::allocate(run.rows * kShape.row_bytes()));
  Random random(hash_numbers({run.lane.value(), run.first}));
  for (Buffer* array : {&answer.ids, &answer.features, &answer.labels, &answer.weights}) {
    for (std::byte& byte : array->bytes()) byte = static_cast<std::byte>(random.next());
  }
  answer.xxh3 = hash_of(answer);
  return answer;
}

struct Ending {
  uint32_t delivered = 0;
  uint32_t local = 0;
};

class FeedSim {
 public:
  explicit FeedSim(uint64_t seed) : random_(seed), network_(seed, faults()), client_(config(), {}) {
    worker_ = network_.make({Role::kWorker, 0, 1});
    for (uint32_t i = 0; i < kFeeders; ++i) {
      start_feeder(i);
      EXPECT_TRUE(worker_->connect({Role::kFeeder, i, 0}, endpoint(i)).ok());
    }
  }

  // Lanes are read portion by portion, `kAhead` asked for ahead, until all have ended.
  void run() {
    for (uint32_t lane = 0; lane < kLanes; ++lane) want_up_to(LaneId(lane), kAhead);
    while (ended_.size() < kLanes * kPortions) {
      ASSERT_LT(network_.now(), Time{3600s}) << "portions never ended";
      step();
      ASSERT_FALSE(testing::Test::HasFailure());
    }
    EXPECT_EQ(client_.wanted(), 0u);
  }

  std::map<wire::RowRun, Ending> ended_;
  uint32_t kills_ = 0;
  uint32_t busy_ = 0;
  uint32_t failed_ = 0;

 private:
  struct Node {
    std::unique_ptr<Transport> transport;
    Incarnation life = 0;
    Time still_until{};  // takes and gives nothing
    Time back_at = kEndOfTime;
    std::multimap<Time, std::pair<Peer, wire::FeedAnswer>> making;
  };

  static SimFaults faults() {
    return {.loss = 0.02, .repeat = 0.02, .delay = 0.05, .reorder = 0.05, .reset = 0.002};
  }
  static FeedClientConfig config() {
    FeedClientConfig config;
    config.feeders = kFeeders;
    config.stamp = kStamp;
    config.shape = kShape;
    config.asks_per_feeder = 4;
    return config;
  }
  static std::string endpoint(uint32_t index) { return "tcp://sim:" + std::to_string(100 + index); }

  void start_feeder(uint32_t index) {
    Node& node = nodes_[index];
    node = {};
    node.life = ++lives_;
    node.transport = network_.make({Role::kFeeder, index, node.life});
    EXPECT_TRUE(node.transport->bind(endpoint(index)).ok());
  }

  void step() {
    Time next = std::min(network_.next_event().value_or(kEndOfTime), client_.next_due());
    for (const auto& [index, node] : nodes_) {
      next = std::min(next, node.back_at);
      if (!node.making.empty())
        next = std::min(next, std::max(node.making.begin()->first, node.still_until));
    }
    next = std::max(next, network_.now());
    ASSERT_LT(next, kEndOfTime) << "nothing will ever happen";
    network_.advance_to(next);
    disturb();
    for (uint32_t i = 0; i < kFeeders; ++i) drive(i);
    while (auto event = worker_->receive(network_.now())) take(*event);
    if (network_.now() >= client_.next_due()) handle(feed_event::Tick{});
  }

  void disturb() {
    const auto index = static_cast<uint32_t>(random_.below(kFeeders));
    Node& node = nodes_[index];
    if (node.back_at != kEndOfTime) {
      if (network_.now() >= node.back_at) start_feeder(index);
    } else if (random_.chance(0.003)) {
      network_.kill({Role::kFeeder, index, node.life});
      node.making.clear();
      node.back_at = network_.now() + from_seconds(random_.uniform() * 3);
      ++kills_;
    } else if (random_.chance(0.003)) {
      node.still_until = network_.now() + from_seconds(random_.uniform() * 20);
    }
  }

  void drive(uint32_t index) {
    Node& node = nodes_[index];
    const Time now = network_.now();
    if (node.back_at != kEndOfTime || now < node.still_until) return;
    while (auto event = node.transport->receive(now)) {
      auto* in = std::get_if<MessageIn>(&*event);
      if (in == nullptr) continue;
      const wire::Any message = wire::decode(std::move(in->message)).value();
      const wire::RowRun run = std::get<wire::FeedAsk>(message).run;
      wire::FeedAnswer answer = rows_of(run);
      if (random_.chance(0.05))
        answer.code = wire::FeedCode::kBusy, ++busy_;
      else if (random_.chance(0.02))
        answer.code = wire::FeedCode::kFailed, ++failed_;
      node.making.emplace(now + from_seconds(random_.uniform() * 0.05),
                          std::pair{in->from, std::move(answer)});
    }
    while (!node.making.empty() && node.making.begin()->first <= now) {
      auto& [to, answer] = node.making.begin()->second;
      (void)node.transport->send(to, wire::encode(std::move(answer)));
      node.making.erase(node.making.begin());
    }
  }

  void take(TransportEvent& event) {
    if (auto* in = std::get_if<MessageIn>(&event)) {
      wire::Any message = wire::decode(std::move(in->message)).value();
      handle(feed_event::Received{in->from, std::move(std::get<wire::FeedAnswer>(message))});
    } else if (auto* up = std::get_if<PeerUp>(&event)) {
      handle(feed_event::PeerUp{up->peer});
    } else if (auto* down = std::get_if<PeerDown>(&event)) {
      handle(feed_event::PeerDown{down->peer});
    }
  }

  void handle(FeedEvent event) {
    FeedEffects effects;
    client_.handle(std::move(event), network_.now(), effects);
    for (FeedEffect& effect : effects) {
      if (auto* send = std::get_if<feed_effect::Send>(&effect)) {
        (void)worker_->send(send->to, wire::encode(send->ask));
      } else if (auto* deliver = std::get_if<feed_effect::Deliver>(&effect)) {
        const wire::FeedAnswer expected = rows_of(deliver->rows.run);
        EXPECT_EQ(fault_of(deliver->rows, kShape), "");
        EXPECT_EQ(deliver->rows.xxh3, expected.xxh3);
        ++ended_[deliver->rows.run].delivered;
        went_on(deliver->rows.run);
      } else if (auto* local = std::get_if<feed_effect::ReadLocally>(&effect)) {
        ++ended_[local->run].local;
        went_on(local->run);
      }
    }
  }

  void went_on(const wire::RowRun& run) {
    const Ending& ending = ended_.at(run);
    EXPECT_EQ(ending.delivered + ending.local, 1u) << "a portion ended twice";
    pending_.push_back(run.lane);
    if (pending_.size() > 1) return;  // not within itself
    while (!pending_.empty()) {
      const LaneId lane = pending_.front();
      want_up_to(lane, wanted_[lane]);
      pending_.erase(pending_.begin());
    }
  }

  void want_up_to(LaneId lane, uint64_t last) {
    for (; wanted_[lane] <= std::min(last, kPortions - 1); ++wanted_[lane]) {
      handle(feed_event::Want{{0, lane, wanted_[lane] * kRows, kRows}});
    }
  }

  Random random_;
  SimNetwork network_;
  FeedClient client_;
  std::unique_ptr<Transport> worker_;
  std::map<uint32_t, Node> nodes_;
  Incarnation lives_ = 0;
  std::map<LaneId, uint64_t> wanted_;  // the next portion of each lane
  std::vector<LaneId> pending_;
};

TEST(FeedSim, EveryPortionEndsOnceWhateverHappens) {
  uint64_t delivered = 0, local = 0, kills = 0, busy = 0, failed = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    FeedSim sim(seed);
    sim.run();
    ASSERT_FALSE(HasFatalFailure());
    for (const auto& [run, ending] : sim.ended_) {
      delivered += ending.delivered;
      local += ending.local;
    }
    kills += sim.kills_;
    busy += sim.busy_;
    failed += sim.failed_;
  }

  // Each way was walked, and feeders that live are used.
  EXPECT_EQ(delivered + local, 60 * kLanes * kPortions);
  EXPECT_GT(delivered, 5 * local);
  for (const uint64_t count : {local, kills, busy, failed}) EXPECT_GT(count, 0u);
}

}  // namespace
}  // namespace ballast
