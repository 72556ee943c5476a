// BlockSampling: how many samples an epoch takes of each block, and which of its rows they are.
// Mixing with rates, over- and undersampling of classes are this one thing: of each class of each
// set an epoch takes a number of samples, and every block gives its share of them. Without any of
// it an epoch takes each row once, and all this is the identity.
//
//   T = rate x rows of the class in the set (x what data.balance makes of it), rounded: samples
//   V(e) = floor((T (S + n) + g e) / N) - floor((T S + g e) / N): in epoch e, of a block that has n
//       of the class's N rows, S of them being in the blocks before it; g: the largest number up to
//       0.618... N that has no divisor in common with N, so that in N epochs each rounding comes
//       once. Exact: in every epoch V adds up to T over the blocks.
//   sample j of (block, class) in epoch e is row P((V(0) + ... + V(e - 1) + j) mod n) of the
//   block's rows of that class, as they are stored; P is a KeyedPermutation of (seed, block,
//   label).
//
// So with V < n successive epochs take other rows until all had their turn, with V > n an epoch
// takes each floor(V / n) or ceil(V / n) times, and over the epochs each row of a block comes
// equally often but for one. V is T n / N rounded down or up; g turns the rounding by the golden
// ratio from epoch to epoch, so that a block whose share is less than a sample gives one now and
// then, as often as it should, and no row is left out for good. The sum of V has a closed form.
// A block's samples are those of its classes, by ascending label, one class after another: place
// 0, 1 ... Which of them come when is StripOrder's and SampleOrder's.
//
// Pure: a function of (seed, epoch, place) and the counts in the chunks' footers. Set-up and
// memory, also of an epoch: a few numbers a block and class. Immutable; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/class_samples.h"
#include "worker/data/dataset.h"
#include "worker/data/order.h"
#include "worker/data/train_sets.h"

namespace ballast {

// What an epoch takes of each block. Plain values; nothing where each row is taken once.
struct SampledEpoch {
  uint64_t number = 0;
  std::vector<uint32_t> block_samples;
  std::vector<uint64_t> first_place;   // of each block on the line of all samples, and the end
  std::vector<uint32_t> samples;       // of each class of each block
  std::vector<uint64_t> taken_before;  // of these, in the epochs before

  // Where sample `index` of the line is.
  struct Place {
    uint64_t block = 0;
    uint32_t place = 0;
  };
  [[nodiscard]] Place place_of(uint64_t index) const;
};

class BlockSampling {
 public:
  // The samples that a job takes of its training rows. Reads the footers of all chunks if classes
  // matter. kInvalidInput: classes that are not counted; a set that gives no sample; a
  // block that gives too many. kDataLoss and others: those of reading footers.
  static Result<BlockSampling> open(const DataConfig& data, uint64_t seed, const Dataset& dataset);
  // The same of blocks that were counted.
  static Result<BlockSampling> make(std::span<const TrainSet> sets, Balance balance, uint64_t seed,
                                    std::span<const CountedBlock> blocks);

  // Row = place, in every block.
  [[nodiscard]] bool each_row_once() const { return shares_.empty(); }
  // Which rows a block's samples are depends on its labels: rows_by_class() has to be asked.
  [[nodiscard]] bool by_class() const { return by_class_; }
  // Of any epoch.
  [[nodiscard]] uint64_t samples() const { return samples_; }
  // The most that an epoch takes of one block.
  [[nodiscard]] uint64_t block_samples_max() const { return block_samples_max_; }
  [[nodiscard]] SampledEpoch epoch(uint64_t number) const;
  // Samples of each block in the epoch.
  [[nodiscard]] std::span<const uint32_t> block_samples(const SampledEpoch& epoch) const {
    return each_row_once() ? block_rows_ : epoch.block_samples;
  }
  [[nodiscard]] const std::vector<SampledClass>& classes() const { return classes_; }

  // The rows of a block, those of the lowest label first, each class in stored order. `labels`: the
  // block's label column. kDataLoss: other labels than its chunk counts; names `where` and what is
  // expected and found.
  Result<std::vector<uint32_t>> rows_by_class(uint64_t block, const ColumnSpec& column,
                                              std::span<const std::byte> labels,
                                              const std::string& where) const;

  // A row of a block, and how often it was taken before, epochs ago too, modulo 2^32.
  struct Taken {
    uint32_t row = 0;
    uint32_t pass = 0;
  };
  // The sample at `place` of the block. `by_class`: rows_by_class() of the block; without classes
  // empty.
  [[nodiscard]] Taken take(const SampledEpoch& epoch, uint64_t block, uint32_t place,
                           std::span<const uint32_t> by_class) const;
  // The same for many places, which become rows; passes may be empty.
  void take(const SampledEpoch& epoch, uint64_t block, std::span<const uint32_t> by_class,
            std::span<uint32_t> places, std::span<uint32_t> passes) const;

 private:
  // Of a class in a block; without classes of a block.
  struct Share {
    uint32_t of = 0;  // index into classes_
    uint32_t rows = 0;
    uint64_t rows_before = 0;  // in the blocks before
  };

  explicit BlockSampling(uint64_t seed) : seed_(seed) {}
  Status add_blocks(std::span<const TrainSet> sets, Balance balance,
                    std::span<const CountedBlock> blocks);
  [[nodiscard]] std::span<const Share> shares_of(uint64_t block) const;
  [[nodiscard]] int64_t label_of(const Share& share) const { return classes_[share.of].label; }
  [[nodiscard]] KeyedPermutation permutation(uint64_t block, const Share& share) const;

  uint64_t seed_;
  bool by_class_ = false;
  uint64_t samples_ = 0;
  uint64_t block_samples_max_ = 0;
  std::vector<SampledClass> classes_;  // by ascending label, then by set
  std::vector<uint32_t> block_rows_;
  // Empty where each row is taken once.
  std::vector<Share> shares_;          // of the blocks, one after another, by ascending label
  std::vector<uint64_t> first_share_;  // of each block, and the end
};

// "data/a: 3823 rows give 7646 samples an epoch, 66.7 %", a line for each set, and for each class
// with its label, the classes of a set together.
[[nodiscard]] std::vector<std::string> describe(const BlockSampling& sampling,
                                                std::span<const TrainSet> sets,
                                                const std::string& label);

}  // namespace ballast
