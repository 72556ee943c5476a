#include "worker/data/source/cache_folder.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <thread>

#include "common/base/log.h"
#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::HasSubstr;

constexpr uint64_t kBlock = 8192;

class CacheFolderTest : public DataFixture {
 protected:
  std::unique_ptr<CacheFolder> open(uint64_t blocks, const std::string& name = "cache") {
    auto cache = CacheFolder::open(path(name), blocks * kBlock, false);
    EXPECT_TRUE(cache.ok()) << cache.status().to_string();
    return std::move(*cache);
  }
  static CacheRange block(uint64_t number) {
    return {"0123456789abcdef.blc", number * kBlock, kBlock};
  }
  static std::vector<std::byte> bytes(uint64_t number) {
    return std::vector<std::byte>(kBlock, static_cast<std::byte>(number));
  }
  static void keep(CacheFolder& cache, uint64_t number) {
    cache.write(block(number), bytes(number));
  }
  static bool has(CacheFolder& cache, uint64_t number) {
    std::vector<std::byte> into(kBlock);
    return cache.read(block(number), into) && into == bytes(number);
  }
  [[nodiscard]] uint64_t bytes_in(const std::string& name = "cache") const {
    uint64_t sum = 0;
    for (const auto& entry : std::filesystem::directory_iterator(path(name))) {
      std::error_code gone;  // removed by another one meanwhile
      const uint64_t size = entry.file_size(gone);
      if (entry.path().extension() == ".cached" && !gone) sum += size;
    }
    return sum;
  }
  [[nodiscard]] std::string file_of(uint64_t number) const {
    return path("cache/0123456789abcdef-" + fmt_hex(number * kBlock) + "-" + fmt_hex(kBlock) +
                ".cached");
  }
  static std::string fmt_hex(uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016lx", number);
    return text;
  }
};

TEST_F(CacheFolderTest, KeepsWhatItIsGivenForTheNextProcess) {
  {
    const auto cache = open(4);
    keep(*cache, 1);
    EXPECT_TRUE(has(*cache, 1));
    EXPECT_FALSE(has(*cache, 2));
  }

  EXPECT_TRUE(has(*open(4), 1));
}

TEST_F(CacheFolderTest, KeepsOnlyWhatItsNameTellsTheContentOf) {
  EXPECT_TRUE(CacheRange::names_content("0123456789abcdef.blc"));
  EXPECT_FALSE(CacheRange::names_content("manifest"));
  EXPECT_FALSE(CacheRange::names_content("0123456789ABCDEF.blc"));
  EXPECT_FALSE(CacheRange::names_content("../456789abcdef.blc"));
}

TEST_F(CacheFolderTest, DropsTheLeastRecentlyUsedWhenFull) {
  const auto cache = open(3);
  for (uint64_t number : {1u, 2u, 3u}) keep(*cache, number);
  EXPECT_TRUE(has(*cache, 1));

  keep(*cache, 4);

  EXPECT_FALSE(has(*cache, 2));
  for (uint64_t number : {1u, 3u, 4u}) EXPECT_TRUE(has(*cache, number)) << number;
  EXPECT_EQ(bytes_in(), 3 * kBlock);
}

TEST_F(CacheFolderTest, DropsWhatIsNeededLatest) {
  const auto cache = open(2);
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), number);  // this epoch
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), 100 - number);
  for (uint64_t number : {1u, 2u, 3u}) {  // next: 3, 2, 1
    cache->reached(number - 1);
    keep(*cache, number);
  }

  EXPECT_FALSE(cache->holds(block(1)));
  EXPECT_TRUE(cache->holds(block(2)));
  EXPECT_TRUE(cache->holds(block(3)));
}

TEST_F(CacheFolderTest, DoesNotKeepWhatIsNeededAfterAllThatItHas) {
  const auto cache = open(2);
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), number);
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), 100 + number);
  for (uint64_t number : {1u, 2u, 3u}) {
    cache->reached(number - 1);
    keep(*cache, number);
  }

  EXPECT_TRUE(cache->holds(block(1)));
  EXPECT_FALSE(cache->holds(block(3)));
  EXPECT_EQ(cache->counters().evicted, 0u);
}

TEST_F(CacheFolderTest, ABlockThatIsReadTwiceDoesNotMakeOthersPast) {
  const auto cache = open(2);
  for (uint64_t when : {1u, 2u, 90u}) cache->expect(block(1), when);
  for (uint64_t number : {5u, 6u, 7u}) cache->expect(block(number), number);  // comes for these
  for (uint64_t number : {5u, 6u, 7u}) cache->expect(block(number), 10 * number);
  keep(*cache, 1);
  for (uint64_t when : {1u, 2u}) {
    EXPECT_TRUE(has(*cache, 1));
    cache->reached(when);
  }

  for (uint64_t number : {5u, 6u, 7u}) keep(*cache, number);

  EXPECT_TRUE(cache->holds(block(5)));
  EXPECT_TRUE(cache->holds(block(6)));
  EXPECT_FALSE(cache->holds(block(7))) << "it is needed latest";
}

TEST_F(CacheFolderTest, KnowsAllUsesOfABlockThatManyLanesRead) {
  const auto cache = open(2);
  for (uint64_t when : {10u, 11u, 12u, 110u, 111u}) cache->expect(block(1), when);
  for (uint64_t number : {2u, 3u}) cache->expect(block(number), 20 * number);

  for (uint64_t number : {1u, 2u, 3u}) keep(*cache, number);

  EXPECT_TRUE(cache->holds(block(1))) << "it is needed at 10, not at 110";
  EXPECT_FALSE(cache->holds(block(3)));
}

TEST_F(CacheFolderTest, DropsWhatIsNotNeededAgainAsSoonAsItsUseHasBeen) {
  const auto cache = open(2);
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), number);
  for (uint64_t number : {2u, 3u}) cache->expect(block(number), 100 + number);
  for (uint64_t number : {1u, 2u}) keep(*cache, number);

  cache->reached(2);
  keep(*cache, 3);

  EXPECT_FALSE(cache->holds(block(1)));
  for (uint64_t number : {2u, 3u}) EXPECT_TRUE(cache->holds(block(number))) << number;
}

TEST_F(CacheFolderTest, NeedsAgainWhatHadBeenWhereAJobGoesBack) {
  const auto cache = open(2);
  for (uint64_t number : {1u, 2u, 3u}) cache->expect(block(number), 10 * number);
  for (uint64_t number : {1u, 2u}) keep(*cache, number);
  cache->reached(25);

  cache->reached(5);
  keep(*cache, 3);

  for (uint64_t number : {1u, 2u}) EXPECT_TRUE(cache->holds(block(number))) << number;
}

TEST_F(CacheFolderTest, StaysWithinItsLimitWithSeveralProcesses) {
  constexpr int kProcesses = 4;
  std::vector<std::unique_ptr<CacheFolder>> caches;
  for (int i = 0; i < kProcesses; ++i) caches.push_back(open(10));
  std::atomic<bool> ended = false;
  std::atomic<uint64_t> most = 0;
  std::jthread watcher([&] {
    while (!ended) most = std::max<uint64_t>(most, bytes_in());
  });
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < kProcesses; ++i) {
      threads.emplace_back([&, i] {
        for (uint64_t number = 0; number < 100; ++number) {
          keep(*caches[i], number * 3 % 40);
          std::vector<std::byte> into(kBlock);
          const bool there = caches[i]->read(block(number % 40), into);
          EXPECT_TRUE(!there || into == bytes(number % 40));
        }
      });
    }
  }
  ended = true;
  watcher.join();

  EXPECT_LE(bytes_in(), 10 * kBlock);
  // A listing is no instant: a file may be counted that went while another came.
  EXPECT_LE(most, 12 * kBlock);
}

// As a process does that was stopped in the middle of its work.
class HeldMarker {
 public:
  explicit HeldMarker(const std::string& path)
      : marker_(::open(path.c_str(), O_RDWR | O_CREAT, 0666)) {
    EXPECT_EQ(::flock(marker_, LOCK_EX | LOCK_NB), 0);
  }
  ~HeldMarker() { ::close(marker_); }
  HeldMarker(const HeldMarker&) = delete;
  HeldMarker& operator=(const HeldMarker&) = delete;

 private:
  const int marker_;
};

TEST_F(CacheFolderTest, NamesLaterWhatItCannotNameWhileAnotherHoldsTheMarker) {
  const auto cache = open(3);
  keep(*cache, 1);
  {
    const HeldMarker held(path("cache/ballast-cache"));
    keep(*cache, 2);
    keep(*cache, 2);
    keep(*cache, 3);
    cache->forget(block(1));
    EXPECT_TRUE(cache->holds(block(1))) << "but it is not read";
    for (uint64_t number : {1u, 2u, 3u}) EXPECT_FALSE(has(*cache, number)) << number;
    EXPECT_EQ(bytes_in(), kBlock);
  }

  keep(*cache, 4);

  EXPECT_FALSE(has(*cache, 1));
  for (uint64_t number : {2u, 3u, 4u}) EXPECT_TRUE(has(*cache, number)) << number;
  EXPECT_EQ(bytes_in(), 3 * kBlock);
  EXPECT_EQ(cache->counters().evicted, 0u) << "the damaged one went first";
}

TEST_F(CacheFolderTest, OpensWhileAnotherHoldsTheMarkerAndCountsLater) {
  { keep(*open(2), 1); }
  std::unique_ptr<CacheFolder> cache;
  {
    const HeldMarker held(path("cache/ballast-cache"));
    cache = open(2);
    EXPECT_TRUE(has(*cache, 1));
  }
  std::vector<std::byte> marker = read_file(path("cache/ballast-cache"));
  marker.at(64 + 5) = std::byte{1};  // 2^40 bytes more, as if that one had been killed
  write_file(path("cache/ballast-cache"), marker);

  keep(*cache, 2);

  for (uint64_t number : {1u, 2u}) EXPECT_TRUE(has(*cache, number)) << number;
}

TEST_F(CacheFolderTest, KeepsOnlySoManyFilesWithoutAName) {
  constexpr uint64_t kMost = 16;
  const auto cache = open(100);
  {
    const HeldMarker held(path("cache/ballast-cache"));
    for (uint64_t number = 0; number < 2 * kMost; ++number) keep(*cache, number);
    EXPECT_EQ(cache->counters().not_kept, kMost);
  }

  keep(*cache, 99);

  EXPECT_EQ(bytes_in(), (kMost + 1) * kBlock);
  EXPECT_TRUE(has(*cache, kMost - 1));
  EXPECT_FALSE(has(*cache, kMost));
}

TEST_F(CacheFolderTest, ForgetsWhatWasDamaged) {
  const auto cache = open(4);
  keep(*cache, 1);
  keep(*cache, 2);

  cache->forget({"0123456789abcdef.blc", kBlock + 5, 1});

  EXPECT_FALSE(has(*cache, 1));
  EXPECT_TRUE(has(*cache, 2));
  EXPECT_EQ(bytes_in(), kBlock);
}

TEST_F(CacheFolderTest, DropsAFileThatIsCutShort) {
  const auto cache = open(4);
  keep(*cache, 1);
  std::filesystem::resize_file(file_of(1), 100);

  EXPECT_FALSE(has(*cache, 1));
  EXPECT_FALSE(std::filesystem::exists(file_of(1)));
}

TEST_F(CacheFolderTest, CountsAnewWhatAKillLeftTooHigh) {
  { keep(*open(4), 1); }
  std::vector<std::byte> marker = read_file(path("cache/ballast-cache"));
  marker.at(64 + 5) = std::byte{1};  // 2^40 bytes more
  write_file(path("cache/ballast-cache"), marker);

  const auto cache = open(4);
  for (uint64_t number : {2u, 3u, 4u}) keep(*cache, number);

  for (uint64_t number : {1u, 2u, 3u, 4u}) EXPECT_TRUE(has(*cache, number)) << number;
}

TEST_F(CacheFolderTest, TakesAMarkerThatAKillLeftUnwritten) {
  std::filesystem::create_directory(path("cache"));
  for (const std::string& left : {std::string(), std::string(72, '\0')}) {
    write_text("cache/ballast-cache", left);
    EXPECT_TRUE(CacheFolder::open(path("cache"), 1 << 20, false).ok());
  }
}

TEST_F(CacheFolderTest, RefusesAFolderOfOtherThings) {
  std::filesystem::create_directory(path("photos"));
  write_text("photos/cat.jpg", "meow");

  const auto cache = CacheFolder::open(path("photos"), 1 << 20, false);

  ASSERT_FALSE(cache.ok());
  EXPECT_EQ(cache.status().code(), Code::kInvalidInput);
  EXPECT_THAT(cache.status().to_string(), HasSubstr("it holds \"cat.jpg\" and is no cache"));
  EXPECT_FALSE(std::filesystem::exists(path("photos/ballast-cache")));
  EXPECT_TRUE(std::filesystem::exists(path("photos/cat.jpg")));
}

TEST_F(CacheFolderTest, TouchesNothingThatItDidNotMake) {
  { keep(*open(1), 1); }
  write_text("cache/notes.txt", "mine");

  const auto cache = open(1);
  for (uint64_t number = 2; number < 10; ++number) keep(*cache, number);

  EXPECT_TRUE(std::filesystem::exists(path("cache/notes.txt")));
  EXPECT_EQ(bytes_in(), kBlock);
}

TEST_F(CacheFolderTest, GoesOnWithoutKeepingWhenTheDiskFails) {
  const auto cache = open(100);
  keep(*cache, 1);
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small{kBlock / 2, before.rlim_max};
  ASSERT_TRUE(log::open(path("log"), "test").ok());

  ::setrlimit(RLIMIT_FSIZE, &small);  // as a full disk: a write ends in the middle
  keep(*cache, 2);
  keep(*cache, 3);
  ::setrlimit(RLIMIT_FSIZE, &before);

  log::close();
  const std::vector<std::byte> lines = read_file(path("log"));
  const std::string said(reinterpret_cast<const char*>(lines.data()), lines.size());
  EXPECT_THAT(said, HasSubstr("the job goes on, and keeps nothing more"));
  EXPECT_EQ(said.find("keeps nothing more"), said.rfind("keeps nothing more"));
  EXPECT_TRUE(has(*cache, 1));
  EXPECT_FALSE(has(*cache, 2));
}

}  // namespace
}  // namespace ballast
