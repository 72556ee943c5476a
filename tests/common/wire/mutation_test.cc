// Fuzzing without a fuzzer: valid messages, damaged in ways that networks and strangers have. The
// sanitizer builds run it too; every buffer ends where its bytes end, so that they see each byte
// read beyond.
#include <gtest/gtest.h>

#include <cstring>
#include <iterator>

#include "common/wire/codec.h"
#include "tests/common/wire/random_message.h"

namespace ballast::wire {
namespace {

constexpr int kMutations = 60'000;

void flip_bits(Random& random, Buffer& frame) {
  for (uint64_t flips = 1 + random.below(4); flips > 0; --flips) {
    frame.data()[random.below(frame.size())] ^= std::byte(1 << random.below(8));
  }
}

// Offsets and counts are 32 bits: small, huge and wrapped values reach what single bits do not.
void overwrite_word(Random& random, Buffer& frame) {
  if (frame.size() < 4) return;
  const uint32_t words[] = {0,
                            1,
                            2,
                            0x7fffffff,
                            0x80000000,
                            0xffffffff,
                            static_cast<uint32_t>(frame.size()),
                            static_cast<uint32_t>(random.below(2 * frame.size()))};
  const uint32_t word = words[random.below(std::size(words))];
  std::byte* at = frame.data() + random.below(frame.size() / 4) * 4;
  std::memcpy(at, &word, sizeof(word));
}

void truncate(Random& random, Buffer& frame) {
  frame = Buffer::copy_of(frame.bytes().subspan(0, random.below(frame.size())));
}

void drop_or_repeat_frame(Random& random, std::vector<Buffer>& frames) {
  if (frames.empty()) {
    frames.push_back(Buffer::allocate(random.below(16)));
    return;
  }
  const auto at = frames.begin() + static_cast<ptrdiff_t>(random.below(frames.size()));
  if (random.chance(0.5)) {
    frames.erase(at);
  } else {
    frames.push_back(*at);
  }
}

void mutate(Random& random, Message& message) {
  if (message.envelope.empty()) return;
  switch (random.below(6)) {
    case 0:
      return overwrite_word(random, message.envelope);
    case 1:
      return truncate(random, message.envelope);
    case 2:
      return drop_or_repeat_frame(random, message.payloads);
    default:
      return flip_bits(random, message.envelope);
  }
}

TEST(DamagedMessage, IsRefusedOrReadAsSomethingElseThatIsValid) {
  int refused = 0;
  int read = 0;
  for (int seed = 0; seed < kMutations; ++seed) {
    Random random(seed);
    Message message = encode(random_message(random)).deep_copy();
    do mutate(random, message);
    while (random.chance(0.3));

    const Result<Any> received = decode(std::move(message));

    if (received.ok()) {
      ++read;
      ASSERT_TRUE(decode(encode(*received)).ok()) << "seed " << seed;
    } else {
      ++refused;
      ASSERT_EQ(received.status().code(), Code::kInvalidInput) << "seed " << seed;
    }
  }
  // Bits of a number make another number; both ways must have been walked often.
  EXPECT_GT(refused, kMutations / 10);
  EXPECT_GT(read, kMutations / 10);
}

TEST(DamagedMessage, MadeOfNoiseIsRefused) {
  for (int seed = 0; seed < 10'000; ++seed) {
    Random random(seed);
    Buffer envelope = Buffer::allocate(random.below(200));
    for (std::byte& byte : envelope.bytes()) byte = static_cast<std::byte>(random.next());
    // Half of it with the right mark, to come further.
    if (envelope.size() >= 8 && random.chance(0.5)) {
      const char* marks[] = {"BLWD", "BLWC", "BLWF"};
      std::memcpy(envelope.data() + 4, marks[random.below(std::size(marks))], 4);
    }

    EXPECT_FALSE(decode(Message(std::move(envelope))).ok()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace ballast::wire
