// StreamRows: rows of a data set larger than memory, in the order `strip`. Each lane keeps the
// blocks of its strip, with their permutations, and asks for the next blocks while rows are read;
// going back, or on from anywhere, costs at most one strip. Any thread. Readers of one lane wait
// for each other while a strip is opened, and gather at the same time; whoever still reads the
// strip before keeps the one block of it that the lane has let go.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "worker/data/block_sampling.h"
#include "worker/data/block_store.h"
#include "worker/data/row_source.h"
#include "worker/data/strip_order.h"

namespace ballast {

class StreamRows final : public RowSource {
 public:
  // `store` and `sampling` are of the same data set; epochs: the last one has no successor to fetch
  // ahead for. `ahead`: new blocks asked for before their strip begins.
  StreamRows(std::shared_ptr<const Dataset> dataset, RowPlan plan,
             std::unique_ptr<BlockStore> store, BlockSampling sampling, uint32_t lanes,
             uint32_t window, uint32_t ahead, uint64_t seed, uint64_t epochs);

  Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) override;
  void forget(LaneId lane) override;
  void stop() override { store_->close(); }
  [[nodiscard]] bool in_memory() const override { return false; }
  [[nodiscard]] bool one_place_a_lane() const override { return true; }
  [[nodiscard]] bool at_hand(uint64_t epoch, LaneId lane, uint64_t first, uint64_t count) override;
  [[nodiscard]] BlockReads block_reads() const override {
    const BlockCounters counted = counters();
    return {counted.fetched, counted.found};
  }
  [[nodiscard]] const RowPlan& plan() const override { return plan_; }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override { return dataset_; }
  [[nodiscard]] BlockCounters counters() const { return store_->counters(); }

  // With one thread that reads and one that gathers, 4 instead of 2 make 160 B rows 1.15 times and
  // 3 KB rows 1.1 times as fast (bench/micro/stream_bench, medians of three side by side): neither
  // waits for the other's slow blocks. 2 is for who has no memory for more.
  static constexpr uint32_t kBlocksAhead = 4;
  static constexpr uint32_t kBlocksAheadLeast = 2;

 private:
  // The order of an epoch's samples, and which rows those are.
  struct EpochOrder {
    SampledEpoch samples;
    StripOrder strips;
  };
  struct HeldPiece {
    std::shared_ptr<const Block> block;
    uint64_t block_number = 0;     // of the data set
    std::vector<uint32_t> rows;    // of the block, in the order of StripOrder::permute_piece
    std::vector<uint32_t> passes;  // BlockSampling; empty: the epoch
  };
  // Never changed once it is open.
  struct Strip {
    uint64_t epoch = 0;
    uint64_t number = 0;
    std::shared_ptr<const EpochOrder> order;
    std::map<uint64_t, std::shared_ptr<const HeldPiece>> pieces;  // by number
    std::vector<const HeldPiece*> shares;                         // the newest first
    std::vector<uint64_t> first_rows;       // of each share's block, in the data set
    std::vector<const std::byte*> columns;  // [RowPlan::columns, shares]: where each begins
    std::vector<uint64_t> samples;          // in the order of the strip: HeldRows::place of each
    std::vector<uint32_t> passes;           // of each sample; empty: the epoch
  };
  struct Lane {
    std::mutex mutex;                   // guards all below
    std::shared_ptr<const Strip> open;  // the one read last; null: none
    uint64_t read_to = 0;               // behind the samples that somebody has it for
    // The store knows what this lane will ask for in these epochs.
    uint64_t first_said = 0, epochs_said = 0;
  };

  std::shared_ptr<const EpochOrder> order_of(uint64_t epoch);
  Result<std::shared_ptr<const Strip>> strip_for(LaneId id, uint64_t epoch, uint64_t first,
                                                 uint64_t count);
  Result<std::shared_ptr<const Strip>> open_strip(Lane& lane, LaneId id, uint64_t epoch,
                                                  std::shared_ptr<const EpochOrder> order,
                                                  uint64_t number);
  void say_uses(Lane& lane, LaneId id, uint64_t epoch, uint64_t strip);
  Result<std::shared_ptr<const HeldPiece>> open_piece(const EpochOrder& order, LaneId id,
                                                      uint64_t number);
  Result<std::vector<uint32_t>> rows_by_class(const Block& block, uint64_t number) const;
  void order_samples(Strip& strip, LaneId id, std::span<const Share> shares) const;
  void look_ahead(const Strip& strip, LaneId id);
  static void add_blocks(const Strip& strip, std::span<const uint64_t> samples,
                         std::vector<uint64_t>& blocks);
  void tell_order(uint64_t epoch);
  void tell_again_from(uint64_t epoch);
  void say_reached(LaneId id, uint64_t when);
  void gather_rows(const Strip& strip, uint64_t first, const RowRoom& room) const;

  const std::shared_ptr<const Dataset> dataset_;
  const RowPlan plan_;
  const std::unique_ptr<BlockStore> store_;
  const BlockSampling sampling_;
  const uint32_t window_;
  const uint32_t ahead_;
  const uint64_t seed_;
  const uint64_t epochs_;
  std::vector<Lane> lanes_;

  std::mutex mutex_;                                              // guards orders_ and epochs_told_
  std::map<uint64_t, std::shared_ptr<const EpochOrder>> orders_;  // by epoch, the newest
  uint64_t epochs_told_ = 0;                                      // up to which the source knows

  // Held while the store hears how far lanes are, so that it hears the latest last.
  std::mutex reached_mutex_;
  std::vector<uint64_t> reached_;  // guarded by it: by lane, when its strip began; 0: not read here
};

}  // namespace ballast
