// Question: what does the Transport cost over libzmq itself? One exchange = a message to an echo in
// another process over tcp loopback and the same bytes back; one at a time. Ours against a bare
// DEALER/ROUTER echo of the same frames, in turn, in one run. Bounds: 4 MiB (as the product sends
// it, in frames of 1 MiB; the floor is the faster of the same frames and one frame of 4 MiB)
// >= 0.8x of bare throughput; 4 KiB <= 1.5x the bare round trip. Echoed bytes are compared before
// the clock starts. Prints JSON, then the bounds; ends with 1 where one is missed.
//
// For 4 KiB the clients are pinned to the first core and the echoes to the second: left to the
// scheduler, a pair of processes settles on one core or on two, and its round trip on 50 or 150 us.
//
//   exchange_bench [--smoke]
#include <fmt/format.h>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>

#include "bench/micro/alternate.h"
#include "bench/micro/bare_zeromq_echo.h"
#include "bench/micro/bounds.h"
#include "common/base/check.h"
#include "common/net/zeromq_transport.h"

namespace ballast::bench {
namespace {

constexpr Peer kEcho{Role::kServer, 0, 1};
constexpr Peer kClient{Role::kWorker, 0, 1};
constexpr size_t kEnvelopeBytes = 128;
constexpr size_t kFrameBytes = size_t{1} << 20;
constexpr Duration kPatience = 30s;

struct Sizes {
  int rounds = 15;
  int large_exchanges = 20;  // of one measurement
  int small_exchanges = 300;
};

void pin_to_core(unsigned core) {
  cpu_set_t cores;
  CPU_ZERO(&cores);
  CPU_SET(core % std::max(1u, std::thread::hardware_concurrency()), &cores);
  // Where it is not allowed the bench still runs, with more noise.
  if (::sched_setaffinity(0, sizeof(cores), &cores) != 0) std::perror("pinning to a core");
}

// Runs `serve` in a process of its own, before this one has threads; gives its endpoint.
class EchoProcess {
 public:
  using Ready = std::function<void(const std::string&)>;
  EchoProcess(const std::function<void(const Ready&)>& serve, std::optional<unsigned> core) {
    int ends[2];
    BALLAST_CHECK(::pipe(ends) == 0);
    process_ = ::fork();
    BALLAST_CHECK(process_ >= 0);
    if (process_ == 0) {
      if (core) pin_to_core(*core);
      serve([&](const std::string& endpoint) {
        BALLAST_CHECK(::write(ends[1], endpoint.data(), endpoint.size()) > 0);
      });
      ::_exit(0);
    }
    char text[64] = {};
    BALLAST_CHECK(::read(ends[0], text, sizeof(text) - 1) > 0);
    endpoint_ = text;
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~EchoProcess() { ::waitpid(process_, nullptr, 0); }
  EchoProcess(const EchoProcess&) = delete;
  EchoProcess& operator=(const EchoProcess&) = delete;

  const std::string& endpoint() const { return endpoint_; }

 private:
  pid_t process_;
  std::string endpoint_;
};

// Echoes until its client leaves.
void serve_echo(const EchoProcess::Ready& ready) {
  auto transport = make_zeromq_transport(kEcho);
  ready(transport->bind("tcp://127.0.0.1:0").value());
  while (auto event = transport->receive(kEndOfTime)) {
    if (std::holds_alternative<PeerDown>(*event)) return;
    if (auto* in = std::get_if<MessageIn>(&*event)) {
      BALLAST_CHECK(transport->send(in->from, std::move(in->message)).ok());
    }
  }
}

class Client {
 public:
  explicit Client(const std::string& endpoint) : transport_(make_zeromq_transport(kClient)) {
    BALLAST_CHECK(transport_->connect(kEcho, endpoint).ok());
    const auto event = transport_->receive(monotonic_now() + kPatience);
    BALLAST_CHECK(event && std::holds_alternative<PeerUp>(*event));
  }

  bool exchange(const std::vector<Buffer>& frames, bool verify) {
    Message message(frames[0], {frames.begin() + 1, frames.end()});
    BALLAST_CHECK(transport_->send(kEcho, std::move(message)).ok());
    const auto event = transport_->receive(monotonic_now() + kPatience);
    BALLAST_CHECK(event && std::holds_alternative<MessageIn>(*event));
    const Message& back = std::get<MessageIn>(*event).message;
    bool same = back.payloads.size() + 1 == frames.size();
    for (size_t i = 1; same && i < frames.size(); ++i) {
      same = back.payloads[i - 1].size() == frames[i].size() &&
             (!verify || std::ranges::equal(back.payloads[i - 1].bytes(), frames[i].bytes()));
    }
    return same && std::ranges::equal(back.envelope.bytes(), frames[0].bytes());
  }

 private:
  std::unique_ptr<Transport> transport_;
};

// An envelope and `count` payloads, every frame with bytes of its own.
std::vector<Buffer> make_frames(size_t count, size_t bytes) {
  std::vector<Buffer> frames = {Buffer::allocate(kEnvelopeBytes)};
  for (size_t i = 0; i < count; ++i) frames.push_back(Buffer::allocate(bytes));
  for (size_t f = 0; f < frames.size(); ++f) {
    for (size_t i = 0; i < frames[f].size(); ++i) {
      frames[f].data()[i] = static_cast<std::byte>(1 + f + i * 131 + (i >> 12));
    }
  }
  return frames;
}

std::vector<std::span<std::byte>> spans_of(std::vector<Buffer>& frames) {
  std::vector<std::span<std::byte>> spans;
  for (Buffer& frame : frames) spans.push_back(frame.bytes());
  return spans;
}

// Ours and bare, and bare with all payload bytes in one frame where that differs.
std::vector<Timing> measure(const EchoProcess& our_echo, const EchoProcess& bare_echo, size_t count,
                            size_t bytes, int exchanges, int rounds) {
  Client ours(our_echo.endpoint());
  BareZeroMqClient bare(bare_echo.endpoint());
  std::vector<Buffer> frames = make_frames(count, bytes);
  std::vector<Buffer> joined = make_frames(1, count * bytes);
  const auto frame_spans = spans_of(frames);
  const auto joined_spans = spans_of(joined);
  for (int i = 0; i < 3; ++i) {
    BALLAST_CHECK(ours.exchange(frames, true));
    BALLAST_CHECK(bare.exchange(frame_spans, true));
    BALLAST_CHECK(bare.exchange(joined_spans, true));
  }
  const auto repeat = [exchanges](const auto& exchange) {
    for (int i = 0; i < exchanges; ++i) BALLAST_CHECK(exchange());
  };
  std::vector<Contender> contenders = {
      {"ours", [&] { repeat([&] { return ours.exchange(frames, false); }); }},
      {"bare", [&] { repeat([&] { return bare.exchange(frame_spans, false); }); }}};
  if (count > 1) {
    contenders.push_back(
        {"bare_one_frame", [&] { repeat([&] { return bare.exchange(joined_spans, false); }); }});
  }
  return alternate(contenders, rounds);
}

double print_timings(const std::vector<Timing>& timings, size_t bytes, int exchanges) {
  double floor_seconds = timings[1].median_seconds;
  for (const Timing& timing : timings) {
    if (timing.name != "ours") floor_seconds = std::min(floor_seconds, timing.median_seconds);
    const double seconds = timing.median_seconds / exchanges;
    fmt::print(
        "    \"{}\": {{\"exchange_us\": {:.1f}, \"mad_us\": {:.1f}, \"gb_per_s_each_way\": "
        "{:.3f}}},\n",
        timing.name, seconds * 1e6, timing.mad_seconds / exchanges * 1e6,
        static_cast<double>(bytes) / seconds * 1e-9);
  }
  return timings[0].median_seconds / floor_seconds;
}

int run(const Sizes& sizes, bool smoke) {
  // All processes before the first thread.
  const EchoProcess bare_large(serve_bare_echo, std::nullopt);
  const EchoProcess our_large(serve_echo, std::nullopt);
  const EchoProcess bare_small(serve_bare_echo, 1);
  const EchoProcess our_small(serve_echo, 1);

  const auto large =
      measure(our_large, bare_large, 4, kFrameBytes, sizes.large_exchanges, sizes.rounds);
  pin_to_core(0);
  const auto small = measure(our_small, bare_small, 1, 4096, sizes.small_exchanges, sizes.rounds);

  fmt::print("{{\n  \"bench\": \"exchange over tcp loopback\", \"n\": {},\n  \"4MiB\": {{\n",
             sizes.rounds);
  const double slower = print_timings(large, 4 * kFrameBytes, sizes.large_exchanges);
  fmt::print("    \"throughput_of_bare\": {:.3f}\n  }},\n  \"4KiB\": {{\n", 1 / slower);
  const double longer = print_timings(small, 4096, sizes.small_exchanges);
  fmt::print("    \"round_trip_of_bare\": {:.3f}\n  }}\n}}\n", longer);
  Bounds bounds(smoke);
  bounds.at_least("4 MiB, throughput of bare", 1 / slower, 0.8);
  bounds.at_most("4 KiB, round trip of bare", longer, 1.5);
  return bounds.exit_code();
}

}  // namespace
}  // namespace ballast::bench

int main(int argc, char** argv) {
  ballast::bench::Sizes sizes;
  const bool smoke = argc == 2 && std::string_view(argv[1]) == "--smoke";
  if (smoke) {
    sizes = {.rounds = 2, .large_exchanges = 1, .small_exchanges = 3};
  } else if (argc != 1) {
    std::fprintf(stderr, "usage: exchange_bench [--smoke]\n");
    return 2;
  }
  return ballast::bench::run(sizes, smoke);
}
