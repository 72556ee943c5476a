// kill -9 at random instants: what was said to be durable is there, and nothing is torn.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <condition_variable>
#include <mutex>
#include <string>

#include "common/base/random.h"
#include "common/storage/checkpoint.h"
#include "tests/common/storage/kill_plan.h"
#include "tests/common/storage/temporary_folder.h"

namespace ballast {
namespace {

constexpr int kKills = 8;

// Runs kill_target, kills it some time after it has said `lines` numbers, and returns the last
// number it said (0: none).
uint64_t run_and_kill(const char* what, const std::string& run_dir, uint64_t first, uint64_t lines,
                      int extra_us) {
  std::array<int, 2> pipe_ends{};
  BALLAST_CHECK(::pipe(pipe_ends.data()) == 0);
  const std::string number = std::to_string(first);
  const pid_t child = ::fork();
  BALLAST_CHECK(child >= 0);
  if (child == 0) {
    ::dup2(pipe_ends[1], STDOUT_FILENO);
    ::close(pipe_ends[0]);
    ::close(pipe_ends[1]);
    ::execl(BALLAST_KILL_TARGET, BALLAST_KILL_TARGET, what, run_dir.c_str(), number.c_str(),
            nullptr);
    ::_exit(127);
  }
  ::close(pipe_ends[1]);
  std::string said;
  uint64_t seen = 0;
  bool killed = false;
  char c = 0;
  while (::read(pipe_ends[0], &c, 1) == 1) {
    said += c;
    if (c != '\n' || killed || ++seen < lines) continue;
    ::usleep(
        static_cast<useconds_t>(extra_us));  // the instant of the kill, not a wait for anything
    ::kill(child, SIGKILL);
    killed = true;
  }
  ::close(pipe_ends[0]);
  int status = 0;
  BALLAST_CHECK(::waitpid(child, &status, 0) == child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << "it failed by itself";
  if (said.empty()) return 0;
  const size_t last_line = said.find_last_of('\n', said.size() - 2);
  return std::stoull(said.substr(last_line == std::string::npos ? 0 : last_line + 1));
}

std::vector<UnitImage> journal_images(const std::string& run_dir) {
  std::mutex mutex;  // guards notified
  std::condition_variable woken;
  bool notified = false;
  auto journal = open_journal(kill_journal(run_dir), [&] {
    std::lock_guard lock(mutex);
    notified = true;
    woken.notify_one();
  });
  BALLAST_CHECK_MSG(journal.ok(), journal.status().to_string());
  std::vector<UnitId> units;
  for (uint32_t unit = 0; unit < kKillUnits; ++unit) units.emplace_back(unit);
  (*journal)->fetch(units);
  std::unique_lock lock(mutex);
  BALLAST_CHECK(woken.wait_for(lock, 10s, [&] { return notified; }));
  std::optional<JournalEvent> event = (*journal)->poll();
  BALLAST_CHECK(event.has_value());
  if (auto* failed = std::get_if<StoreFailed>(&*event)) {
    ADD_FAILURE() << failed->status.to_string();
    return {};
  }
  return std::get<Fetched>(*event).images;
}

TEST(KillDuringAppend, LosesNothingAcknowledgedAndTearsNothing) {
  const TemporaryFolder folder;
  Random random(31);
  Version first = 1;

  for (int kill = 0; kill < kKills; ++kill) {
    const Version acknowledged = run_and_kill("append", folder.path(), first, 1 + random.below(30),
                                              static_cast<int>(random.below(3000)));

    const std::vector<UnitImage> images = journal_images(folder.path());

    ASSERT_EQ(images.size(), kKillUnits);
    for (const UnitImage& image : images) {
      EXPECT_GE(image.version, acknowledged) << "kill " << kill;
      EXPECT_TRUE(same_image(image, make_image(image.unit.value(), image.version, kKillElements)));
      first = std::max(first, image.version + 1);
    }
  }
}

TEST(KillDuringCheckpoint, LeavesTheNewestCommittedOneWhole) {
  const TemporaryFolder folder;
  Random random(32);
  CutId first = 1;

  for (int kill = 0; kill < kKills; ++kill) {
    const CutId committed = run_and_kill("checkpoint", folder.path(), first, 1 + random.below(4),
                                         static_cast<int>(random.below(8000)));

    const auto newest = newest_checkpoint(folder.path());

    ASSERT_TRUE(newest.ok()) << newest.status().to_string();
    EXPECT_GE(newest->manifest.id, committed);
    EXPECT_TRUE(newest->rejected.empty()) << "a manifest without whole parts";
    for (uint32_t unit = 0; unit < kKillUnits; ++unit) {
      const std::vector<UnitId> units = {UnitId(unit)};
      const auto images = load_units(folder.path(), newest->manifest, units);
      ASSERT_TRUE(images.ok()) << images.status().to_string();
      EXPECT_TRUE(same_image((*images)[0], make_image(unit, newest->manifest.id, kKillElements)));
    }
    first = newest->manifest.id + 1;
  }
}

}  // namespace
}  // namespace ballast
