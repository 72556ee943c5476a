// How many samples an epoch takes of each class of each set: the sets' rates, and what data.balance
// makes of them. Where classes are not told apart all rows of a set are one. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/train_sets.h"

namespace ballast {

// What an epoch takes of a class of a set; without classes of the whole set.
struct SampledClass {
  size_t set = 0;     // data.train, then data.mix
  int64_t label = 0;  // 0 without classes
  uint64_t rows = 0;
  uint64_t samples = 0;
  uint64_t turn = 0;  // g: of the roundings, from epoch to epoch
};

// A block before it is read.
struct CountedBlock {
  size_t set = 0;
  uint32_t rows = 0;
  std::vector<LabelCount> labels;  // they add up to `rows`; empty: classes do not matter
};

// Each class has a number of samples of its own.
[[nodiscard]] bool tells_classes_apart(Balance balance);

// The classes that are told apart in a block: one, which `all` has room for, unless they are
// balanced.
[[nodiscard]] std::span<const LabelCount> classes_of(const CountedBlock& block, Balance balance,
                                                     LabelCount& all);

// By ascending label, then by set. kInvalidInput: a set that gives no sample, or more of a class
// than doubles count.
Result<std::vector<SampledClass>> sample_classes(std::span<const TrainSet> sets, Balance balance,
                                                 std::span<const CountedBlock> blocks);

// kInvalidInput. `of`: "a block of 17 rows".
[[nodiscard]] Status too_many_samples(const TrainSet& set, Balance balance, const std::string& of,
                                      double samples, double most);

}  // namespace ballast
