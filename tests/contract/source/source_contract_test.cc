// What every Source promises (source.h), seen on each kind of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <future>
#include <latch>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "tests/contract/source/source_world.h"
#include "worker/data/row_memory.h"

namespace ballast {
namespace {

using testing::HasSubstr;

std::string random_bytes(size_t count, uint64_t seed) {
  Random random(seed);
  std::string bytes(count, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random.next());
  return bytes;
}

// Names as the container's chunks have.
constexpr auto kObject = "0123456789abcdef.blc";
constexpr auto kOther = "fedcba9876543210.blc";

class SourceContract : public testing::TestWithParam<std::string> {
 protected:
  static Status read(Source& source, const std::string& object, uint64_t offset,
                     std::string& into) {
    return source.read_now(object, offset, std::as_writable_bytes(std::span(into)));
  }

  const std::unique_ptr<SourceWorld> world_ = make_world(GetParam());
};

TEST_P(SourceContract, ReadsExactBytesAtAnyOffsetAndLength) {
  const std::string whole = random_bytes(300'000, 1);
  world_->put(kObject, whole);
  const auto source = world_->open();

  Random random(2);
  for (int i = 0; i < 50; ++i) {
    const uint64_t offset = random.below(whole.size());
    std::string bytes(1 + random.below(whole.size() - offset), '\0');
    ASSERT_TRUE(read(*source, kObject, offset, bytes).ok());
    ASSERT_EQ(bytes, whole.substr(offset, bytes.size())) << offset << " + " << bytes.size();
  }
  for (const auto& [offset, count] : {std::pair<uint64_t, size_t>{0, whole.size()},
                                      {0, 1},
                                      {whole.size() - 1, 1},
                                      {4096, 8192}}) {
    std::string bytes(count, '\0');
    ASSERT_TRUE(read(*source, kObject, offset, bytes).ok());
    EXPECT_EQ(bytes, whole.substr(offset, count));
  }
}

TEST_P(SourceContract, SaysTheHashOfWhatItHasRead) {
  const std::string whole = random_bytes(700'000, 4);
  world_->put(kObject, whole);
  const auto source = world_->open();
  Buffer memory = map_rows(1 << 20).value();  // aligned for reads past the page cache
  const auto read_hashed = [&](uint64_t offset, std::span<std::byte> into) {
    // Shared: the source's thread may still be in set_value() when this one goes on.
    const auto read = std::make_shared<std::promise<Result<uint64_t>>>();
    source->read_hashed(kObject, offset, into,
                        [read](Result<uint64_t> outcome) { read->set_value(std::move(outcome)); });
    return read->get_future().get();
  };

  for (const auto& [offset, count] : {std::pair<uint64_t, size_t>{0, whole.size()},
                                      {0, 0},
                                      {699'999, 1},
                                      {0, 256 << 10},
                                      {8192, 512 << 10},
                                      {8192, 512 << 10},  // again: from the cache, if it has one
                                      {4095, (256 << 10) + 1}}) {
    const std::span<std::byte> into(memory.data(), count);
    const Result<uint64_t> hash = read_hashed(offset, into);
    ASSERT_TRUE(hash.ok()) << hash.status().to_string();
    EXPECT_EQ(std::string_view(reinterpret_cast<const char*>(into.data()), count),
              whole.substr(offset, count));
    EXPECT_EQ(hash.value(), xxh3(whole.substr(offset, count))) << offset << " + " << count;
  }
  EXPECT_EQ(read_hashed(200'704, {memory.data(), 512 << 10}).status().code(), Code::kDataLoss);
}

TEST_P(SourceContract, ReadsNothingWhereNothingIsAskedFor) {
  world_->put(kObject, "abc");
  const auto source = world_->open();

  std::string bytes;

  EXPECT_TRUE(read(*source, kObject, 1, bytes).ok());
}

TEST_P(SourceContract, EndsEachOfManyReadsOnce) {
  constexpr size_t kReads = 500;
  const std::string whole = random_bytes(1 << 16, 3);
  world_->put(kObject, whole);
  world_->put(kOther, whole);
  const auto source = world_->open();

  std::vector<std::string> bytes(kReads, std::string(64, '\0'));
  std::vector<std::atomic<int>> ended(kReads);
  std::latch all(kReads);
  for (size_t i = 0; i < kReads; ++i) {
    source->read(i % 2 ? kObject : kOther, i * 100, std::as_writable_bytes(std::span(bytes[i])),
                 [&, i](Status status) {
                   EXPECT_TRUE(status.ok()) << status.to_string();
                   if (ended[i]++ == 0) all.count_down();
                 });
  }
  all.wait();

  for (size_t i = 0; i < kReads; ++i) {
    EXPECT_EQ(ended[i], 1);
    EXPECT_EQ(bytes[i], whole.substr(i * 100, 64));
  }
}

TEST_P(SourceContract, NamesAnObjectThatIsNotThere) {
  world_->put(kOther, "abc");
  const auto source = world_->open();

  std::string bytes(1, '\0');
  const Status status = read(*source, kObject, 0, bytes);
  const auto size = source->size_of(kObject);

  EXPECT_EQ(status.code(), Code::kNotFound) << status.to_string();
  EXPECT_THAT(status.to_string(), HasSubstr(source->name_of(kObject)));
  ASSERT_FALSE(size.ok());
  EXPECT_EQ(size.status().code(), Code::kNotFound) << size.status().to_string();
  EXPECT_THAT(size.status().to_string(), HasSubstr(source->name_of(kObject)));
}

TEST_P(SourceContract, RefusesToReadPastTheEnd) {
  world_->put(kObject, std::string(1000, 'x'));
  const auto source = world_->open();

  for (uint64_t offset : {901u, 1000u, 5000u}) {
    std::string bytes(100, '\0');
    const Status status = read(*source, kObject, offset, bytes);
    EXPECT_EQ(status.code(), Code::kDataLoss) << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr(source->name_of(kObject)));
  }
}

TEST_P(SourceContract, KnowsTheSizeOfAnObject) {
  world_->put(kObject, std::string(12'345, 'x'));
  world_->put(kOther, "");
  const auto source = world_->open();

  EXPECT_EQ(source->size_of(kObject).value(), 12'345u);
  EXPECT_EQ(source->size_of(kOther).value(), 0u);
}

TEST_P(SourceContract, SaysThatItMayNotRead) {
  world_->put(kObject, "abc");
  world_->forbid(kObject);
  const auto is_refused = [this] {
    const auto source = world_->open();
    std::string bytes(1, '\0');
    // read_now(): a folder's starts no thread, which a child of many threads may not do.
    const Status status = source->read_now(kObject, 0, std::as_writable_bytes(std::span(bytes)));
    const Status size = source->size_of(kObject).status();
    return status.to_string().find(kObject) != std::string::npos &&
           status.code() == Code::kInvalidInput && size.code() == Code::kInvalidInput;
  };
  // Root may read all files: then in a process of its own that has no more rights than anybody.
  const auto as_anybody = [&is_refused] { ::_exit(::setuid(65534) == 0 && is_refused() ? 0 : 1); };

  const bool in_folder = GetParam() == "local" || GetParam() == "direct";
  if (in_folder && ::geteuid() == 0) {
    EXPECT_EXIT(as_anybody(), testing::ExitedWithCode(0), "");
  } else {
    EXPECT_TRUE(is_refused());
  }
}

TEST_P(SourceContract, EndsReadsUnderWayBeforeItIsDestroyed) {
  constexpr size_t kReads = 200;
  const std::string whole = random_bytes(1 << 20, 4);
  world_->put(kObject, whole);
  auto source = world_->open();

  std::vector<std::string> bytes(kReads, std::string(1 << 16, '\0'));
  std::atomic<size_t> ended = 0;
  std::atomic<size_t> wrong = 0;
  for (size_t i = 0; i < kReads; ++i) {
    source->read(kObject, i, std::as_writable_bytes(std::span(bytes[i])), [&, i](Status status) {
      const bool good = status.ok() ? bytes[i] == whole.substr(i, bytes[i].size())
                                    : status.code() == Code::kStopped;
      wrong += good ? 0 : 1;
      ++ended;
    });
  }
  source.reset();

  EXPECT_EQ(ended, kReads);
  EXPECT_EQ(wrong, 0u);
}

TEST_P(SourceContract, LetsDoneAskForTheNextRead) {
  world_->put(kObject, random_bytes(1000, 5));
  const auto source = world_->open();

  std::string bytes(10, '\0');
  std::promise<int> finished;
  std::function<void(int)> chain = [&](int left) {
    source->read(kObject, 7, std::as_writable_bytes(std::span(bytes)), [&, left](Status status) {
      if (left == 0 || !status.ok()) return finished.set_value(left);
      chain(left - 1);
    });
  };
  chain(20);

  EXPECT_EQ(finished.get_future().get(), 0);
}

TEST_P(SourceContract, RefusesWhatDoneAsksForWhileItIsDestroyed) {
  world_->put(kObject, random_bytes(1 << 20, 6));
  auto source = world_->open();

  std::vector<std::string> bytes(100, std::string(1 << 16, '\0'));
  std::atomic<int> again = 0;
  std::atomic<int> ended = 0;
  for (std::string& each : bytes) {
    const auto into = std::as_writable_bytes(std::span(each));
    source->read(kObject, 0, into, [&, from = source.get(), into](const Status&) {
      ++again;
      from->read(kObject, 0, into, [&](const Status&) { ++ended; });
    });
  }
  source.reset();

  EXPECT_EQ(again, 100);
  EXPECT_EQ(ended, 100);
}

INSTANTIATE_TEST_SUITE_P(Sources, SourceContract, testing::ValuesIn(world_kinds()),
                         [](const auto& about) { return about.param; });

}  // namespace
}  // namespace ballast
