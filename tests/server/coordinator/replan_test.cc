#include "server/coordinator/replan.h"

#include <gtest/gtest.h>

#include <cmath>

#include "server/coordinator/progress_board.h"

namespace ballast {
namespace {

// Workers with these speeds and so many lanes each, 100 samples left in every lane.
struct Case {
  std::vector<WorkerLoad> workers;
  std::vector<LaneLoad> lanes;
};

Case make_case(const std::vector<std::pair<double, uint32_t>>& speeds_and_lanes) {
  Case made;
  for (const auto& [speed, count] : speeds_and_lanes) {
    WorkerLoad worker{WorkerId(static_cast<uint32_t>(made.workers.size())), speed, {}};
    for (uint32_t i = 0; i < count; ++i) {
      worker.lanes.push_back(LaneId(static_cast<uint32_t>(made.lanes.size())));
      made.lanes.push_back({100, true});
    }
    made.workers.push_back(std::move(worker));
  }
  return made;
}

// Moves until nothing is proposed; the lanes of each worker.
std::vector<size_t> settle(Case it, int& moves) {
  moves = 0;
  while (const auto move = propose_move(it.workers, it.lanes)) {
    for (WorkerLoad& worker : it.workers) std::erase(worker.lanes, move->lane);
    it.workers[move->to.value()].lanes.push_back(move->lane);
    if (++moves > 100) break;
  }
  std::vector<size_t> counts;
  for (const WorkerLoad& worker : it.workers) counts.push_back(worker.lanes.size());
  return counts;
}

TEST(Replan, LeavesEqualWorkersAlone) {
  const Case it = make_case({{10, 4}, {10, 4}});

  EXPECT_FALSE(propose_move(it.workers, it.lanes));
}

TEST(Replan, TakesALaneFromTheSlowestToTheFastest) {
  const Case it = make_case({{10, 4}, {30, 4}, {20, 4}});

  const auto move = propose_move(it.workers, it.lanes);

  ASSERT_TRUE(move);
  EXPECT_LT(move->lane.value(), 4u);
  EXPECT_EQ(move->to, WorkerId(1));
}

TEST(Replan, SettlesAtSharesProportionalToSpeed) {
  int moves = 0;
  EXPECT_EQ(settle(make_case({{40, 8}, {10, 8}}), moves), (std::vector<size_t>{13, 3}));
  EXPECT_EQ(moves, 5);
  EXPECT_EQ(settle(make_case({{20, 8}, {10, 8}, {10, 8}}), moves), (std::vector<size_t>{12, 6, 6}));
}

TEST(Replan, MovesNothingForLessThanATenth) {
  // 16 lanes: 8 / 8 ends after 80 and 88; 9 / 7 after 90 and 77.
  const Case it = make_case({{10, 8}, {9.1, 8}});

  EXPECT_FALSE(propose_move(it.workers, it.lanes));
}

TEST(Replan, TakesTheMeanForAWorkerThatIsNotMeasured) {
  const Case spare = make_case({{10, 4}, {0, 0}});
  const Case nobody = make_case({{0, 4}, {0, 0}});

  ASSERT_TRUE(propose_move(spare.workers, spare.lanes));
  EXPECT_EQ(propose_move(spare.workers, spare.lanes)->to, WorkerId(1));
  EXPECT_FALSE(propose_move(nobody.workers, nobody.lanes));
}

TEST(Replan, LeavesLanesThatMayNotMove) {
  Case it = make_case({{10, 4}, {40, 4}});
  for (LaneLoad& lane : it.lanes) lane.movable = false;

  EXPECT_FALSE(propose_move(it.workers, it.lanes));
  EXPECT_FALSE(propose_move({}, {}));
}

// ---------------------------------------------------------------- what speeds are measured from

wire::WorkerProgress progress(Incarnation life, uint64_t beat, uint64_t samples, double busy) {
  wire::WorkerProgress made;
  made.worker = WorkerId(0);
  made.incarnation = life;
  made.beat = beat;
  made.samples = samples;
  made.loss_sum = static_cast<double>(samples) * 2;
  made.weight_sum = static_cast<double>(samples);
  made.busy_seconds = busy;
  made.bytes_pushed = samples * 4;
  return made;
}

const Time kStart{Duration(10s)};

TEST(ProgressBoard, MeasuresSpeedWhileComputing) {
  ProgressBoard board(2, 1);
  EXPECT_EQ(board.speed(WorkerId(0)), 0);

  board.report(progress(1, 1, 0, 0), kStart);
  board.report(progress(1, 2, 100, 0.5), kStart + 60s);

  EXPECT_DOUBLE_EQ(board.speed(WorkerId(0)), 200);
}

TEST(ProgressBoard, ForgetsHowFastAWorkerWasLongAgo) {
  ProgressBoard board(1, 1);
  uint64_t samples = 0;
  for (uint64_t second = 0; second < 10; ++second) {
    board.report(progress(1, second, samples, static_cast<double>(second)), kStart);
    samples += second < 5 ? 1000 : 10;
  }

  EXPECT_DOUBLE_EQ(board.speed(WorkerId(0)), 10);
}

TEST(ProgressBoard, AddsUpAllLives) {
  ProgressBoard board(1, 1);
  board.report(progress(1, 5, 100, 1), kStart);
  board.report(progress(2, 1, 30, 1), kStart + 1s);

  JobTotals totals;
  board.add_to(totals);

  EXPECT_EQ(totals.samples, 130u);
  EXPECT_EQ(totals.bytes_pushed, 520u);
}

TEST(ProgressBoard, AddsUpLoadersAndKeepsTheFewestBlocksOfAll) {
  ProgressBoard board(2, 1);
  wire::WorkerProgress report = progress(1, 5, 100, 1);
  report.loader = {.ready = 8, .waited = 2, .blocks = 30, .batches = 3, .blocks_min = 9};
  board.report(report, kStart);
  report.incarnation = 2;  // the next life has not counted any yet
  report.loader = {.ready = 1, .blocks_read = 4, .blocks_found = 2};
  board.report(report, kStart);
  report.worker = WorkerId(1);
  report.loader = {.ready = 1,
                   .waited = 1,
                   .blocks = 7,
                   .batches = 1,
                   .blocks_min = 7,
                   .blocks_read = 5,
                   .blocks_found = 1};
  board.report(report, kStart);

  JobTotals totals;
  board.add_to(totals);

  EXPECT_EQ(totals.loader.ready, 10u);
  EXPECT_EQ(totals.loader.waited, 3u);
  EXPECT_EQ(totals.loader.blocks_min, 7u);
  EXPECT_EQ(totals.loader.blocks_read, 9u);
  EXPECT_EQ(totals.loader.blocks_found, 3u);
  EXPECT_DOUBLE_EQ(wire::blocks_mean(totals.loader), 37.0 / 4);
}

TEST(ProgressBoard, IgnoresAReportThatWasOvertaken) {
  ProgressBoard board(1, 1);
  board.report(progress(1, 5, 100, 1), kStart);
  board.report(progress(1, 4, 80, 0.9), kStart + 1s);

  JobTotals totals;
  board.add_to(totals);
  EXPECT_EQ(totals.samples, 100u);
}

TEST(ProgressBoard, GivesTheLossSinceItWasLastTaken) {
  ProgressBoard board(1, 1);
  EXPECT_TRUE(std::isnan(board.take_loss()));
  board.report(progress(1, 1, 10, 1), kStart);

  EXPECT_DOUBLE_EQ(board.take_loss(), 2);
  EXPECT_DOUBLE_EQ(board.take_loss(), 2) << "nothing was reported since";
}

TEST(ProgressBoard, RatesTheLastSecondsOnly) {
  ProgressBoard board(1, 1);
  for (int second = 0; second <= 20; ++second) {
    const uint64_t samples = second <= 10 ? 0 : static_cast<uint64_t>(second - 10) * 100;
    board.report(progress(1, static_cast<uint64_t>(second), samples, second),
                 kStart + Duration(1s) * second);
  }

  EXPECT_NEAR(board.samples_per_second(kStart + 20s), 100, 1);
}

TEST(ProgressBoard, AddsTheStalenessOfAllShardsAndLives) {
  ProgressBoard board(1, 2);
  wire::ShardProgress shard;
  shard.incarnation = 1;
  shard.staleness = {1, 2};
  board.report(shard);
  shard.incarnation = 2;
  shard.staleness = {0, 0, 3};
  board.report(shard);
  shard.shard = ShardId(1);
  shard.staleness = {10};
  board.report(shard);

  JobTotals totals;
  board.add_to(totals);

  EXPECT_EQ(totals.staleness, (std::vector<uint64_t>{11, 2, 3}));
}

}  // namespace
}  // namespace ballast
