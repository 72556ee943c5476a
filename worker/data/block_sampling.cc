#include "worker/data/block_sampling.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <type_traits>
#include <utility>

#include "common/base/check.h"
#include "common/base/random.h"
#include "worker/data/class_counts.h"
#include "worker/data/column_values.h"

namespace ballast {
namespace {

constexpr uint64_t kSampleStream = 0x73616d706c65;  // "sample": apart from other uses of the seed
constexpr uint64_t kBlockSamplesMax = kBlockRowsMax;
constexpr size_t kClassLinesMax = 32;

__extension__ using Wide = unsigned __int128;

// The sum of floor((a i + b) / m) for i = 0 .. n - 1, a and b below m: Euclid's steps (as in
// AtCoder Library's floor_sum).
uint64_t floor_sum(uint64_t n, uint64_t m, uint64_t a, uint64_t b) {
  uint64_t sum = 0;
  for (;;) {
    if (a >= m) {
      sum += n * (n - 1) / 2 * (a / m);
      a %= m;
    }
    if (b >= m) {
      sum += n * (b / m);
      b %= m;
    }
    const Wide top = Wide{a} * n + b;
    if (top < m) return sum;
    n = static_cast<uint64_t>(top / m);
    b = static_cast<uint64_t>(top % m);
    std::swap(m, a);
  }
}

// The golden ratio leaves the epochs' roundings as far apart as can be.
uint64_t turn_of(uint64_t rows) {
  auto turn = static_cast<uint64_t>(0.6180339887498949 * static_cast<double>(rows));
  while (turn > 0 && std::gcd(turn, rows) != 1) --turn;
  return turn;
}

// The samples of the first `rows` rows of a class: in epoch e, and in all epochs before. Not these
// numbers matter but the difference between two of one class (unsigned, it may wrap).
struct SamplesBelow {
  SamplesBelow(const SampledClass& of, uint64_t rows, uint64_t epoch) {
    const Wide share = Wide{of.samples} * rows;
    const auto whole = static_cast<uint64_t>(share / of.rows);
    const auto rest = static_cast<uint64_t>(share % of.rows);
    in_epoch = whole + static_cast<uint64_t>((Wide{of.turn} * epoch + rest) / of.rows);
    before = epoch * whole + floor_sum(epoch, of.rows, of.turn, rest);
  }
  uint64_t in_epoch;
  uint64_t before;
};

}  // namespace

// ---------------------------------------------------------------- how many

Result<BlockSampling> BlockSampling::open(const DataConfig& data, uint64_t seed,
                                          const Dataset& dataset) {
  std::vector<std::vector<LabelCount>> labels;
  if (data.samples_classes()) {
    BALLAST_ASSIGN(labels, count_classes(data, dataset));
  }
  std::vector<CountedBlock> blocks;
  blocks.reserve(dataset.block_count());
  for (uint64_t block = 0; block < dataset.block_count(); ++block) {
    blocks.push_back({dataset.part_of(block), dataset.block(block).stored.rows, {}});
    if (!labels.empty()) blocks.back().labels = std::move(labels[block]);
  }
  return make(train_sets(data), data.balance, seed, blocks);
}

Result<BlockSampling> BlockSampling::make(std::span<const TrainSet> sets, Balance balance,
                                          uint64_t seed, std::span<const CountedBlock> blocks) {
  BlockSampling sampling(seed);
  BALLAST_ASSIGN(sampling.classes_, sample_classes(sets, balance, blocks));
  BALLAST_RETURN_IF_ERROR(sampling.add_blocks(sets, balance, blocks));
  return sampling;
}

Status BlockSampling::add_blocks(std::span<const TrainSet> sets, Balance balance,
                                 std::span<const CountedBlock> blocks) {
  const bool once = std::ranges::all_of(
      classes_, [](const SampledClass& each) { return each.samples == each.rows; });
  by_class_ = !once && tells_classes_apart(balance);
  std::map<std::pair<int64_t, size_t>, uint32_t> places;  // of label and set in classes_
  std::vector<uint64_t> rows_before(classes_.size());
  for (SampledClass& each : classes_) {
    each.turn = turn_of(each.rows);
    places.emplace(std::pair(each.label, each.set), static_cast<uint32_t>(places.size()));
    samples_ += each.samples;
  }
  block_rows_.reserve(blocks.size());
  LabelCount all;
  for (const CountedBlock& block : blocks) {
    block_rows_.push_back(block.rows);
    if (!once) first_share_.push_back(shares_.size());
    Wide most = 0;
    for (const LabelCount& count : classes_of(block, balance, all)) {
      if (count.count == 0) continue;
      const uint32_t of = places.at({count.label, block.set});
      most +=
          (Wide{classes_[of].samples} * count.count + classes_[of].rows - 1) / classes_[of].rows;
      if (once) continue;
      shares_.push_back({of, static_cast<uint32_t>(count.count), rows_before[of]});
      rows_before[of] += count.count;
    }
    if (most > kBlockSamplesMax) {
      return too_many_samples(sets[block.set], balance,
                              fmt::format("a block of {} rows", block.rows),
                              static_cast<double>(most), static_cast<double>(kBlockSamplesMax));
    }
    block_samples_max_ = std::max(block_samples_max_, static_cast<uint64_t>(most));
  }
  if (!once) first_share_.push_back(shares_.size());
  return {};
}

SampledEpoch BlockSampling::epoch(uint64_t number) const {
  SampledEpoch epoch;
  epoch.number = number;
  if (each_row_once()) return epoch;
  epoch.block_samples.reserve(block_rows_.size());
  epoch.first_place.reserve(block_rows_.size() + 1);
  epoch.samples.reserve(shares_.size());
  epoch.taken_before.reserve(shares_.size());
  uint64_t place = 0;
  for (uint64_t block = 0; block < block_rows_.size(); ++block) {
    uint64_t samples = 0;
    for (const Share& share : shares_of(block)) {
      const SampledClass& of = classes_[share.of];
      const SamplesBelow begin(of, share.rows_before, number);
      const SamplesBelow end(of, share.rows_before + share.rows, number);
      epoch.samples.push_back(static_cast<uint32_t>(end.in_epoch - begin.in_epoch));
      epoch.taken_before.push_back(end.before - begin.before);
      samples += epoch.samples.back();
    }
    epoch.block_samples.push_back(static_cast<uint32_t>(samples));
    epoch.first_place.push_back(place);
    place += samples;
  }
  epoch.first_place.push_back(place);
  BALLAST_CHECK(place == samples_);
  return epoch;
}

// ---------------------------------------------------------------- which rows

std::span<const BlockSampling::Share> BlockSampling::shares_of(uint64_t block) const {
  BALLAST_CHECK(block + 1 < first_share_.size());
  const uint64_t first = first_share_[block];
  return std::span(shares_).subspan(first, first_share_[block + 1] - first);
}

KeyedPermutation BlockSampling::permutation(uint64_t block, const Share& share) const {
  const auto label = static_cast<uint64_t>(label_of(share));
  return {share.rows, hash_numbers({seed_, kSampleStream, block, label})};
}

Result<std::vector<uint32_t>> BlockSampling::rows_by_class(uint64_t block, const ColumnSpec& column,
                                                           std::span<const std::byte> labels,
                                                           const std::string& where) const {
  BALLAST_CHECK(by_class_);
  if (!is_integer(column.type) || column.width() != 1 || column.variable) {
    return Status(Code::kDataLoss,
                  fmt::format("{}: classes of whole numbers, one a row, expected in "
                              "{}",
                              where, column.to_string()));
  }
  const std::span<const Share> shares = shares_of(block);
  std::vector<uint32_t> next;  // place of the next row of each share
  uint32_t rows = 0;
  for (const Share& share : shares) {
    next.push_back(rows);
    rows += share.rows;
  }
  BALLAST_CHECK(labels.size() == rows * column.row_bytes());
  const std::vector<uint32_t> first = next;
  std::vector<uint32_t> sorted(rows);
  const auto differs = [&](int64_t label, uint64_t expected, const char* found) {
    return Status(Code::kDataLoss,
                  fmt::format("{}: {} rows with {} = {} expected, as the chunk's footer counts, {} "
                              "found; convert the data set again",
                              where, expected, column.name, label, found));
  };
  return with_type(column.type, [&](auto kind) -> Result<std::vector<uint32_t>> {
    using Value = decltype(kind);
    if constexpr (std::is_integral_v<Value>) {
      for (uint32_t row = 0; row < rows; ++row) {
        const auto label = static_cast<int64_t>(load_value<Value>(labels.data(), row));
        const auto found = std::ranges::lower_bound(
            shares, label, {}, [&](const Share& share) { return label_of(share); });
        if (found == shares.end() || label_of(*found) != label) {
          return differs(label, 0, "one at least");
        }
        const auto index = static_cast<size_t>(found - shares.begin());
        if (next[index] == first[index] + found->rows) return differs(label, found->rows, "more");
        sorted[next[index]++] = row;
      }
    }
    return std::move(sorted);  // none has more than it should, so none has fewer
  });
}

namespace {

BlockSampling::Taken taken(const KeyedPermutation& permutation, uint64_t index,
                           std::span<const uint32_t> rows) {
  const uint64_t row = permutation(index % permutation.size());
  return {rows.empty() ? static_cast<uint32_t>(row) : rows[row],
          static_cast<uint32_t>(index / permutation.size())};
}

}  // namespace

BlockSampling::Taken BlockSampling::take(const SampledEpoch& epoch, uint64_t block, uint32_t place,
                                         std::span<const uint32_t> by_class) const {
  if (each_row_once()) return {place, static_cast<uint32_t>(epoch.number)};
  uint64_t first_row = 0;
  uint64_t number = first_share_[block];
  for (const Share& share : shares_of(block)) {
    if (place < epoch.samples[number]) {
      return taken(permutation(block, share), epoch.taken_before[number] + place,
                   by_class_ ? by_class.subspan(first_row, share.rows) : by_class);
    }
    place -= epoch.samples[number++];
    first_row += share.rows;
  }
  BALLAST_CHECK(false && "a place outside of the block's samples");
  return {};
}

void BlockSampling::take(const SampledEpoch& epoch, uint64_t block,
                         std::span<const uint32_t> by_class, std::span<uint32_t> places,
                         std::span<uint32_t> passes) const {
  if (each_row_once()) {
    std::ranges::fill(passes, static_cast<uint32_t>(epoch.number));
    return;
  }
  // One set-up a class, and only of those that have a place here.
  struct Class {
    const Share* share;
    uint64_t number;
    uint64_t end;  // of its places
    std::span<const uint32_t> rows;
    std::optional<KeyedPermutation> permutation;
  };
  std::vector<Class> classes;
  uint64_t first_row = 0;
  uint64_t number = first_share_[block];
  uint64_t end = 0;
  for (const Share& share : shares_of(block)) {
    end += epoch.samples[number];
    classes.push_back({&share,
                       number++,
                       end,
                       by_class_ ? by_class.subspan(first_row, share.rows) : by_class,
                       {}});
    first_row += share.rows;
  }
  for (size_t i = 0; i < places.size(); ++i) {
    const auto found = std::ranges::upper_bound(classes, uint64_t{places[i]}, {}, &Class::end);
    BALLAST_CHECK(found != classes.end());
    if (!found->permutation) found->permutation = permutation(block, *found->share);
    const uint64_t place = places[i] - (found->end - epoch.samples[found->number]);
    const Taken sample =
        taken(*found->permutation, epoch.taken_before[found->number] + place, found->rows);
    places[i] = sample.row;
    if (!passes.empty()) passes[i] = sample.pass;
  }
}

SampledEpoch::Place SampledEpoch::place_of(uint64_t index) const {
  BALLAST_CHECK(!first_place.empty() && index < first_place.back());
  const auto after = std::ranges::upper_bound(first_place, index);
  const auto block = static_cast<uint64_t>(after - first_place.begin()) - 1;
  return {block, static_cast<uint32_t>(index - first_place[block])};
}

// ---------------------------------------------------------------- for people

namespace {

std::string share_text(const std::string& what, uint64_t rows, uint64_t samples, uint64_t all) {
  return fmt::format("{}: {} rows give {} samples an epoch, {:.1f} %", what, rows, samples,
                     100.0 * static_cast<double>(samples) / static_cast<double>(all));
}

}  // namespace

std::vector<std::string> describe(const BlockSampling& sampling, std::span<const TrainSet> sets,
                                  const std::string& label) {
  std::vector<SampledClass> by_set(sets.size());
  std::map<int64_t, SampledClass> by_label;
  for (const SampledClass& each : sampling.classes()) {
    for (SampledClass* sum : {&by_set[each.set], &by_label[each.label]}) {
      sum->rows += each.rows;
      sum->samples += each.samples;
    }
  }
  std::vector<std::string> text;
  for (size_t set = 0; set < sets.size(); ++set) {
    text.push_back(
        share_text(sets[set].location, by_set[set].rows, by_set[set].samples, sampling.samples()));
  }
  if (!sampling.by_class()) return text;
  size_t lines = 0;
  for (const auto& [value, of_label] : by_label) {
    if (lines++ == kClassLinesMax) break;
    text.push_back(share_text(fmt::format("{} = {}", label, value), of_label.rows, of_label.samples,
                              sampling.samples()));
  }
  if (by_label.size() > kClassLinesMax) {
    text.push_back(
        fmt::format("and {} more values of {}", by_label.size() - kClassLinesMax, label));
  }
  return text;
}

}  // namespace ballast
