// A full disk: the journal says which, where, why and what to do, and promises nothing more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "common/base/time.h"
#include "common/storage/checkpoint.h"
#include "common/storage/journal_factory.h"
#include "common/storage/state_store.h"
#include "tests/common/storage/images.h"
#include "tests/common/storage/temporary_folder.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

constexpr size_t kElements = 100'000;  // 1.2 MB an image

// A journal whose events are waited for.
class WaitingJournal {
 public:
  WaitingJournal(const std::string& run_dir, Durability durability) {
    auto opened = open_journal({run_dir, run_dir + "/journal/0", ShardId(0), durability}, [this] {
      std::lock_guard lock(mutex_);
      ++notified_;
      woken_.notify_one();
    });
    BALLAST_CHECK_MSG(opened.ok(), opened.status().to_string());
    journal_ = std::move(opened).value();
  }
  Journal* operator->() { return journal_.get(); }
  std::optional<JournalEvent> next() {
    std::unique_lock lock(mutex_);
    if (!woken_.wait_for(lock, 10s, [this] { return notified_ > 0; })) return std::nullopt;
    --notified_;
    return journal_->poll();
  }

 private:
  std::mutex mutex_;  // guards notified_
  std::condition_variable woken_;
  uint64_t notified_ = 0;
  std::unique_ptr<Journal> journal_;
};

// A disk of 8 MiB; needs the right to mount.
class SmallDisk : public ::testing::Test {
 protected:
  void SetUp() override {
    if (::mount("tmpfs", folder_.path().c_str(), "tmpfs", 0, "size=8m") != 0) {
      GTEST_SKIP() << "no small disk: this user may not mount one: " << std::strerror(errno);
    }
    mounted_ = true;
  }
  void TearDown() override {
    if (mounted_) ::umount(folder_.path().c_str());
  }
  [[nodiscard]] const std::string& run_dir() const { return folder_.path(); }

  static std::vector<UnitImage> too_much() {
    std::vector<UnitImage> images;
    for (uint32_t unit = 0; unit < 10; ++unit) images.push_back(make_image(unit, 1, kElements));
    return images;
  }

  TemporaryFolder folder_;
  bool mounted_ = false;
};

TEST_F(SmallDisk, FailsTheCutAndLeavesTheLastCheckpointAndNoLitter) {
  const auto part = write_part(run_dir(), 1, 0, {make_image(0, 1, kElements)});
  ASSERT_TRUE(part.ok()) << part.status().to_string();
  CheckpointManifest manifest;
  manifest.id = 1;
  manifest.parts = {*part};
  ASSERT_TRUE(commit_manifest(run_dir(), manifest).ok());
  WaitingJournal journal(run_dir(), Durability::kCheckpoint);

  journal->cut(2, too_much());

  const auto event = journal.next();
  ASSERT_TRUE(event && std::holds_alternative<StoreFailed>(*event));
  const auto& failed = std::get<StoreFailed>(*event);
  EXPECT_EQ(failed.cut, 2u);
  EXPECT_EQ(failed.status.code(), Code::kExhausted);
  EXPECT_THAT(
      failed.status.to_string(),
      AllOf(HasSubstr(checkpoint_folder(run_dir(), 2) + "/part-0.blp"), HasSubstr(" at byte "),
            HasSubstr("No space left on device"), HasSubstr("free space there")));
  EXPECT_TRUE(std::filesystem::is_empty(checkpoint_folder(run_dir(), 2)));
  const auto newest = newest_checkpoint(run_dir());
  ASSERT_TRUE(newest.ok()) << newest.status().to_string();
  EXPECT_EQ(newest->manifest.id, 1u);
}

TEST_F(SmallDisk, FailsTheAppendsAndAcknowledgesNoLaterOne) {
  WaitingJournal journal(run_dir(), Durability::kProcess);
  std::optional<StoreFailed> failed;
  Lsn durable = 0;

  for (uint32_t unit = 0; unit < 20 && !failed; ++unit) {
    journal->append(make_image(unit, 1, kElements));
    const auto event = journal.next();
    ASSERT_TRUE(event.has_value());
    if (auto* done = std::get_if<Durable>(&*event)) durable = done->lsn;
    if (auto* failure = std::get_if<StoreFailed>(&*event)) failed = *failure;
  }

  ASSERT_TRUE(failed.has_value());
  EXPECT_GT(durable, 0u);
  EXPECT_EQ(failed->lsn, durable + 1);
  EXPECT_EQ(failed->status.code(), Code::kExhausted) << failed->status.to_string();
  EXPECT_THAT(failed->status.to_string(),
              AllOf(HasSubstr(run_dir()), HasSubstr("No space left on device"),
                    HasSubstr("free space there")));
  // A small image would fit, but the gap before it must not be hidden.
  journal->append(make_image(0, 2, 1));
  const Ticket ticket = journal->fetch({UnitId(0)});
  const auto event = journal.next();
  ASSERT_TRUE(event && std::holds_alternative<Fetched>(*event));
  EXPECT_EQ(std::get<Fetched>(*event).ticket, ticket);
  EXPECT_EQ(std::get<Fetched>(*event).images.at(0).version, 1u);
}

// The same without the right to mount: a limit on the size of files.
class SmallFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    old_action_ = ::signal(SIGXFSZ, SIG_IGN);
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &old_limit_), 0);
    const rlimit limit{1 << 20, old_limit_.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &limit), 0);
  }
  void TearDown() override {
    ::setrlimit(RLIMIT_FSIZE, &old_limit_);
    ::signal(SIGXFSZ, old_action_);
  }

  TemporaryFolder folder_;
  rlimit old_limit_{};
  sighandler_t old_action_ = SIG_DFL;
};

TEST_F(SmallFiles, FailThePartAtTheByteWhereItStopped) {
  const auto part = write_part(folder_.path(), 1, 0, {make_image(0, 1, kElements)});

  ASSERT_FALSE(part.ok());
  EXPECT_EQ(part.status().code(), Code::kExhausted);
  EXPECT_THAT(part.status().to_string(),
              AllOf(HasSubstr("part-0.blp"), HasSubstr("at byte 1048576"),
                    HasSubstr("File too large"), HasSubstr("ulimit")));
}

TEST_F(SmallFiles, LeaveTheCoordinatorsStateAsItWas) {
  auto store = FileStateStore::open(folder_.path() + "/state");
  ASSERT_TRUE(store.ok());
  const std::vector<std::byte> small(8);
  ASSERT_TRUE((*store)->put("term", small).ok());
  const std::vector<std::byte> large(2 << 20);

  EXPECT_EQ((*store)->put("term", large).code(), Code::kExhausted);

  auto reopened = FileStateStore::open(folder_.path() + "/state");
  ASSERT_TRUE(reopened.ok()) << reopened.status().to_string();
  EXPECT_EQ((*reopened)->get("term")->size(), small.size());
}

}  // namespace
}  // namespace ballast
