// The process that kill_test kills: writes for ever into RUNDIR and tells on stdout what it was
// told is durable. Usage: kill_target append|checkpoint RUNDIR FIRST
#include <unistd.h>

#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <string_view>

#include "common/storage/checkpoint.h"
#include "common/storage/journal_factory.h"
#include "tests/common/storage/kill_plan.h"

namespace ballast {
namespace {

// One write call a line, so that a line is whole or absent.
void say(uint64_t number) {
  const std::string line = std::to_string(number) + "\n";
  BALLAST_CHECK(::write(STDOUT_FILENO, line.data(), line.size()) ==
                static_cast<ssize_t>(line.size()));
}

void check(const Status& status) {
  BALLAST_CHECK_MSG(status.ok(), status.to_string());
}

// Appends all units at version first, first + 1 ...; says a version once it is durable.
[[noreturn]] void append_for_ever(const std::string& run_dir, Version first) {
  std::mutex mutex;  // guards nothing but the wait
  std::condition_variable woken;
  auto journal = open_journal(kill_journal(run_dir), [&] {
    std::lock_guard lock(mutex);
    woken.notify_one();
  });
  check(journal.status());
  for (Version version = first;; ++version) {
    Lsn last = 0;
    for (uint32_t unit = 0; unit < kKillUnits; ++unit) {
      last = (*journal)->append(make_image(unit, version, kKillElements));
    }
    for (Lsn durable = 0; durable < last;) {
      std::unique_lock lock(mutex);
      std::optional<JournalEvent> event = (*journal)->poll();
      if (!event) {
        woken.wait_for(lock, 10ms);
        continue;
      }
      if (auto* failed = std::get_if<StoreFailed>(&*event)) check(failed->status);
      durable = std::get<Durable>(*event).lsn;
    }
    say(version);
  }
}

// Writes checkpoints first, first + 1 ...; says an id once its manifest is committed.
[[noreturn]] void checkpoint_for_ever(const std::string& run_dir, CutId first) {
  for (CutId id = first;; ++id) {
    CheckpointManifest manifest;
    manifest.id = id;
    for (uint32_t shard = 0; shard < kKillUnits; ++shard) {
      auto part = write_part(run_dir, id, shard, {make_image(shard, id, kKillElements)});
      check(part.status());
      manifest.parts.push_back(*part);
    }
    check(commit_manifest(run_dir, manifest));
    say(id);
    check(remove_old(run_dir, 2));
  }
}

}  // namespace
}  // namespace ballast

int main(int count, char** arguments) {
  BALLAST_CHECK(count == 4);
  const uint64_t first = std::strtoull(arguments[3], nullptr, 10);
  if (std::string_view(arguments[1]) == "append") {
    ballast::append_for_ever(arguments[2], first);
  }
  ballast::checkpoint_for_ever(arguments[2], first);
}
