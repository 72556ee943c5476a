// What does a message cost beside its floats? A push of 4 units of 1 MiB is encoded and decoded
// without touching the payloads.
//
// Bound: the frames are handed on, so the cost does not depend on their size; at 1 us a side it is
// 0.5 % of the 420 us that a memcpy of 4 MiB takes at 10 GB/s. The result is verified before the
// clock starts. --smoke: a few iterations, for the tests.
#include <benchmark/benchmark.h>

#include <cstring>

#include "common/base/check.h"
#include "common/wire/codec.h"

namespace ballast::wire {
namespace {

Push push_of(int64_t entry_count, int64_t payload_bytes) {
  Push push{{.run = 0x1234567890abcdef, .term = 0, .trace = 0}, {}};
  for (int64_t i = 0; i < entry_count; ++i) {
    push.entries.push_back({
        .sequence = static_cast<uint64_t>(1000 + i),
        .unit = UnitId(static_cast<uint32_t>(i)),
        .epoch = 1,
        .lanes = {{LaneId(2), 1, 77, 64.0}, {LaneId(3), 1, 77, 64.0}},
        .node_low = 2,
        .node_high = 4,
        .base_version = 77,
        .gradient = Buffer::allocate(static_cast<size_t>(payload_bytes)),
    });
  }
  return push;
}

// The same frames again, as a transport would hand them over.
Message received(const Message& sent) {
  return Message(sent.envelope, sent.payloads);
}

void verify(const Push& push) {
  const Message sent = encode(push);
  const Result<Any> back = decode(received(sent));
  BALLAST_CHECK(back.ok());
  const auto& entries = std::get<Push>(*back).entries;
  BALLAST_CHECK(entries.size() == push.entries.size());
  for (size_t i = 0; i < entries.size(); ++i) {
    BALLAST_CHECK(entries[i].lanes == push.entries[i].lanes);
    BALLAST_CHECK(entries[i].gradient.data() == push.entries[i].gradient.data());
  }
}

void encode_push(benchmark::State& state) {
  const Push push = push_of(state.range(0), state.range(1));
  verify(push);
  const Any message = push;
  for (auto _ : state) benchmark::DoNotOptimize(encode(message));
  state.counters["envelope_bytes"] = static_cast<double>(encode(message).envelope.size());
}

void decode_push(benchmark::State& state) {
  const Push push = push_of(state.range(0), state.range(1));
  verify(push);
  const Message sent = encode(push);
  for (auto _ : state) benchmark::DoNotOptimize(decode(received(sent)));
}

// Both sides, with the message built from its entries as a client does.
void exchange_push(benchmark::State& state) {
  const Push push = push_of(state.range(0), state.range(1));
  verify(push);
  for (auto _ : state) benchmark::DoNotOptimize(decode(encode(push)));
}

void sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"entries", "bytes"})
      ->Args({4, 1 << 20})
      ->Args({4, 4})
      ->Args({1, 4})
      ->Args({64, 4});
}

BENCHMARK(encode_push)->Name("Encode/Push")->Apply(sizes);
BENCHMARK(decode_push)->Name("Decode/Push")->Apply(sizes);
BENCHMARK(exchange_push)->Name("Exchange/Push")->Apply(sizes);

}  // namespace
}  // namespace ballast::wire

int main(int argc, char** argv) {
  char smoke[] = "--benchmark_min_time=0.0001";
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--smoke") == 0) argv[i] = smoke;
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
