// What is ZeroMQ's alone: hostile peers, files of ipc sockets, closing in time. The contract suite
// has the rest.
#include "common/net/zeromq_transport.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "common/net/peer_code.h"
#include "common/net/zeromq_socket.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

constexpr Peer kShard{Role::kServer, 0, 5};
constexpr Peer kWorker{Role::kWorker, 1, 17};
constexpr Duration kPatience = 5s;

Message text(const std::string& words) {
  return Message(Buffer::copy_of(std::as_bytes(std::span(words))));
}

// Every event of one transport until `wanted` is true.
template <typename Wanted>
bool pump(Transport& transport, const Wanted& wanted) {
  const Time deadline = monotonic_now() + kPatience;
  while (!wanted(transport.receive(monotonic_now() + 1ms))) {
    if (monotonic_now() > deadline) return false;
  }
  return true;
}

template <typename T>
bool await(Transport& transport) {
  return pump(transport,
              [](const auto& event) { return event && std::holds_alternative<T>(*event); });
}

class ZeroMqTransportTest : public ::testing::Test {
 protected:
  ZeroMqTransportTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ballast-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ZeroMqTransportTest() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

// A peer that speaks ZMTP but not our protocol.
class Stranger {
 public:
  Stranger(int type, const std::string& routing_id) : socket_(context_, type) {
    if (!routing_id.empty()) socket_.set(ZMQ_ROUTING_ID, routing_id);
    socket_.set(ZMQ_LINGER, 0);
  }
  void connect(const std::string& endpoint) {
    ASSERT_EQ(zmq_connect(socket_.get(), endpoint.c_str()), 0);
  }
  void send(const std::vector<std::string>& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const auto bytes = std::as_bytes(std::span(frames[i]));
      ASSERT_EQ(send_copy(socket_, bytes, i + 1 < frames.size()), 0);
    }
  }
  ZmqSocket& socket() { return socket_; }

 private:
  ZmqContext context_;
  ZmqSocket socket_;
};

std::string code_text(const Peer& peer) {
  const PeerCode code = encode_peer(peer);
  return std::string(reinterpret_cast<const char*>(code.data()), code.size());
}

TEST_F(ZeroMqTransportTest, FramesOfStrangersAreCountedAndDropped) {
  auto shard = make_zeromq_transport(kShard);
  const std::string endpoint = *shard->bind("tcp://127.0.0.1:0");

  Stranger nameless(ZMQ_DEALER, "");
  nameless.connect(endpoint);
  nameless.send({"hello"});
  Stranger foreign(ZMQ_DEALER, "abc");
  foreign.connect(endpoint);
  foreign.send({"", "x", "y"});
  Stranger unannounced(ZMQ_DEALER, code_text(kWorker));
  unannounced.connect(endpoint);
  unannounced.send({"envelope without a probe before"});
  unannounced.send({"", "more than a probe"});

  EXPECT_TRUE(pump(*shard, [&](const auto& event) {
    EXPECT_FALSE(event);
    return shard->stats().dropped == 4;
  }));
}

TEST_F(ZeroMqTransportTest, TooManyFramesAreDroppedAndTheConnectionStays) {
  auto shard = make_zeromq_transport(kShard);
  const std::string endpoint = *shard->bind("tcp://127.0.0.1:0");
  Stranger flood(ZMQ_DEALER, code_text(kWorker));
  flood.connect(endpoint);
  flood.send({""});
  flood.send(std::vector<std::string>(kPayloadsMax + 2, "x"));
  flood.send({"fine"});

  EXPECT_TRUE(await<PeerUp>(*shard));
  EXPECT_TRUE(await<MessageIn>(*shard));
  EXPECT_EQ(shard->stats().dropped, 1u);
  EXPECT_EQ(shard->stats().messages_in, 1u);
}

TEST_F(ZeroMqTransportTest, AFrameOverTheLimitEndsTheConnection) {
  ZeroMqOptions options;
  options.frame_bytes_max = 1000;
  auto shard = make_zeromq_transport(kShard, options);
  const std::string endpoint = *shard->bind("tcp://127.0.0.1:0");
  Stranger large(ZMQ_DEALER, code_text(kWorker));
  large.connect(endpoint);
  large.send({""});
  large.send({std::string(1001, 'x')});

  EXPECT_TRUE(await<PeerUp>(*shard));
  EXPECT_TRUE(await<PeerDown>(*shard));
  EXPECT_EQ(shard->stats().messages_in, 0u);
}

TEST_F(ZeroMqTransportTest, OurOwnTooLargeFrameIsRefusedBeforeItIsSent) {
  ZeroMqOptions options;
  options.frame_bytes_max = 1000;
  auto worker = make_zeromq_transport(kWorker, options);

  const Status status =
      worker->send(kShard, Message(Buffer::allocate(8), {Buffer::allocate(1001)}));

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(), HasSubstr("1001 bytes"));
}

TEST_F(ZeroMqTransportTest, AListenerThatIsNotOursNeverComesUp) {
  Stranger listener(ZMQ_ROUTER, "");
  ASSERT_EQ(zmq_bind(listener.socket().get(), "tcp://127.0.0.1:*"), 0);
  auto worker = make_zeromq_transport(kWorker);
  ASSERT_TRUE(worker->connect(kShard, listener.socket().last_endpoint()).ok());

  ZmqFrame frame;
  EXPECT_TRUE(pump(*worker, [&](const auto& event) {
    EXPECT_FALSE(event);
    return frame.receive(listener.socket());
  }));
  listener.send({code_text(kWorker), "", "not a welcome"});
  listener.send({code_text(kWorker), "envelope before a welcome"});

  EXPECT_TRUE(pump(*worker, [&](const auto& event) {
    EXPECT_FALSE(event);
    return worker->stats().dropped == 2;
  }));
}

// A stranger may claim any name: whose life counts is for the deciders to say.
TEST_F(ZeroMqTransportTest, ANewerLifeCutsNobodyOff) {
  auto shard = make_zeromq_transport(kShard);
  const std::string endpoint = *shard->bind("tcp://127.0.0.1:0");
  const Peer older{Role::kWorker, 1, 17}, newer{Role::kWorker, 1, 18};
  auto old_life = make_zeromq_transport(older);
  ASSERT_TRUE(old_life->connect(kShard, endpoint).ok());
  ASSERT_TRUE(await<PeerUp>(*shard));
  ASSERT_TRUE(await<PeerUp>(*old_life));

  auto new_life = make_zeromq_transport(newer);
  ASSERT_TRUE(new_life->connect(kShard, endpoint).ok());
  ASSERT_TRUE(await<PeerUp>(*shard));
  ASSERT_TRUE(await<PeerUp>(*new_life));

  EXPECT_TRUE(old_life->send(kShard, text("still here")).ok());
  EXPECT_TRUE(pump(*shard, [&](const auto& event) {
    const auto* in = event ? std::get_if<MessageIn>(&*event) : nullptr;
    return in != nullptr && in->from == older;
  }));
  EXPECT_TRUE(shard->send(older, text("displaced")).ok());
  EXPECT_TRUE(await<MessageIn>(*old_life));
  EXPECT_TRUE(shard->send({Role::kWorker, 1, 0}, text("newest")).ok());
  EXPECT_TRUE(await<MessageIn>(*new_life));
}

TEST_F(ZeroMqTransportTest, ASocketFileThatADeadProcessLeftIsTakenOver) {
  const std::string file = path("left.sock");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, file.c_str(), sizeof(address.sun_path) - 1);
  const int dead = ::socket(AF_UNIX, SOCK_STREAM, 0);
  ASSERT_EQ(::bind(dead, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(dead);
  ASSERT_TRUE(std::filesystem::exists(file));

  auto shard = make_zeromq_transport(kShard);
  EXPECT_TRUE(shard->bind("ipc://" + file).ok());
}

TEST_F(ZeroMqTransportTest, AnIpcPathMayBeRelativeToTheWorkingDirectory) {
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder_);
  auto shard = make_zeromq_transport(kShard);
  auto worker = make_zeromq_transport(kWorker);

  EXPECT_TRUE(shard->bind("ipc://shard-0.sock").ok());
  EXPECT_TRUE(worker->connect(kShard, "ipc://shard-0.sock").ok());
  EXPECT_TRUE(await<PeerUp>(*shard));
  EXPECT_TRUE(await<PeerUp>(*worker));

  EXPECT_TRUE(std::filesystem::exists(folder_ / "shard-0.sock"));
  worker.reset();
  shard.reset();
  std::filesystem::current_path(before);
}

TEST_F(ZeroMqTransportTest, AnIpcFolderThatCannotBeWrittenIsNamed) {
  std::ofstream(path("file")) << "not a folder";
  auto shard = make_zeromq_transport(kShard);

  for (const std::string& endpoint :
       {"ipc://" + path("missing/x.sock"), "ipc://" + path("file/x.sock"),
        std::string("ipc:///proc/x")}) {
    const Result<std::string> bound = shard->bind(endpoint);
    ASSERT_FALSE(bound.ok()) << endpoint;
    EXPECT_EQ(bound.status().code(), Code::kInvalidInput) << bound.status().to_string();
    EXPECT_THAT(bound.status().to_string(), HasSubstr(endpoint));
  }
}

TEST_F(ZeroMqTransportTest, EndpointsThatMakeNoSenseAreRefused) {
  auto shard = make_zeromq_transport(kShard);

  for (const std::string& endpoint : {std::string("tcp://127.0.0.1:70000"), std::string("shm://x"),
                                      "ipc://" + std::string(108, 'x')}) {
    EXPECT_EQ(shard->bind(endpoint).status().code(), Code::kInvalidInput) << endpoint;
    EXPECT_EQ(shard->connect(kWorker, endpoint).code(), Code::kInvalidInput) << endpoint;
  }
  // TEST-NET-1 (RFC 5737): never an address of this machine.
  EXPECT_EQ(shard->bind("tcp://192.0.2.1:5555").status().code(), Code::kInvalidInput);
}

TEST_F(ZeroMqTransportTest, ClosingWaitsForAPeerThatDoesNotReadOnlyAsLongAsItMay) {
  ZeroMqOptions options;
  options.linger = 200ms;
  auto shard = make_zeromq_transport(kShard);
  auto worker = make_zeromq_transport(kWorker, options);
  ASSERT_TRUE(worker->connect(kShard, *shard->bind("tcp://127.0.0.1:0")).ok());
  ASSERT_TRUE(await<PeerUp>(*shard));
  ASSERT_TRUE(await<PeerUp>(*worker));
  const Buffer payload = Buffer::allocate(256 << 10);
  while (worker->send(kShard, Message(Buffer::allocate(8), {payload})).ok()) {
  }

  const Time before = monotonic_now();
  worker.reset();

  EXPECT_LT(monotonic_now() - before, 2s);
}

TEST_F(ZeroMqTransportTest, ClosingWhileNobodyListensDoesNotWait) {
  auto worker = make_zeromq_transport(kWorker);
  ASSERT_TRUE(worker->connect(kShard, "ipc://" + path("nobody.sock")).ok());
  (void)worker->receive(monotonic_now() + 50ms);

  const Time before = monotonic_now();
  worker.reset();

  EXPECT_LT(monotonic_now() - before, 500ms);
}

TEST_F(ZeroMqTransportTest, WaitingForAListenerBurnsNoProcessor) {
  const auto processor_seconds = [] {
    rusage usage{};
    ::getrusage(RUSAGE_THREAD, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  auto worker = make_zeromq_transport(kWorker);
  ASSERT_TRUE(worker->connect(kShard, "ipc://" + path("nobody.sock")).ok());

  const double before = processor_seconds();
  EXPECT_FALSE(worker->receive(monotonic_now() + 300ms));

  EXPECT_LT(processor_seconds() - before, 0.1);
}

}  // namespace
}  // namespace ballast
