// The contract of common/net/transport.h, on every kind of transport.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <list>
#include <set>
#include <thread>

#include "tests/contract/transport/harness.h"

namespace ballast::testing {
namespace {

using ::testing::HasSubstr;

constexpr Peer kShard{Role::kServer, 0, 5};
constexpr Peer kWorker{Role::kWorker, 1, 17};
constexpr Duration kPatience = 5s;  // a test that waits this long fails
constexpr Duration kMoment = 30ms;  // long enough for what must not happen to happen

struct Kind {
  const char* name;
  std::unique_ptr<TransportHarness> (*make)();

  friend void PrintTo(const Kind& kind, std::ostream* out) { *out << kind.name; }
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

TEST_P(TransportContract, TheReceiverGetsAnAlignedEnvelope) {
  start_pair();

  for (size_t bytes = 1; bytes < 12; ++bytes) {
    ASSERT_TRUE(worker_->send(kShard, Message(pattern(bytes, 0))).ok());
    const std::optional<MessageIn> in = expect<MessageIn>(*shard_);
    ASSERT_TRUE(in);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(in->message.envelope.data()) % kBufferAlignment, 0u);
  }
}

TEST_P(TransportContract, EveryMessageArrivesWhenNothingFails) {
  start_pair();
  constexpr int kMessages = 300;  // more than the queue holds: the receiver keeps up
  std::set<std::string> seen;

  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(worker_->send(kShard, text(std::to_string(i))).ok());
    if (const auto in = expect<MessageIn>(*shard_)) seen.insert(text_of(in->message));
  }

  EXPECT_EQ(seen.size(), size_t{kMessages});
}

TEST_P(TransportContract, EachOfManyWorkersGetsItsOwnReply) {
  start_pair();
  for (uint32_t i = 2; i < 6; ++i) {
    Transport& worker = start({Role::kWorker, i, 1});
    ASSERT_TRUE(worker.connect(kShard, endpoint_).ok());
    expect_peer<PeerUp>(*shard_, worker.self());
    expect_peer<PeerUp>(worker, kShard);

    ASSERT_TRUE(shard_->send(worker.self(), text("for " + std::to_string(i))).ok());
    expect_text(worker, kShard, "for " + std::to_string(i));
  }

  EXPECT_FALSE(next(*worker_, kMoment));
}

TEST_P(TransportContract, TheSendersMemoryIsReleasedOnceTheMessageHasGone) {
  start_pair();
  Buffer payload = pattern(100'000, 3);
  const std::weak_ptr<void> memory = payload.owner();
  Message message = text("push");
  message.payloads.push_back(std::move(payload));

  ASSERT_TRUE(worker_->send(kShard, std::move(message)).ok());
  ASSERT_TRUE(expect<MessageIn>(*shard_));

  const Time deadline = harness_->now() + kPatience;
  while (!memory.expired() && harness_->now() < deadline) (void)next(*worker_, 1ms);
  EXPECT_TRUE(memory.expired());
}

TEST_P(TransportContract, TheSendersMemoryIsReleasedWhenSendingIsRefused) {
  Transport& worker = start(kWorker);
  Buffer payload = pattern(100'000, 3);
  const std::weak_ptr<void> memory = payload.owner();
  Message message = text("push");
  message.payloads.push_back(std::move(payload));

  EXPECT_EQ(worker.send(kShard, std::move(message)).code(), Code::kUnavailable);
  EXPECT_TRUE(memory.expired());
}

TEST_P(TransportContract, AReceivedMessageOutlivesBothTransports) {
  start_pair();
  Message message = text("push");
  message.payloads.push_back(pattern(20, 1));
  message.payloads.push_back(pattern(1 << 20, 2));
  ASSERT_TRUE(worker_->send(kShard, std::move(message)).ok());
  const std::optional<MessageIn> in = expect<MessageIn>(*shard_);
  ASSERT_TRUE(in);

  stop(*worker_);
  stop(*shard_);

  EXPECT_TRUE(same_bytes(in->message.payloads[0], pattern(20, 1)));
  EXPECT_TRUE(same_bytes(in->message.payloads[1], pattern(1 << 20, 2)));
}

TEST_P(TransportContract, NobodySharesMemoryWithTheSender) {
  start_pair();
  Message message = text("push");
  message.payloads.push_back(pattern(5000, 1));
  const std::byte* sent = message.payloads[0].data();

  ASSERT_TRUE(worker_->send(kShard, std::move(message)).ok());
  const std::optional<MessageIn> in = expect<MessageIn>(*shard_);

  ASSERT_TRUE(in);
  EXPECT_NE(in->message.payloads[0].data(), sent);
}

TEST_P(TransportContract, AnUnknownPeerIsUnavailable) {
  start_pair();

  EXPECT_EQ(worker_->send({Role::kServer, 9, 0}, text("push")).code(), Code::kUnavailable);
  EXPECT_EQ(shard_->send({Role::kCoordinator, 0, 1}, text("push")).code(), Code::kUnavailable);
}

TEST_P(TransportContract, AnotherLifeOfAPeerIsUnavailable) {
  start_pair();

  EXPECT_EQ(worker_->send({Role::kServer, 0, 4}, text("push")).code(), Code::kUnavailable);
  EXPECT_EQ(shard_->send({Role::kWorker, 1, 18}, text("push")).code(), Code::kUnavailable);
}

TEST_P(TransportContract, TooManyPayloadsAreRefusedBeforeTheyAreSent) {
  start_pair();
  Message message = text("push");
  message.payloads.resize(kPayloadsMax + 1);

  EXPECT_EQ(worker_->send(kShard, std::move(message)).code(), Code::kInvalidInput);
  EXPECT_FALSE(next(*shard_, kMoment));
}

TEST_P(TransportContract, AsManyPayloadsAsAllowedArrive) {
  start_pair();
  Message message = text("push");
  message.payloads.resize(kPayloadsMax);

  ASSERT_TRUE(worker_->send(kShard, std::move(message)).ok());

  const std::optional<MessageIn> in = expect<MessageIn>(*shard_);
  ASSERT_TRUE(in);
  EXPECT_EQ(in->message.payloads.size(), kPayloadsMax);
}

// Sends to somebody who does not read until it is refused.
TEST_P(TransportContract, AFullQueueIsBusyAtOnceAndOpensWhenItIsRead) {
  start_pair();
  const Buffer payload = pattern(256 << 10, 1);
  for (Transport* sender : {worker_, shard_}) {
    Transport& receiver = sender == worker_ ? *shard_ : *worker_;
    Status status;
    Duration slowest{};
    size_t sent = 0;
    // Both sides' queues at twice their size and 100 messages of socket buffers: a limit that was
    // never reached is none.
    const size_t sent_max = 4 * harness_->queue_messages_max() + 100;
    while (status.ok() && sent < sent_max) {
      const Time before = harness_->now();
      status = sender->send(receiver.self(), Message(pattern(8, 0), {payload}));
      slowest = std::max(slowest, harness_->now() - before);
      if (status.ok()) ++sent;
    }
    EXPECT_EQ(status.code(), Code::kExhausted) << status.to_string();
    EXPECT_GE(sent, harness_->queue_messages_max());
    EXPECT_LT(slowest, 1s);
    EXPECT_EQ(sender->stats().busy, 1u);

    for (size_t i = 0; i < sent; ++i) ASSERT_TRUE(expect<MessageIn>(receiver)) << i;
    EXPECT_TRUE(sender->send(receiver.self(), text("again")).ok());
    expect_text(receiver, sender->self(), "again");
  }
}

TEST_P(TransportContract, BothSidesAreToldWhenAPeerLeaves) {
  start_pair();
  Transport& other = start({Role::kWorker, 2, 1});
  ASSERT_TRUE(other.connect(kShard, endpoint_).ok());
  expect_peer<PeerUp>(*shard_, other.self());
  expect_peer<PeerUp>(other, kShard);

  stop(*worker_);
  expect_peer<PeerDown>(*shard_, kWorker);
  EXPECT_EQ(shard_->send(kWorker, text("reply")).code(), Code::kUnavailable);
  stop(*shard_);
  expect_peer<PeerDown>(other, kShard);
  EXPECT_EQ(other.send(kShard, text("push")).code(), Code::kUnavailable);
}

TEST_P(TransportContract, LastWordsArriveBeforePeerDown) {
  start_pair();
  constexpr int kMessages = 40;

  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(worker_->send(kShard, Message(pattern(8, 0), {pattern(10'000, 1)})).ok());
  }
  stop(*worker_);
  for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(expect<MessageIn>(*shard_)) << i;
  expect_peer<PeerDown>(*shard_, kWorker);
}

TEST_P(TransportContract, LastRepliesArriveBeforePeerDown) {
  start_pair();
  constexpr int kMessages = 40;

  for (int i = 0; i < kMessages; ++i) {
    ASSERT_TRUE(shard_->send(kWorker, Message(pattern(8, 0), {pattern(10'000, 1)})).ok());
  }
  stop(*shard_);
  for (int i = 0; i < kMessages; ++i) ASSERT_TRUE(expect<MessageIn>(*worker_)) << i;
  expect_peer<PeerDown>(*worker_, kShard);
}

TEST_P(TransportContract, ARestartedListenerIsFoundAgainInItsNewLife) {
  start_pair();
  stop(*shard_);
  expect_peer<PeerDown>(*worker_, kShard);

  const Peer reborn{Role::kServer, 0, 6};
  Transport& shard = start(reborn);
  Result<std::string> bound = shard.bind(endpoint_);
  ASSERT_TRUE(bound.ok()) << bound.status().to_string();

  expect_peer<PeerUp>(*worker_, reborn);
  expect_peer<PeerUp>(shard, kWorker);
  EXPECT_EQ(worker_->send(kShard, text("late")).code(), Code::kUnavailable);
  ASSERT_TRUE(worker_->send(reborn, text("push")).ok());
  expect_text(shard, kWorker, "push");
}

TEST_P(TransportContract, WhatWasQueuedForADeadPeerNeverReachesItsSuccessor) {
  start_pair();
  const Buffer payload = pattern(256 << 10, 1);
  while (worker_->send(kShard, Message(pattern(8, 0), {payload})).ok()) {
  }
  stop(*shard_);
  const Peer reborn{Role::kServer, 0, 6};
  Transport& shard = start(reborn);
  ASSERT_TRUE(shard.bind(endpoint_).ok());

  expect_peer<PeerDown>(*worker_, kShard);
  expect_peer<PeerUp>(*worker_, reborn);
  expect_peer<PeerUp>(shard, kWorker);
  ASSERT_TRUE(worker_->send(reborn, text("fresh")).ok());

  expect_text(shard, kWorker, "fresh");
}

TEST_P(TransportContract, ARestartedConnectorIsSeenToLeaveAndToCome) {
  start_pair();
  stop(*worker_);
  const Peer reborn{Role::kWorker, 1, 18};
  Transport& worker = start(reborn);
  ASSERT_TRUE(worker.connect(kShard, endpoint_).ok());

  // Two lives are two peers: their events may come in either order.
  std::optional<Peer> left, came;
  for (int i = 0; i < 2; ++i) {
    const std::optional<TransportEvent> event = next(*shard_);
    ASSERT_TRUE(event);
    if (const auto* down = std::get_if<PeerDown>(&*event)) left = down->peer;
    if (const auto* up = std::get_if<PeerUp>(&*event)) came = up->peer;
  }
  EXPECT_EQ(left, kWorker);
  EXPECT_EQ(came, reborn);
  expect_peer<PeerUp>(worker, kShard);
  EXPECT_EQ(shard_->send(kWorker, text("late")).code(), Code::kUnavailable);
}

TEST_P(TransportContract, ConnectingBeforeTheOtherListensSucceedsLater) {
  start_pair();
  stop(*shard_);
  stop(*worker_);
  Transport& worker = start(kWorker);
  ASSERT_TRUE(worker.connect({Role::kServer, 0, 0}, endpoint_).ok());
  EXPECT_FALSE(next(worker, kMoment));

  Transport& shard = start(kShard);
  ASSERT_TRUE(shard.bind(endpoint_).ok());

  expect_peer<PeerUp>(worker, kShard);
  expect_peer<PeerUp>(shard, kWorker);
}

TEST_P(TransportContract, OnlyTheLifeThatWasAskedForIsAccepted) {
  start_pair();
  Transport& other = start({Role::kWorker, 2, 1});

  ASSERT_TRUE(other.connect({Role::kServer, 0, 4}, endpoint_).ok());
  EXPECT_FALSE(next(other, kMoment));
  ASSERT_TRUE(other.connect({Role::kServer, 1, 0}, endpoint_).ok());  // another shard's endpoint
  EXPECT_FALSE(next(other, kMoment));
}

TEST_P(TransportContract, DisconnectSaysGoodbyeToTheOtherSideOnly) {
  start_pair();

  ASSERT_TRUE(worker_->send(kShard, text("last")).ok());
  worker_->disconnect(kShard);

  expect_text(*shard_, kWorker, "last");
  expect_peer<PeerDown>(*shard_, kWorker);
  EXPECT_FALSE(next(*worker_, kMoment));
  EXPECT_EQ(worker_->send(kShard, text("push")).code(), Code::kUnavailable);
}

TEST_P(TransportContract, ConnectingAgainReplacesTheConnection) {
  start_pair();

  ASSERT_TRUE(worker_->connect(kShard, endpoint_).ok());

  expect_peer<PeerDown>(*shard_, kWorker);
  expect_peer<PeerUp>(*shard_, kWorker);
  expect_peer<PeerUp>(*worker_, kShard);
  ASSERT_TRUE(worker_->send(kShard, text("push")).ok());
  expect_text(*shard_, kWorker, "push");
}

TEST_P(TransportContract, ATakenEndpointIsNamedInTheError) {
  start_pair();
  Transport& second = start({Role::kServer, 1, 1});

  const Result<std::string> bound = second.bind(endpoint_);

  ASSERT_FALSE(bound.ok());
  EXPECT_EQ(bound.status().code(), Code::kInvalidInput);
  EXPECT_THAT(bound.status().to_string(), HasSubstr(endpoint_));
  EXPECT_THAT(bound.status().to_string(), HasSubstr("in use"));
  ASSERT_TRUE(worker_->send(kShard, text("push")).ok());  // the first is not disturbed
  expect_text(*shard_, kWorker, "push");
}

TEST_P(TransportContract, ReceiveGivesUpAtItsDeadline) {
  start_pair();
  const Time before = harness_->now();

  EXPECT_FALSE(harness_->next(*worker_, 20ms));

  EXPECT_GE(harness_->now() - before, 20ms);
  EXPECT_LT(harness_->now() - before, 1s);
  EXPECT_FALSE(worker_->receive(harness_->now() - 1s));
}

TEST_P(TransportContract, WakeEndsAWaitingReceive) {
  start_pair();

  if (harness_->real()) {
    std::thread waker([this] { worker_->wake(); });
    EXPECT_TRUE(expect<Woken>(*worker_));
    waker.join();
  } else {
    worker_->wake();
    EXPECT_TRUE(expect<Woken>(*worker_));
  }

  EXPECT_FALSE(next(*worker_, kMoment));
}

TEST_P(TransportContract, AllocateGivesAlignedMemoryOfTheSizeAsked) {
  Transport& worker = start(kWorker);

  for (size_t bytes : {size_t{1}, size_t{4096}, size_t{(1 << 20) + 4}}) {
    Buffer buffer = worker.allocate(kShard, bytes);
    EXPECT_EQ(buffer.size(), bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % kBufferAlignment, 0u);
    std::memset(buffer.data(), 1, bytes);
  }
  EXPECT_TRUE(worker.allocate(kShard, 0).empty());
}

TEST_P(TransportContract, StatsCountMessagesAndBytes) {
  start_pair();
  ASSERT_TRUE(worker_->send(kShard, Message(pattern(10, 0), {pattern(1000, 1)})).ok());
  ASSERT_TRUE(expect<MessageIn>(*shard_));

  EXPECT_EQ(worker_->stats().messages_out, 1u);
  EXPECT_EQ(worker_->stats().bytes_out, 1010u);
  EXPECT_EQ(shard_->stats().messages_in, 1u);
  EXPECT_EQ(shard_->stats().bytes_in, 1010u);
  EXPECT_EQ(shard_->stats().messages_out, 0u);
}

INSTANTIATE_TEST_SUITE_P(Every, TransportContract,
                         ::testing::Values(Kind{"ZeroMqTcp", make_tcp_harness},
                                           Kind{"ZeroMqIpc", make_ipc_harness},
                                           Kind{"Simulated", make_sim_harness}),
                         [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace ballast::testing
