#include "worker/data/class_samples.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "common/config/choices.h"

namespace ballast {
namespace {

constexpr double kSamplesMax = 9e15;  // doubles count to 2^53

// The rows of each class, label by label, in each the sets one after another.
using ClassesByLabel = std::map<int64_t, std::vector<SampledClass>>;

ClassesByLabel count_rows(std::span<const CountedBlock> blocks, Balance balance) {
  ClassesByLabel classes;
  LabelCount all;
  for (const CountedBlock& block : blocks) {
    for (const LabelCount& count : classes_of(block, balance, all)) {
      if (count.count == 0) continue;
      std::vector<SampledClass>& sets = classes[count.label];
      if (sets.empty() || sets.back().set != block.set) {
        sets.push_back({block.set, count.label, 0, 0});
      }
      sets.back().rows += count.count;
    }
  }
  return classes;
}

double size_by_rates(std::span<const SampledClass> classes, std::span<const TrainSet> sets) {
  double size = 0;
  for (const SampledClass& of_set : classes) {
    size += sets[of_set.set].rate * static_cast<double>(of_set.rows);
  }
  return size;
}

// How many samples every class gets; nothing: as many as the rates say.
std::optional<double> balanced_size(const ClassesByLabel& classes, std::span<const TrainSet> sets,
                                    Balance balance) {
  if (!tells_classes_apart(balance)) return std::nullopt;
  std::vector<double> sizes;
  for (const auto& [label, of_sets] : classes) sizes.push_back(size_by_rates(of_sets, sets));
  return balance == Balance::kOversample ? std::ranges::max(sizes) : std::ranges::min(sizes);
}

// Rounds the sum over the sets, not each of them: a class has the samples it should have.
void give_samples(std::span<const TrainSet> sets, double factor,
                  std::vector<SampledClass>& classes) {
  double wanted = 0;
  uint64_t given = 0;
  for (SampledClass& of_set : classes) {
    wanted += sets[of_set.set].rate * static_cast<double>(of_set.rows) * factor;
    of_set.samples = static_cast<uint64_t>(std::llround(wanted)) - given;
    given += of_set.samples;
  }
}

// "data.rate = 2", and what data.balance makes of it.
std::string cause_of(const TrainSet& set, Balance balance) {
  std::string text = fmt::format("{}.rate = {}", set.table, set.rate);
  if (tells_classes_apart(balance)) {
    text += fmt::format(" and data.balance = \"{}\"", name_of(balance));
  }
  return text;
}

Status check_set(const TrainSet& set, Balance balance, uint64_t rows, uint64_t samples) {
  if (samples > 0) return {};
  const std::string rate =
      fmt::format("set {}.rate to {:.3g} or more", set.table, 1 / static_cast<double>(rows));
  return Status(
      Code::kInvalidInput,
      fmt::format("{}: an epoch takes no sample of the {} rows of data set {}; expected "
                  "one at least: {}, or leave the set out",
                  cause_of(set, balance), rows, set.location,
                  tells_classes_apart(balance) ? "raise the rates, leave data.balance out" : rate));
}

}  // namespace

bool tells_classes_apart(Balance balance) {
  return balance == Balance::kOversample || balance == Balance::kUndersample;
}

std::span<const LabelCount> classes_of(const CountedBlock& block, Balance balance,
                                       LabelCount& all) {
  if (tells_classes_apart(balance)) return block.labels;
  all = {0, block.rows};
  return {&all, 1};
}

Status too_many_samples(const TrainSet& set, Balance balance, const std::string& of, double samples,
                        double most) {
  return Status(
      Code::kInvalidInput,
      fmt::format("{}: an epoch takes {:.0f} samples of {} of data set {}, at most {:.0f} "
                  "expected; lower {}.rate, or convert it again with a smaller "
                  "--block-kib",
                  cause_of(set, balance), samples, of, set.location, most, set.table));
}

Result<std::vector<SampledClass>> sample_classes(std::span<const TrainSet> sets, Balance balance,
                                                 std::span<const CountedBlock> blocks) {
  std::vector<SampledClass> sampled;
  ClassesByLabel classes = count_rows(blocks, balance);
  const std::optional<double> size = balanced_size(classes, sets, balance);
  std::vector<uint64_t> rows(sets.size()), samples(sets.size());
  for (auto& [label, of_sets] : classes) {
    const double by_rates = size_by_rates(of_sets, sets);
    if (size.value_or(by_rates) > kSamplesMax) {
      const SampledClass& first = of_sets.front();
      return too_many_samples(sets[first.set], balance, fmt::format("{} rows", first.rows),
                              size.value_or(by_rates), kSamplesMax);
    }
    give_samples(sets, size ? *size / by_rates : 1, of_sets);
    for (const SampledClass& of_set : of_sets) {
      rows[of_set.set] += of_set.rows;
      samples[of_set.set] += of_set.samples;
      sampled.push_back(of_set);
    }
  }
  for (size_t set = 0; set < sets.size(); ++set) {
    BALLAST_RETURN_IF_ERROR(check_set(sets[set], balance, rows[set], samples[set]));
  }
  return sampled;
}

}  // namespace ballast
