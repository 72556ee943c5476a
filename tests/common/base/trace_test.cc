#include "common/base/trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <thread>

#include "common/base/json_value.h"
#include "tests/common/storage/temporary_folder.h"
#include "tests/support/trace_spans.h"

namespace ballast {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr Time at(int64_t nanoseconds) {
  return Time(Duration(nanoseconds));
}

uint64_t number(const JsonValue& object, std::string_view name) {
  const JsonValue* value = object.find(name);
  EXPECT_NE(value, nullptr) << name;
  return value == nullptr ? 0 : value->whole_number().value();
}

class TraceTest : public ::testing::Test {
 protected:
  TraceSetup setup() const { return {.path = path_, .role = "worker", .index = 3}; }

  static std::unique_ptr<Trace> open(TraceSetup setup) {
    auto trace = Trace::open(std::move(setup));
    EXPECT_TRUE(trace.ok()) << trace.status().to_string();
    return std::move(trace).value();
  }

  std::vector<JsonValue> lines() const { return testing::trace_lines(path_); }

  std::vector<JsonValue> spans() const {
    std::vector<JsonValue> found;
    for (JsonValue& line : lines()) {
      if (line.find("begin") != nullptr) found.push_back(std::move(line));
    }
    return found;
  }

  std::vector<uint64_t> steps() const {
    std::vector<uint64_t> found;
    for (const JsonValue& span : spans()) found.push_back(number(*span.find("args"), "step"));
    return found;
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/worker-3.jsonl";
};

TEST_F(TraceTest, SaysWhoseItIsWhatItsClockMeansAndWhatHappened) {
  {
    const auto trace = open(setup());
    TraceTrack track(*trace, "compute");
    ASSERT_TRUE(track.wants(7));
    track.add("load", at(1000), at(2500), 7, {"lane", 2});
    track.add_overlapping("push", at(1200), at(5000), 7, {"unit", 1}, {"shard", 0}, {"bytes", 64});
  }

  const std::vector<JsonValue> all = lines();
  ASSERT_THAT(all, SizeIs(5));
  EXPECT_TRUE(all[0].find("role")->is_string("worker"));
  EXPECT_EQ(number(all[0], "index"), 3u);
  EXPECT_EQ(number(all[0], "process"), static_cast<uint64_t>(::getpid()));
  EXPECT_GT(number(all[0], "monotonic_ns"), 0u);
  EXPECT_GT(number(all[0], "wall_ns"), 0u);
  EXPECT_FALSE(all[0].find("clock")->text.empty());
  EXPECT_TRUE(all[1].find("name")->is_string("compute"));
  EXPECT_TRUE(all[2].find("name")->is_string("load"));
  EXPECT_EQ(number(all[2], "track"), number(all[1], "track"));
  EXPECT_EQ(number(all[2], "begin"), 1000u);
  EXPECT_EQ(number(all[2], "end"), 2500u);
  EXPECT_EQ(number(*all[2].find("args"), "step"), 7u);
  EXPECT_EQ(number(*all[2].find("args"), "lane"), 2u);
  EXPECT_EQ(all[2].find("id"), nullptr);
  EXPECT_EQ(number(all[3], "id"), 1u);
  EXPECT_EQ(number(*all[3].find("args"), "bytes"), 64u);
  EXPECT_EQ(number(all[4], "last_step"), 7u);
  EXPECT_EQ(all[4].find("full_at_step"), nullptr);
}

TEST_F(TraceTest, SpansOfAScopeNest) {
  {
    const auto trace = open(setup());
    TraceTrack track(*trace, "compute");
    TraceSpan outer(&track, "step", 0);
    { TraceSpan inner(&track, "load", 0, {"lane", 1}); }
    { TraceSpan inner(&track, "compute", 0); }
  }

  const std::vector<JsonValue> found = spans();
  ASSERT_THAT(found, SizeIs(3));  // the inner ones end first
  EXPECT_TRUE(found[2].find("name")->is_string("step"));
  EXPECT_LE(number(found[2], "begin"), number(found[0], "begin"));
  EXPECT_LE(number(found[0], "end"), number(found[1], "begin"));
  EXPECT_LE(number(found[1], "end"), number(found[2], "end"));
}

TEST_F(TraceTest, WithoutATrackASpanIsNothing) {
  const TraceSpan span(nullptr, "load", 0);

  EXPECT_THAT(lines(), IsEmpty());
}

TEST_F(TraceTest, KeepsOnlyTheStepsThatAreAskedFor) {
  {
    TraceSetup some = setup();
    some.first_step = 2;
    some.steps = 3;
    const auto trace = open(some);
    TraceTrack track(*trace, "compute");
    for (uint64_t step = 0; step < 10; ++step) TraceSpan span(&track, "load", step);
  }

  EXPECT_THAT(steps(), ElementsAre(2, 3, 4));
  EXPECT_EQ(number(lines().back(), "last_step"), 9u);
}

TEST_F(TraceTest, AProcessThatBeginsLaterHasAsManySteps) {
  {
    TraceSetup some = setup();
    some.first_step = 2;
    some.steps = 3;
    const auto trace = open(some);
    TraceTrack track(*trace, "compute");
    for (uint64_t step = 100; step < 110; ++step) TraceSpan span(&track, "load", step);
  }

  EXPECT_THAT(steps(), ElementsAre(100, 101, 102));
}

TEST_F(TraceTest, NoStepsAreNoSpans) {
  {
    TraceSetup none = setup();
    none.steps = 0;
    const auto trace = open(none);
    TraceTrack track(*trace, "compute");
    TraceSpan span(&track, "load", 0);
  }

  EXPECT_THAT(spans(), IsEmpty());
}

TEST_F(TraceTest, AFileStaysBelowItsLimitAndSaysWhereItEnds) {
  constexpr uint64_t kLimit = 20'000;
  {
    TraceSetup small = setup();
    small.bytes_max = kLimit;
    const auto trace = open(small);
    TraceTrack track(*trace, "compute");
    for (uint64_t step = 0; step < 1000; ++step) {
      { TraceSpan span(&track, "load", step); }
      track.flush();
    }
    EXPECT_FALSE(trace->wants(5));
  }

  const std::vector<JsonValue> all = lines();
  const uint64_t full_at = number(all.back(), "full_at_step");
  EXPECT_EQ(number(all.back(), "last_step"), 999u);
  EXPECT_THAT(spans(), SizeIs(full_at));  // one a step, whole up to there
  EXPECT_GT(full_at, 100u);
  EXPECT_LE(std::filesystem::file_size(path_), kLimit + 100);
}

TEST_F(TraceTest, MoreSpansThanATrackKeepsAreWrittenOnTheWay) {
  constexpr uint64_t kMany = 5000;
  const auto trace = open(setup());
  TraceTrack track(*trace, "compute");
  for (uint64_t i = 0; i < kMany; ++i) track.add("load", at(1), at(2), 0);

  EXPECT_GT(spans().size(), kMany / 2);
  track.flush();
  EXPECT_THAT(spans(), SizeIs(kMany));
}

TEST_F(TraceTest, SpansAreWrittenWhenTheyHaveWaited) {
  const auto trace = open(setup());
  TraceTrack track(*trace, "compute");
  track.add("load", at(0), at(1000), 0);

  track.flush_when_due(at(2000));
  EXPECT_THAT(spans(), IsEmpty());
  track.flush_when_due(at(1000) + 1s);
  EXPECT_THAT(spans(), SizeIs(1));
}

TEST_F(TraceTest, TracksOfSeveralThreadsDoNotMix) {
  constexpr uint64_t kThreads = 4, kEach = 3000;
  {
    const auto trace = open(setup());
    std::vector<std::thread> threads;
    for (uint64_t t = 0; t < kThreads; ++t) {
      threads.emplace_back([&trace, t] {
        TraceTrack track(*trace, "thread " + std::to_string(t));
        for (uint64_t i = 0; i < kEach; ++i) TraceSpan span(&track, "load", i / 4, {"thread", t});
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

  std::map<uint64_t, std::string> names;
  std::map<std::string, uint64_t> counts;
  for (const JsonValue& line : lines()) {
    if (line.find("track") == nullptr) continue;
    std::string& name = names[number(line, "track")];
    if (line.find("begin") == nullptr) {
      name = line.find("name")->text;
    } else {
      EXPECT_EQ("thread " + std::to_string(number(*line.find("args"), "thread")), name);
      ++counts[name];
    }
  }
  ASSERT_THAT(counts, SizeIs(kThreads));
  for (const auto& [name, count] : counts) EXPECT_EQ(count, kEach) << name;
}

TEST_F(TraceTest, WhatWasFlushedOutlivesAKill) {
  const pid_t child = ::fork();
  if (child == 0) {
    const auto trace = open(setup());
    TraceTrack track(*trace, "compute");
    for (uint64_t step = 0; step < 10; ++step) {
      { TraceSpan span(&track, "load", step); }
      if (step < 8) track.flush();
    }
    ::kill(::getpid(), SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFSIGNALED(status));

  EXPECT_THAT(steps(), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7));
  EXPECT_EQ(lines().back().find("last_step"), nullptr);  // it did not end by itself
}

TEST_F(TraceTest, AFullDiskEndsTheTraceAndNothingElse) {
  TraceSetup full = setup();
  full.path = "/dev/full";
  const auto trace = open(full);
  TraceTrack track(*trace, "compute");

  for (uint64_t step = 0; step < 5; ++step) {
    { TraceSpan span(&track, "load", step); }
    track.flush();
  }

  EXPECT_FALSE(track.wants(5));
}

// Room that comes back later does not make it whole.
TEST_F(TraceTest, ATraceThatCouldNotBeWrittenDoesNotSayHowItEnded) {
  auto trace = open(setup());
  {
    TraceTrack track(*trace, "compute");
    { TraceSpan span(&track, "load", 0); }
    track.flush();
    const auto before = ::signal(SIGXFSZ, SIG_IGN);
    rlimit room{};
    ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &room), 0);
    rlimit none = room;
    none.rlim_cur = std::filesystem::file_size(path_);
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &none), 0);
    { TraceSpan span(&track, "load", 1); }
    track.flush();
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &room), 0);
    ::signal(SIGXFSZ, before);
  }
  trace.reset();

  EXPECT_THAT(steps(), ElementsAre(0));
  EXPECT_EQ(lines().back().find("last_step"), nullptr);
}

TEST_F(TraceTest, AFileThatCannotBeMadeIsAnErrorThatNamesIt) {
  TraceSetup nowhere = setup();
  nowhere.path = folder_.path() + "/no/such/folder/worker-3.jsonl";

  const auto trace = Trace::open(nowhere);

  ASSERT_FALSE(trace.ok());
  EXPECT_EQ(trace.status().code(), Code::kUnavailable);
  EXPECT_THAT(trace.status().to_string(), HasSubstr(nowhere.path));
  EXPECT_THAT(trace.status().to_string(), HasSubstr("No such file or directory"));
}

}  // namespace
}  // namespace ballast
