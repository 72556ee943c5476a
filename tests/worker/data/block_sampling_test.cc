#include "worker/data/block_sampling.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <map>
#include <numeric>

#include "common/base/random.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kSeed = 11;

std::vector<TrainSet> sets_of(std::initializer_list<double> rates) {
  std::vector<TrainSet> sets;
  for (double rate : rates) {
    const std::string number = std::to_string(sets.size());
    sets.push_back({sets.empty() ? "data" : "data.mix[" + number + "]", "set-" + number, rate});
  }
  return sets;
}

// Blocks of 1 to `rows_max` rows, in as many sets as given, with `classes` labels of which the
// first are rarest.
std::vector<CountedBlock> ragged_blocks(size_t blocks, uint32_t rows_max, int64_t classes,
                                        size_t sets, uint64_t seed) {
  Random random(seed);
  std::vector<CountedBlock> counted;
  for (size_t block = 0; block < blocks; ++block) {
    CountedBlock each{block * sets / blocks, 1 + static_cast<uint32_t>(random.below(rows_max)), {}};
    std::map<int64_t, uint64_t> labels;
    for (uint32_t row = 0; row < each.rows; ++row) {
      ++labels[3 * static_cast<int64_t>(std::max(random.below(classes), random.below(classes)))];
    }
    for (const auto& [label, count] : labels) each.labels.push_back({label, count});
    counted.push_back(std::move(each));
  }
  return counted;
}

BlockSampling sampling_of(const std::vector<TrainSet>& sets, Balance balance,
                          const std::vector<CountedBlock>& blocks) {
  return BlockSampling::make(sets, balance, kSeed, blocks).value();
}

Status refusal(const std::vector<TrainSet>& sets, Balance balance,
               const std::vector<CountedBlock>& blocks) {
  return BlockSampling::make(sets, balance, kSeed, blocks).status();
}

// Labels of a block's rows, in some order that has the block's counts.
std::vector<int32_t> labels_of(const CountedBlock& block) {
  std::vector<int32_t> labels;
  for (const LabelCount& count : block.labels) {
    labels.insert(labels.end(), count.count, static_cast<int32_t>(count.label));
  }
  Random random(block.rows);
  for (size_t left = labels.size(); left > 1; --left) {
    std::swap(labels[left - 1], labels[random.below(left)]);
  }
  return labels;
}

const ColumnSpec kLabel{.name = "label", .type = ColumnType::kI32, .shape = {}};

Result<std::vector<uint32_t>> sorted_rows(const BlockSampling& sampling, uint64_t block,
                                          const std::vector<int32_t>& labels) {
  return sampling.rows_by_class(block, kLabel, std::as_bytes(std::span(labels)), "block 7");
}

// How often an epoch takes each row of the block.
std::vector<uint32_t> counts_in(const BlockSampling& sampling, const CountedBlock& block,
                                uint64_t epoch, uint64_t number) {
  std::vector<uint32_t> by_class;
  if (sampling.by_class()) by_class = sorted_rows(sampling, number, labels_of(block)).value();
  const SampledEpoch taken = sampling.epoch(epoch);
  std::vector<uint32_t> places(sampling.block_samples(taken)[number]);
  std::iota(places.begin(), places.end(), 0u);
  sampling.take(taken, number, by_class, places, {});
  std::vector<uint32_t> counts(block.rows);
  for (uint32_t row : places) ++counts.at(row);
  return counts;
}

TEST(BlockSampling, TakesEachRowOnceWithoutRatesAndBalance) {
  const auto blocks = ragged_blocks(20, 50, 4, 2, 1);

  const BlockSampling sampling = sampling_of(sets_of({1, 1}), Balance::kNone, blocks);

  EXPECT_TRUE(sampling.each_row_once());
  EXPECT_FALSE(sampling.by_class());
  for (size_t block = 0; block < blocks.size(); ++block) {
    EXPECT_EQ(sampling.block_samples(sampling.epoch(5))[block], blocks[block].rows);
  }
  EXPECT_EQ(sampling.take(sampling.epoch(5), 3, 17, {}).row, 17u);
  EXPECT_EQ(sampling.take(sampling.epoch(5), 3, 17, {}).pass, 5u);
}

TEST(BlockSampling, TakesOfEachSetItsRateOfRowsToTheSample) {
  const auto blocks = ragged_blocks(300, 40, 3, 3, 2);
  const auto sets = sets_of({0.37, 1, 2.5});
  std::vector<uint64_t> rows(3);
  for (const CountedBlock& block : blocks) rows[block.set] += block.rows;

  const BlockSampling sampling = sampling_of(sets, Balance::kNone, blocks);

  ASSERT_EQ(sampling.classes().size(), 3u);
  const SampledEpoch epoch = sampling.epoch(4);
  const auto block_samples = sampling.block_samples(epoch);
  uint64_t all = 0;
  double wanted = 0;
  for (size_t set = 0; set < 3; ++set) {
    uint64_t dealt = 0;
    for (size_t block = 0; block < blocks.size(); ++block) {
      if (blocks[block].set != set) continue;
      dealt += block_samples[block];
      // No block is more than a sample away from its share, so that rounding never drifts.
      EXPECT_NEAR(block_samples[block], sets[set].rate * blocks[block].rows, 1.01);
    }
    EXPECT_EQ(dealt, sampling.classes()[set].samples);
    EXPECT_NEAR(static_cast<double>(dealt), sets[set].rate * static_cast<double>(rows[set]), 1);
    all += dealt;
    wanted += sets[set].rate * static_cast<double>(rows[set]);
  }
  EXPECT_EQ(all, sampling.samples());
  EXPECT_EQ(all, static_cast<uint64_t>(std::llround(wanted)));
}

TEST(BlockSampling, TakesEachRowEquallyOftenOverTheEpochs) {
  const auto blocks = ragged_blocks(12, 60, 3, 2, 3);
  for (const Balance balance : {Balance::kNone, Balance::kOversample, Balance::kUndersample}) {
    for (const auto& sets : {sets_of({0.3, 1}), sets_of({1, 2.6}), sets_of({7.1, 0.9})}) {
      const BlockSampling sampling = sampling_of(sets, balance, blocks);
      for (size_t block = 0; block < blocks.size(); ++block) {
        const std::vector<int32_t> labels = labels_of(blocks[block]);
        std::vector<uint32_t> sum(blocks[block].rows);
        for (uint64_t epoch = 0; epoch < 9; ++epoch) {
          const std::vector<uint32_t> counts = counts_in(sampling, blocks[block], epoch, block);
          std::map<int32_t, std::pair<uint32_t, uint32_t>> span;  // of a class: least, most
          std::map<int32_t, std::pair<uint32_t, uint32_t>> sum_span;
          for (uint32_t row = 0; row < counts.size(); ++row) {
            sum[row] += counts[row];
            const int32_t label = sampling.by_class() ? labels[row] : 0;
            const auto widen = [&](auto& spans, uint32_t count) {
              auto [found, fresh] = spans.try_emplace(label, count, count);
              found->second.first = std::min(found->second.first, count);
              found->second.second = std::max(found->second.second, count);
            };
            widen(span, counts[row]);
            widen(sum_span, sum[row]);
          }
          for (const auto& [label, ends] : span) EXPECT_LE(ends.second - ends.first, 1u);
          for (const auto& [label, ends] : sum_span) EXPECT_LE(ends.second - ends.first, 1u);
        }
      }
    }
  }
}

TEST(BlockSampling, TakesARowAgainOnlyAfterAllOthersHadTheirTurn) {
  const std::vector<CountedBlock> blocks = {{0, 100, {}}};
  const BlockSampling sampling = sampling_of(sets_of({0.25}), Balance::kNone, blocks);
  std::vector<uint32_t> seen(100);

  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    const std::vector<uint32_t> counts = counts_in(sampling, blocks[0], epoch, 0);
    for (size_t row = 0; row < 100; ++row) seen[row] += counts[row];
    EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0u), 25u);
  }

  EXPECT_EQ(seen, std::vector<uint32_t>(100, 1));
}

TEST(BlockSampling, GivesEveryClassAsManySamplesAsTheLargestOrTheSmallest) {
  const auto blocks = ragged_blocks(50, 80, 5, 2, 4);
  const auto sets = sets_of({1, 0.5});
  std::map<int64_t, double> sizes;
  for (const CountedBlock& block : blocks) {
    for (const LabelCount& count : block.labels) {
      sizes[count.label] += sets[block.set].rate * static_cast<double>(count.count);
    }
  }
  double most = 0, least = 1e9;
  for (const auto& [label, size] : sizes) {
    most = std::max(most, size);
    least = std::min(least, size);
  }

  for (const auto& [balance, size] :
       {std::pair(Balance::kOversample, most), std::pair(Balance::kUndersample, least)}) {
    const BlockSampling sampling = sampling_of(sets, balance, blocks);
    EXPECT_TRUE(sampling.by_class());
    std::map<int64_t, uint64_t> samples;
    for (const SampledClass& each : sampling.classes()) samples[each.label] += each.samples;
    EXPECT_EQ(samples.size(), 5u);
    for (const auto& [label, count] : samples) {
      EXPECT_EQ(count, static_cast<uint64_t>(std::llround(size))) << label;
    }
    // And so it is in the rows that are taken.
    std::map<int64_t, uint64_t> taken;
    for (size_t block = 0; block < blocks.size(); ++block) {
      const std::vector<int32_t> labels = labels_of(blocks[block]);
      const std::vector<uint32_t> counts = counts_in(sampling, blocks[block], 3, block);
      for (size_t row = 0; row < counts.size(); ++row) taken[labels[row]] += counts[row];
    }
    EXPECT_EQ(taken, samples);
  }
}

TEST(BlockSampling, BalancedClassesAreLeftAsTheyAre) {
  const std::vector<CountedBlock> blocks = {{0, 6, {{0, 2}, {1, 4}}}, {0, 4, {{0, 3}, {1, 1}}}};

  const BlockSampling sampling = sampling_of(sets_of({1}), Balance::kOversample, blocks);

  EXPECT_TRUE(sampling.each_row_once());
}

TEST(BlockSampling, OnePlaceAndManyPlacesAreTheSameRowsAndPasses) {
  const auto blocks = ragged_blocks(6, 50, 3, 1, 5);
  const BlockSampling sampling = sampling_of(sets_of({3.3}), Balance::kOversample, blocks);
  const SampledEpoch epoch = sampling.epoch(2);
  uint64_t index = 0;
  for (size_t block = 0; block < blocks.size(); ++block) {
    const auto by_class = sorted_rows(sampling, block, labels_of(blocks[block])).value();
    std::vector<uint32_t> rows(epoch.block_samples[block]), passes(rows.size());
    std::iota(rows.begin(), rows.end(), 0u);

    sampling.take(epoch, block, by_class, rows, passes);

    for (uint32_t place = 0; place < rows.size(); ++place, ++index) {
      EXPECT_EQ(sampling.take(epoch, block, place, by_class).row, rows[place]);
      EXPECT_EQ(sampling.take(epoch, block, place, by_class).pass, passes[place]);
      EXPECT_EQ(epoch.place_of(index).block, block);
      EXPECT_EQ(epoch.place_of(index).place, place);
    }
  }
  EXPECT_EQ(index, sampling.samples());
}

TEST(BlockSampling, NumbersTheTimesThatARowIsTaken) {
  const std::vector<CountedBlock> blocks = {{0, 10, {}}};
  const BlockSampling sampling = sampling_of(sets_of({2.5}), Balance::kNone, blocks);
  std::map<uint32_t, uint32_t> next;

  for (uint64_t epoch = 0; epoch < 4; ++epoch) {
    for (uint32_t place = 0; place < 25; ++place) {
      const BlockSampling::Taken taken = sampling.take(sampling.epoch(epoch), 0, place, {});
      EXPECT_EQ(taken.pass, next[taken.row]++);
    }
  }
}

TEST(BlockSampling, PassesOverBlocksThatHaveNoSample) {
  const std::vector<CountedBlock> blocks(10, {0, 3, {}});
  const BlockSampling sampling = sampling_of(sets_of({0.1}), Balance::kNone, blocks);
  const SampledEpoch epoch = sampling.epoch(6);

  EXPECT_EQ(sampling.samples(), 3u);
  for (uint64_t index = 0; index < 3; ++index) {
    EXPECT_EQ(epoch.block_samples[epoch.place_of(index).block], 1u);
    EXPECT_EQ(epoch.place_of(index).place, 0u);
  }
}

TEST(BlockSampling, BlocksWithLessThanASampleAnEpochGiveOneAsOftenAsTheyShould) {
  const auto blocks = ragged_blocks(400, 8, 3, 1, 6);
  const BlockSampling sampling = sampling_of(sets_of({0.05}), Balance::kNone, blocks);
  const double rate =
      static_cast<double>(sampling.samples()) / static_cast<double>(sampling.classes()[0].rows);
  std::vector<double> given(blocks.size());

  for (uint64_t epoch = 0; epoch < 100; ++epoch) {
    const SampledEpoch sampled = sampling.epoch(epoch);
    uint64_t sum = 0;
    for (size_t block = 0; block < blocks.size(); ++block) {
      EXPECT_EQ(sampled.taken_before[block], static_cast<uint64_t>(given[block]));
      given[block] += sampled.block_samples[block];
      sum += sampled.block_samples[block];
      EXPECT_NEAR(given[block], static_cast<double>(epoch + 1) * rate * blocks[block].rows, 4)
          << "epoch " << epoch << ", block " << block;
    }
    EXPECT_EQ(sum, sampling.samples()) << "exact in every epoch";
  }
}

// Rows whose golden part shares divisors with them are the ones where roundings might not all come.
TEST(BlockSampling, GivesEachBlockItsExactShareInAsManyEpochsAsThereAreRows) {
  for (const auto& [rows, samples, block_rows] : std::vector<std::array<uint32_t, 3>>{
           {10, 1, 1}, {50, 5, 1}, {987, 3, 4}, {2584, 20, 4}, {610, 600, 7}}) {
    std::vector<CountedBlock> blocks;
    for (uint32_t left = rows; left > 0; left -= blocks.back().rows) {
      blocks.push_back({0, std::min(left, block_rows), {}});
    }
    const double rate = static_cast<double>(samples) / rows;
    const BlockSampling sampling = sampling_of(sets_of({rate}), Balance::kNone, blocks);
    ASSERT_EQ(sampling.samples(), samples);

    const SampledEpoch after = sampling.epoch(rows);

    for (size_t block = 0; block < blocks.size(); ++block) {
      EXPECT_EQ(after.taken_before[block], uint64_t{samples} * blocks[block].rows)
          << rows << " rows, block " << block;
    }
  }
}

TEST(BlockSampling, StandsInALateEpochAtOnce) {
  const auto blocks = ragged_blocks(40, 50, 4, 2, 7);
  const BlockSampling sampling = sampling_of(sets_of({0.7, 1.9}), Balance::kUndersample, blocks);
  const SampledEpoch late = sampling.epoch(1000);
  std::vector<uint64_t> before(late.samples.size());

  for (uint64_t epoch = 0; epoch < 1000; ++epoch) {
    const SampledEpoch sampled = sampling.epoch(epoch);
    for (size_t i = 0; i < before.size(); ++i) before[i] += sampled.samples[i];
  }

  EXPECT_EQ(late.taken_before, before);
}

TEST(BlockSampling, RefusesASetThatGivesNoSample) {
  const std::vector<CountedBlock> blocks = {{0, 100, {}}, {1, 20, {}}};

  const Status status = refusal(sets_of({1, 0.01}), Balance::kNone, blocks);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("data.mix[1].rate = 0.01: an epoch takes no sample of the 20 rows of "
                              "data set set-1"),
                    HasSubstr("set data.mix[1].rate to 0.05 or more, or leave the set out")));
}

TEST(BlockSampling, RefusesASetThatBalancingLeavesNothing) {
  const std::vector<CountedBlock> blocks = {{0, 1000, {{0, 990}, {1, 10}}}};

  const Status status = refusal(sets_of({0.001}), Balance::kUndersample, blocks);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("data.rate = 0.001 and data.balance = \"undersample\""),
                    HasSubstr("raise the rates, leave data.balance out, or leave the set out")));
}

TEST(BlockSampling, RefusesABlockThatGivesTooManySamples) {
  const std::vector<CountedBlock> blocks = {{0, 1 << 20, {}}};

  const Status status = refusal(sets_of({2000}), Balance::kNone, blocks);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("data.rate = 2000: an epoch takes 2097152000 samples of a block of "
                              "1048576 rows of data set set-0, at most 1073741824 expected"),
                    HasSubstr("lower data.rate")));
}

TEST(BlockSampling, RefusesLabelsThatTheFooterDoesNotCount) {
  const std::vector<CountedBlock> blocks = {{0, 4, {{0, 1}, {1, 3}}}};
  const BlockSampling sampling = sampling_of(sets_of({1}), Balance::kOversample, blocks);

  const Status unknown = sorted_rows(sampling, 0, {0, 1, 2, 1}).status();
  const Status more = sorted_rows(sampling, 0, {0, 1, 0, 1}).status();

  EXPECT_EQ(unknown.code(), Code::kDataLoss);
  EXPECT_THAT(unknown.to_string(),
              HasSubstr("block 7: 0 rows with label = 2 expected, as the chunk's footer counts"));
  EXPECT_EQ(more.code(), Code::kDataLoss);
  EXPECT_THAT(more.to_string(), HasSubstr("1 rows with label = 0 expected"));
}

TEST(BlockSampling, SaysWhatEachSetAndClassGives) {
  const std::vector<CountedBlock> blocks = {{0, 4, {{0, 1}, {1, 3}}}, {1, 4, {{0, 1}, {1, 3}}}};
  const auto sets = sets_of({1, 1});

  EXPECT_THAT(describe(sampling_of(sets, Balance::kOversample, blocks), sets, "label"),
              ElementsAre("set-0: 4 rows give 6 samples an epoch, 50.0 %",
                          "set-1: 4 rows give 6 samples an epoch, 50.0 %",
                          "label = 0: 2 rows give 6 samples an epoch, 50.0 %",
                          "label = 1: 6 rows give 6 samples an epoch, 50.0 %"));
}

}  // namespace
}  // namespace ballast
