#pragma once

#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>

#include "common/base/time.h"
#include "common/storage/checkpoint.h"
#include "common/storage/journal_factory.h"
#include "tests/common/storage/temporary_folder.h"
#include "tests/contract/journal/journal_world.h"

namespace ballast {

class DiskWorld final : public JournalWorld {
 public:
  explicit DiskWorld(Durability durability) : durability_(durability) {}

  std::unique_ptr<Journal> open(ShardId shard) override {
    JournalOptions options{run_dir(), run_dir() + "/journal/" + std::to_string(shard.value()),
                           shard, durability_};
    auto journal = open_journal(options, [this] {
      std::lock_guard lock(mutex_);
      ++notified_;
      woken_.notify_all();
    });
    BALLAST_CHECK_MSG(journal.ok(), journal.status().to_string());
    return std::move(journal).value();
  }
  // Sleeps until notified, so a journal that forgets to notify fails here.
  std::optional<JournalEvent> next(ShardId, Journal& journal) override {
    for (;;) {
      uint64_t seen = 0;
      {
        std::lock_guard lock(mutex_);
        seen = notified_;
      }
      if (std::optional<JournalEvent> event = journal.poll()) return event;
      std::unique_lock lock(mutex_);
      if (!woken_.wait_for(lock, 10s, [&] { return notified_ > seen; })) return std::nullopt;
    }
  }
  Status commit(const CheckpointManifest& manifest) override {
    return commit_manifest(run_dir(), manifest);
  }
  std::string part_name(CutId id, ShardId shard) override {
    return checkpoint_folder(run_dir(), id) + "/part-" + std::to_string(shard.value()) + ".blp";
  }
  void flip_bit(CutId id, ShardId shard, uint64_t byte) override {
    ballast::flip_bit(part_name(id, shard), byte);
  }
  void truncate(CutId id, ShardId shard, uint64_t bytes) override {
    std::filesystem::resize_file(part_name(id, shard), bytes);
  }

 private:
  [[nodiscard]] const std::string& run_dir() const { return folder_.path(); }

  TemporaryFolder folder_;
  Durability durability_;
  std::mutex mutex_;  // guards notified_
  std::condition_variable woken_;
  uint64_t notified_ = 0;
};

}  // namespace ballast
