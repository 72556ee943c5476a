// The contract of common/net/transport.h, on every kind of transport.
#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <list>
#include <thread>

#include "tests/contract/transport/harness.h"

namespace ballast::testing {
namespace {

constexpr Peer kShard{Role::kServer, 0, 5};
constexpr Peer kWorker{Role::kWorker, 1, 17};
constexpr Duration kPatience = 5s;  // a test that waits this long fails
constexpr Duration kMoment = 30ms;  // long enough for what must not happen to happen

struct Kind {
  const char* name;
  std::unique_ptr<TransportHarness> (*make)();
};

Buffer pattern(size_t bytes, uint8_t seed) {
  Buffer buffer = Buffer::allocate(bytes);
  for (size_t i = 0; i < bytes; ++i) buffer.data()[i] = static_cast<std::byte>(seed + i * 31);
  return buffer;
}

bool same_bytes(const Buffer& a, const Buffer& b) {
  return std::ranges::equal(a.bytes(), b.bytes());
}

Message text(const std::string& words) {
  return Message(Buffer::copy_of(std::as_bytes(std::span(words))));
}

std::string text_of(const Message& message) {
  return std::string(reinterpret_cast<const char*>(message.envelope.data()),
                     message.envelope.size());
}

class TransportContract : public ::testing::TestWithParam<Kind> {
 protected:
  // Starts a transport that takes part in whatever the test waits for.
  Transport& start(const Peer& self) {
    running_.push_back({harness_->make(self), {}});
    return *running_.back().transport;
  }
  void stop(Transport& transport) {
    running_.remove_if([&](const Running& each) { return each.transport.get() == &transport; });
  }

  // The next event of `transport`; meanwhile every other one does its work, as in its own thread.
  std::optional<TransportEvent> next(Transport& transport, Duration patience = kPatience) {
    constexpr Duration kSlice = 1ms;
    const Time deadline = harness_->now() + patience;
    auto me = std::ranges::find_if(
        running_, [&](const Running& each) { return each.transport.get() == &transport; });
    while (me->unread.empty() && harness_->now() < deadline) {
      for (Running& each : running_) {
        const Duration wait = &each == &*me ? kSlice : Duration::zero();
        auto event = harness_->next(*each.transport, wait);
        if (event) each.unread.push_back(std::move(*event));
      }
    }
    if (me->unread.empty()) return std::nullopt;
    TransportEvent event = std::move(me->unread.front());
    me->unread.pop_front();
    return event;
  }

  // The next event, which must be of type T.
  template <typename T>
  std::optional<T> expect(Transport& transport) {
    std::optional<TransportEvent> event = next(transport);
    if (!event) {
      ADD_FAILURE() << "no event within the patience";
      return std::nullopt;
    }
    if (T* wanted = std::get_if<T>(&*event)) return std::move(*wanted);
    ADD_FAILURE() << "another event came: number " << event->index();
    return std::nullopt;
  }

  template <typename T>
  void expect_peer(Transport& transport, const Peer& peer) {
    const std::optional<T> event = expect<T>(transport);
    ASSERT_TRUE(event);
    EXPECT_EQ(event->peer, peer);
  }

  void expect_text(Transport& transport, const Peer& from, const std::string& words) {
    const std::optional<MessageIn> in = expect<MessageIn>(transport);
    ASSERT_TRUE(in);
    EXPECT_EQ(in->from, from);
    EXPECT_EQ(text_of(in->message), words);
  }

  // A shard that listens at `endpoint_` and a worker that is connected to it.
  void start_pair() {
    shard_ = &start(kShard);
    worker_ = &start(kWorker);
    Result<std::string> bound = shard_->bind(harness_->fresh_endpoint());
    ASSERT_TRUE(bound.ok()) << bound.status().to_string();
    endpoint_ = *bound;
    ASSERT_TRUE(worker_->connect({Role::kServer, 0, 0}, endpoint_).ok());
    expect_peer<PeerUp>(*shard_, kWorker);
    expect_peer<PeerUp>(*worker_, kShard);
  }

  std::unique_ptr<TransportHarness> harness_ = GetParam().make();
  std::string endpoint_;
  Transport* shard_ = nullptr;
  Transport* worker_ = nullptr;

 private:
  struct Running {
    std::unique_ptr<Transport> transport;
    std::deque<TransportEvent> unread;
  };
  std::list<Running> running_;
};

TEST_P(TransportContract, ADeliveredMessageNamesItsSenderInBothDirections) {
  start_pair();

  ASSERT_TRUE(worker_->send(kShard, text("push")).ok());
  expect_text(*shard_, kWorker, "push");
  ASSERT_TRUE(shard_->send(kWorker, text("reply")).ok());
  expect_text(*worker_, kShard, "reply");
}

TEST_P(TransportContract, IncarnationZeroReachesWhoeverLivesThere) {
  start_pair();

  ASSERT_TRUE(worker_->send({Role::kServer, 0, 0}, text("push")).ok());
  expect_text(*shard_, kWorker, "push");
  ASSERT_TRUE(shard_->send({Role::kWorker, 1, 0}, text("reply")).ok());
  expect_text(*worker_, kShard, "reply");
}

TEST_P(TransportContract, EveryFrameArrivesWholeAndUnchanged) {
  start_pair();
  const std::vector<size_t> sizes = {0, 1, 33, 4096, (1 << 20) + 1, 0};
  Message message(pattern(97, 1));
  for (size_t size : sizes) message.payloads.push_back(pattern(size, uint8_t(size)));

  for (Transport* sender : {worker_, shard_}) {
    Transport& receiver = sender == worker_ ? *shard_ : *worker_;
    ASSERT_TRUE(sender->send(receiver.self(), message.deep_copy()).ok());

    std::optional<MessageIn> in = expect<MessageIn>(receiver);
    ASSERT_TRUE(in);
    EXPECT_TRUE(same_bytes(in->message.envelope, message.envelope));
    ASSERT_EQ(in->message.payloads.size(), sizes.size());
    for (size_t i = 0; i < sizes.size(); ++i) {
      EXPECT_TRUE(same_bytes(in->message.payloads[i], message.payloads[i])) << sizes[i];
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, TransportContract,
                         ::testing::Values(Kind{"ZeroMqTcp", make_tcp_harness},
                                           Kind{"ZeroMqIpc", make_ipc_harness},
                                           Kind{"Simulated", make_sim_harness}),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace ballast::testing
