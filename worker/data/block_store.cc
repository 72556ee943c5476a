#include "worker/data/block_store.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/data/block_slots.h"
#include "worker/data/check_values.h"

namespace ballast {

// thread   does
// caller   asks the source, waits, takes
// source   verifies what it has read, leaves it in `entries`, wakes callers
struct BlockStore::Core : std::enable_shared_from_this<BlockStore::Core> {
  // A block that is on its way, was fetched ahead, or is held by somebody.
  struct Entry {
    uint64_t number = 0;  // in the order of asking
    bool settled = false;
    uint32_t waiting = 0;  // callers of get()
    Status failure;
    std::shared_ptr<Block> unclaimed;  // fetched, and nobody has it yet
    std::weak_ptr<const Block> claimed;

    // Settled, and dropped by all who held it.
    [[nodiscard]] bool gone() const {
      return settled && failure.ok() && unclaimed == nullptr && claimed.expired();
    }
  };

  Core(std::shared_ptr<const Dataset> data, const RowPlan& row_plan, Source& from, bool keep)
      : dataset(std::move(data)),
        source(from),
        plan(row_plan),
        decoder(*dataset, plan),
        keeps(keep),
        values_checked(dataset->block_count()),
        kept(keep ? dataset->block_count() : 0) {}

  std::shared_ptr<std::byte> slot_memory(uint64_t needed);
  std::shared_ptr<std::byte> forsaken_memory();
  std::shared_ptr<Block> oldest_unclaimed(uint64_t before);
  [[nodiscard]] bool reads_for_nobody() const;
  [[nodiscard]] bool at_hand(uint64_t block) const;
  bool take_kept(uint64_t block);
  std::shared_ptr<const Block> lend(uint64_t index, std::shared_ptr<Block> block);
  void give_back(uint64_t index, std::shared_ptr<Block> block);
  Status ask_for(uint64_t block, std::unique_lock<std::mutex>& lock);
  Result<std::shared_ptr<const Block>> wait_for(uint64_t block, std::unique_lock<std::mutex>& lock);
  void count_over_budget();
  void fetch(uint64_t block, std::shared_ptr<std::byte> memory, bool in_slot);
  void settle(uint64_t block, std::shared_ptr<Block> fetched, Status outcome);
  void read(uint64_t block, std::shared_ptr<Block> into, uint32_t attempt);
  [[nodiscard]] Status verify_values(uint64_t index, Block& block);

  const std::shared_ptr<const Dataset> dataset;
  Source& source;  // the store's: there while anything is read
  const RowPlan plan;
  const BlockDecoder decoder;
  const bool keeps;
  std::shared_ptr<BlockSlots> slots;

  std::mutex mutex;  // guards all below
  bool closed = false;
  std::condition_variable settled;
  std::map<uint64_t, Entry> entries;
  uint64_t next_number = 0;
  std::vector<bool> values_checked;  // by block: from then on its hash vouches for its values
  KeptBlocks kept;
  BlockCounters counters;
};

// ---------------------------------------------------------------- memory

// mutex held. Null: every slot is taken by what is held, or needed sooner than what it is for.
std::shared_ptr<std::byte> BlockStore::Core::slot_memory(uint64_t needed) {
  std::shared_ptr<std::byte> slot = slots->take();
  if (slot != nullptr) return slot;
  std::optional<KeptBlocks::Kept> given_up = kept.give_up(needed);
  return given_up ? std::move(given_up->block->memory_) : nullptr;
}

// mutex held. Of a block that was fetched for somebody who did not come: as many others as there
// are slots were asked for since. Null: there is none.
std::shared_ptr<std::byte> BlockStore::Core::forsaken_memory() {
  const uint64_t most = slots->count();
  const std::shared_ptr<Block> block = oldest_unclaimed(next_number - std::min(next_number, most));
  return block != nullptr && block->in_slot_ ? std::move(block->memory_) : nullptr;
}

// mutex held. Of those asked for before number `before`; out of the entries.
std::shared_ptr<Block> BlockStore::Core::oldest_unclaimed(uint64_t before) {
  auto oldest = entries.end();
  for (auto entry = entries.begin(); entry != entries.end(); ++entry) {
    if (entry->second.unclaimed == nullptr || entry->second.number >= before) continue;
    if (oldest == entries.end() || entry->second.number < oldest->second.number) oldest = entry;
  }
  if (oldest == entries.end()) return nullptr;
  std::shared_ptr<Block> block = std::move(oldest->second.unclaimed);
  entries.erase(oldest);
  return block;
}

// mutex held. A block is on its way that nobody waits for, and nobody has to give one up before.
bool BlockStore::Core::reads_for_nobody() const {
  if (!kept.empty()) return false;
  bool on_its_way = false;
  for (const auto& [block, entry] : entries) {
    if (entry.unclaimed != nullptr) return false;
    on_its_way |= !entry.settled && entry.waiting == 0;
  }
  return on_its_way && !closed;
}

// mutex held.
bool BlockStore::Core::at_hand(uint64_t block) const {
  const auto known = entries.find(block);
  return kept.contains(block) || (known != entries.end() && known->second.settled &&
                                  known->second.failure.ok() && !known->second.gone());
}

// ---------------------------------------------------------------- keeping

// mutex held. The block is among the entries now, if it was kept.
bool BlockStore::Core::take_kept(uint64_t index) {
  std::optional<KeptBlocks::Kept> found = kept.take(index);
  if (!found) return false;
  counters.found += found->read_ahead ? 0 : 1;
  Entry entry;
  entry.number = next_number++;
  entry.settled = true;
  entry.unclaimed = std::move(found->block);
  entries.insert_or_assign(index, std::move(entry));
  return true;
}

// The block for whoever asked: it comes back when all of them have dropped it.
std::shared_ptr<const Block> BlockStore::Core::lend(uint64_t index, std::shared_ptr<Block> block) {
  if (!keeps) return block;
  const Block* lent = block.get();
  // Lets go of the core when it is called: the entry's weak pointer must not keep it alive.
  return {lent, [core = shared_from_this(), index, owned = std::move(block)](const Block*) mutable {
            std::exchange(core, nullptr)->give_back(index, std::move(owned));
          }};
}

// Whoever asked for it between the last one's drop and now had it fetched again: one is enough.
void BlockStore::Core::give_back(uint64_t index, std::shared_ptr<Block> block) {
  std::lock_guard lock(mutex);
  const auto known = entries.find(index);
  if (known != entries.end() && known->second.gone()) entries.erase(known);
  if (closed || !block->in_slot_ || entries.contains(index) || kept.contains(index)) return;
  kept.keep(index, {std::move(block)});
}

// ---------------------------------------------------------------- fetching

// The block is among the entries then. Lets go of the mutex meanwhile.
Status BlockStore::Core::ask_for(uint64_t block, std::unique_lock<std::mutex>& lock) {
  // Fetched ahead for somebody who did not come: what failed then may work now.
  const auto before = entries.find(block);
  if (before != entries.end() && !before->second.failure.ok()) entries.erase(before);
  std::shared_ptr<std::byte> own;
  for (;;) {
    const auto known = entries.find(block);
    if (known != entries.end() && !known->second.gone()) return {};
    if (take_kept(block)) return {};
    std::shared_ptr<std::byte> memory = slot_memory(0);
    const bool in_slot = memory != nullptr;
    if (!in_slot && reads_for_nobody()) {
      // Its memory is ours as soon as it is there. No deadline: the source ends every read.
      settled.wait(lock, [&] { return !reads_for_nobody(); });
      if (closed) return Status(Code::kStopped, "the loader ends");
      continue;
    }
    if (!in_slot && own == nullptr) {
      std::shared_ptr<Block> given_up = oldest_unclaimed(next_number);
      lock.unlock();
      if (given_up == nullptr) {
        BALLAST_ASSIGN(own, slots->take_beside());
      }
      given_up.reset();
      lock.lock();
      continue;  // meanwhile the block may have come, or a slot, or somebody may have taken it
    }
    if (!in_slot) {
      memory = std::move(own);
      count_over_budget();
    }
    fetch(block, std::move(memory), in_slot);
  }
}

// mutex held.
void BlockStore::Core::count_over_budget() {
  if (counters.over_budget++ > 0) return;
  log::warn(
      "more blocks are in use than planned, because lanes came from other workers: "
      "the loader takes more than its share of data.memory_mib");
}

// Of a block among the entries. Null: it was given up for another between being settled and now.
Result<std::shared_ptr<const Block>> BlockStore::Core::wait_for(
    uint64_t block, std::unique_lock<std::mutex>& lock) {
  auto known = entries.find(block);
  ++known->second.waiting;
  const uint64_t number = known->second.number;
  // No deadline: the source ends every read, in bytes or in an error, and settle() then wakes.
  settled.wait(lock, [&] {
    known = entries.find(block);
    return closed || known == entries.end() || known->second.settled;
  });
  if (known != entries.end() && known->second.number == number) --known->second.waiting;
  if (closed) return Status(Code::kStopped, "the loader ends");
  if (known == entries.end()) return std::shared_ptr<const Block>();
  if (!known->second.failure.ok()) {
    Status failure = known->second.failure;
    entries.erase(known);
    return failure;
  }
  std::shared_ptr<const Block> held = known->second.claimed.lock();
  if (held == nullptr && known->second.unclaimed != nullptr) {
    held = lend(block, std::move(known->second.unclaimed));
    known->second.claimed = held;
  }
  return held;
}

// mutex held.
void BlockStore::Core::fetch(uint64_t index, std::shared_ptr<std::byte> memory, bool in_slot) {
  std::erase_if(entries, [](const auto& entry) { return entry.second.gone(); });
  entries[index].number = next_number++;
  ++counters.fetched;
  auto block = std::make_shared<Block>();
  block->place_ = dataset->block(index);
  counters.bytes += block->place_.stored.bytes;
  block->memory_ = std::move(memory);
  block->in_slot_ = in_slot;
  read(index, std::move(block), 1);
}

void BlockStore::Core::read(uint64_t index, std::shared_ptr<Block> block, uint32_t attempt) {
  const BlockPlace& place = block->place_;
  const std::span into(block->memory_.get(), place.stored.bytes);
  // Lets go of the block as it settles: what is left of `done` afterwards must not keep it alive.
  auto done = [core = shared_from_this(), index, block, attempt](Result<uint64_t> read) mutable {
    if (!read.ok()) return core->settle(index, std::move(block), read.status());
    Status outcome = core->decoder.verify(block->place(), read.value());
    if (!outcome.ok() && core->source.is_remote() && attempt < kReadsOfDamagedMax) {
      core->source.forget(core->dataset->chunk_name(block->place().chunk),
                          block->place().stored.offset, block->place().stored.bytes);
      return core->read(index, std::move(block), attempt + 1);
    }
    if (outcome.ok()) outcome = core->verify_values(index, *block);
    core->settle(index, std::move(block), std::move(outcome));
  };
  source.read_hashed(dataset->chunk_name(place.chunk), place.stored.offset, into, std::move(done));
}

void BlockStore::Core::settle(uint64_t index, std::shared_ptr<Block> block, Status outcome) {
  {
    std::lock_guard lock(mutex);
    if (closed) return;  // nobody asks any more; the block gives its slot back
    Entry& entry = entries[index];
    entry.settled = true;
    if (outcome.ok() && keeps && entry.waiting == 0 && block->in_slot_ && !kept.contains(index)) {
      // Read ahead: it is needed soon, and that alone keeps it.
      entries.erase(index);
      kept.keep(index, {std::move(block), true});
    } else {
      if (outcome.ok()) entry.unclaimed = std::move(block);
      entry.failure = std::move(outcome);
    }
  }
  settled.notify_all();
}

// On a thread of the source. Also decodes the block.
Status BlockStore::Core::verify_values(uint64_t index, Block& block) {
  const std::span slot(block.memory_.get(), decoder.slot_bytes());
  BALLAST_ASSIGN(block.columns_, decoder.decode(block.place_, slot));
  {
    std::lock_guard lock(mutex);
    if (values_checked[index]) return {};
  }
  BALLAST_RETURN_IF_ERROR(check_block(*dataset, plan, block.place(), block.columns_));
  std::lock_guard lock(mutex);
  values_checked[index] = true;
  return {};
}

// ---------------------------------------------------------------- store

uint64_t BlockStore::slot_bytes(const Dataset& dataset, const RowPlan& plan) {
  return BlockDecoder(dataset, plan).slot_bytes();
}

Result<std::unique_ptr<BlockStore>> BlockStore::open(std::shared_ptr<const Dataset> dataset,
                                                     const RowPlan& plan,
                                                     std::unique_ptr<Source> source, uint32_t slots,
                                                     uint32_t slots_to_keep) {
  auto core = std::make_shared<Core>(std::move(dataset), plan, *source, slots_to_keep > 0);
  BALLAST_ASSIGN(core->slots,
                 BlockSlots::open(uint64_t{slots} + slots_to_keep, core->decoder.slot_bytes()));
  return std::unique_ptr<BlockStore>(new BlockStore(std::move(core), std::move(source)));
}

BlockStore::BlockStore(std::shared_ptr<Core> core, std::unique_ptr<Source> source)
    : core_(std::move(core)), source_(std::move(source)) {}

BlockStore::~BlockStore() {
  close();
  source_.reset();
  decltype(core_->entries) entries;
  std::map<uint64_t, KeptBlocks::Kept> kept;
  std::lock_guard lock(core_->mutex);
  entries.swap(core_->entries);  // dropped after the mutex: blocks give their slots back
  kept = core_->kept.take_all();
}

void BlockStore::prefetch(uint64_t block) {
  std::lock_guard lock(core_->mutex);
  const auto known = core_->entries.find(block);
  if (known != core_->entries.end() && !known->second.gone()) return;
  if (core_->kept.contains(block)) return;  // it is needed soon: others go before it
  const uint64_t needed = core_->keeps ? core_->kept.next_use(block) : 0;
  std::shared_ptr<std::byte> slot = core_->slot_memory(needed);
  if (slot == nullptr) slot = core_->forsaken_memory();
  if (slot != nullptr) core_->fetch(block, std::move(slot), true);
}

bool BlockStore::at_hand(uint64_t block) const {
  std::lock_guard lock(core_->mutex);
  return core_->at_hand(block);
}

bool BlockStore::keeps() const {
  return core_->keeps;
}

void BlockStore::expect_uses(LaneId lane, std::span<const BlockUse> uses) {
  if (!core_->keeps) return;
  std::lock_guard lock(core_->mutex);
  core_->kept.expect(lane, uses);
}

void BlockStore::passed(LaneId lane, uint64_t when) {
  if (!core_->keeps) return;
  std::lock_guard lock(core_->mutex);
  core_->kept.passed(lane, when);
}

void BlockStore::forget_uses(LaneId lane) {
  if (!core_->keeps) return;
  std::lock_guard lock(core_->mutex);
  core_->kept.forget(lane);
}

void BlockStore::expect(uint64_t block, uint64_t when) {
  if (!source_->is_remote()) return;  // nothing is kept of a folder
  const BlockPlace place = core_->dataset->block(block);
  source_->expect(core_->dataset->chunk_name(place.chunk), place.stored.offset, place.stored.bytes,
                  when);
}

Result<std::shared_ptr<const Block>> BlockStore::get(uint64_t block) {
  std::unique_lock lock(core_->mutex);
  ++(core_->at_hand(block) ? core_->counters.ready : core_->counters.waited);
  for (;;) {
    BALLAST_RETURN_IF_ERROR(core_->ask_for(block, lock));
    BALLAST_ASSIGN(std::shared_ptr<const Block> held, core_->wait_for(block, lock));
    if (held != nullptr) return held;
  }
}

void BlockStore::close() {
  {
    std::lock_guard lock(core_->mutex);
    core_->closed = true;
  }
  core_->settled.notify_all();
}

BlockCounters BlockStore::counters() const {
  std::lock_guard lock(core_->mutex);
  return core_->counters;
}

}  // namespace ballast
