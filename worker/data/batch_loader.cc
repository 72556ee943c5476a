#include "worker/data/batch_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>

#include "common/base/check.h"
#include "common/base/log.h"
#include "worker/data/batch_shape.h"
#include "worker/data/open_rows.h"
#include "worker/data/order_ledger.h"
#include "worker/data/prefetch_plan.h"
#include "worker/data/repair.h"
#include "worker/data/resolve_shapes.h"

// thread   owns                          takes from               gives to
// loader   the slot it works on          slots_ (queued)          slots_ (ready)
// caller   the batch it was given        slots_ (ready)           plan_, hence slots_ (queued)
namespace ballast {
namespace {

// Of rows in memory the blocks of one batch in so many are counted: finding a row's block costs a
// tenth of gathering a small row, and one batch in 16 tells as much.
constexpr Clock kBatchesABlockCount = 16;

}  // namespace

struct BatchLoader::Core {
  Core(std::unique_ptr<RowSource> source, const LaneSchedule& lane_schedule,
       const JobConfig& config, const LoaderMemory& planned, MakeBuffer make_batch);
  ~Core();

  // A batch that will be asked for. The plan, a loader thread and a taker may hold it at once, and
  // the plan may drop it while a thread still fills it: hence shared.
  struct Slot {
    enum class State { kQueued, kWorking, kReady };
    BatchRequest request;
    State state = State::kQueued;
    Status failure;
    Batch batch;
  };

  void replan();  // mutex held
  std::shared_ptr<Slot> take_slot(const BatchRequest& request);
  void work();
  [[nodiscard]] std::shared_ptr<Slot> next_queued() const;  // mutex held
  void fill(const std::shared_ptr<Slot>& slot, std::unique_lock<std::mutex>& lock);
  Result<Batch> gather_unlocked(const BatchRequest& request, std::unique_lock<std::mutex>& lock);
  [[nodiscard]] std::vector<LaneId> not_followed(const BatchRequest& request) const;  // mutex held
  [[nodiscard]] BatchShape shape_of(uint32_t count) const;
  Result<Batch> gather(const BatchRequest& request);
  [[nodiscard]] bool at_hand(const BatchRequest& request) const;
  [[nodiscard]] bool is_free(const BatchRequest& request) const;  // mutex held
  [[nodiscard]] bool counts_blocks(Clock number, uint32_t lane_rows) const;
  void count_blocks(std::vector<uint64_t>& blocks);
  Status read_share(LaneId lane, Clock number, const RowRoom& room, std::vector<uint64_t>& blocks);
  [[nodiscard]] Buffer take_buffer(uint64_t bytes);
  void count(const Batch& batch);  // mutex held

  const std::unique_ptr<RowSource> rows;
  const LaneSchedule schedule;  // whose steps are batches
  const LoaderMemory memory;
  BufferPool pool;

  std::mutex mutex;  // guards all below but the batch of a working slot
  std::condition_variable queued;
  std::condition_variable ready;
  PrefetchPlan plan;
  std::vector<std::shared_ptr<Slot>> slots;  // soonest first
  std::multiset<LaneId> at_work;             // lanes that are gathered now
  LoaderCounters counters;
  bool stopping = false;
  std::vector<std::jthread> threads;  // last: they use what is above
};

BatchLoader::Core::Core(std::unique_ptr<RowSource> source, const LaneSchedule& lane_schedule,
                        const JobConfig& config, const LoaderMemory& planned, MakeBuffer make_batch)
    : rows(std::move(source)),
      schedule(lane_schedule.of_batches()),
      memory(planned),
      pool(planned.batch_bytes, planned.batches, std::move(make_batch)),
      plan(lane_schedule, config.train.mode != Mode::kSync) {
  for (uint32_t i = 0; i < std::max(1u, config.data.threads); ++i) {
    threads.emplace_back([this] { work(); });
  }
}

BatchLoader::Core::~Core() {
  {
    std::lock_guard lock(mutex);
    stopping = true;
  }
  rows->stop();
  queued.notify_all();
  if (rows->plan().weighs()) {
    log::info("{} of {} samples taken weighed 0", counters.left_out, counters.samples);
  }
}

// Keeps what is still wanted, drops what is not, adds what is new.
void BatchLoader::Core::replan() {
  std::vector<std::shared_ptr<Slot>> wanted;
  for (BatchRequest& request : plan.upcoming(kBatchesAhead)) {
    const auto known = std::find_if(slots.begin(), slots.end(),
                                    [&](const auto& slot) { return slot->request == request; });
    if (known != slots.end()) {
      wanted.push_back(*known);
      continue;
    }
    wanted.push_back(std::make_shared<Slot>());
    wanted.back()->request = std::move(request);
  }
  slots = std::move(wanted);
  queued.notify_all();
}

// The slot of this request, out of the plan; null when there is none.
std::shared_ptr<BatchLoader::Core::Slot> BatchLoader::Core::take_slot(const BatchRequest& request) {
  const auto found = std::find_if(slots.begin(), slots.end(),
                                  [&](const auto& slot) { return slot->request == request; });
  if (found == slots.end()) return nullptr;
  std::shared_ptr<Slot> slot = *found;
  slots.erase(found);
  return slot;
}

void BatchLoader::Core::work() {
  std::unique_lock lock(mutex);
  for (;;) {
    std::shared_ptr<Slot> slot;
    // No deadline: idle is no fault, and the destructor wakes and joins.
    queued.wait(lock, [&] {
      slot = next_queued();
      return stopping || slot != nullptr;
    });
    if (stopping) return;
    fill(slot, lock);
  }
}

// Null: there is none.
std::shared_ptr<BatchLoader::Core::Slot> BatchLoader::Core::next_queued() const {
  const auto found = std::find_if(slots.begin(), slots.end(), [this](const auto& slot) {
    return slot->state == Slot::State::kQueued && is_free(slot->request);
  });
  return found == slots.end() ? nullptr : *found;
}

void BatchLoader::Core::fill(const std::shared_ptr<Slot>& slot,
                             std::unique_lock<std::mutex>& lock) {
  slot->state = Slot::State::kWorking;
  Result<Batch> batch = gather_unlocked(slot->request, lock);
  if (batch.ok()) {
    slot->batch = std::move(*batch);
  } else {
    slot->failure = with_way_out(batch.status(), *rows->dataset());
  }
  slot->state = Slot::State::kReady;
  ready.notify_all();
  // Lanes that went while they were gathered are held again: a second time for those.
  const std::vector<LaneId> gone = not_followed(slot->request);
  if (gone.empty()) return;
  lock.unlock();
  for (LaneId lane : gone) rows->forget(lane);
  lock.lock();
}

std::vector<LaneId> BatchLoader::Core::not_followed(const BatchRequest& request) const {
  std::vector<LaneId> lanes;
  for (LaneId lane : request.lanes) {
    if (!plan.follows(lane)) lanes.push_back(lane);
  }
  return lanes;
}

Result<Batch> BatchLoader::Core::gather_unlocked(const BatchRequest& request,
                                                 std::unique_lock<std::mutex>& lock) {
  at_work.insert(request.lanes.begin(), request.lanes.end());
  lock.unlock();
  Result<Batch> batch = gather(request);
  lock.lock();
  for (LaneId lane : request.lanes) at_work.erase(at_work.find(lane));
  if (rows->one_place_a_lane()) queued.notify_all();
  return batch;
}

void BatchLoader::Core::count(const Batch& batch) {
  counters.rows += batch.rows;
  if (!rows->plan().weighs()) return;
  const float* weight = batch.weights.data();
  for (LaneId lane : batch.lanes) {
    const uint32_t samples = schedule.samples_of(lane, batch.number);
    counters.samples += samples;
    counters.left_out += static_cast<uint64_t>(std::count(weight, weight + samples, 0.0f));
    weight += schedule.rows_at(lane, batch.number);
  }
}

Buffer BatchLoader::Core::take_buffer(uint64_t bytes) {
  return bytes <= pool.buffer_bytes() ? pool.take() : Buffer::allocate(bytes);
}

bool BatchLoader::Core::at_hand(const BatchRequest& request) const {
  return std::ranges::all_of(request.lanes, [&](LaneId lane) {
    return rows->at_hand(schedule.epoch_of(request.batch), lane,
                         schedule.first_position(request.batch),
                         schedule.samples_of(lane, request.batch));
  });
}

// A lane has one place in its order: a thread that reads elsewhere makes it read a window again.
bool BatchLoader::Core::is_free(const BatchRequest& request) const {
  if (!rows->one_place_a_lane() || at_work.empty()) return true;
  const bool busy =
      std::ranges::any_of(request.lanes, [this](LaneId lane) { return at_work.contains(lane); });
  return !busy || at_hand(request);
}

// Short batches have few blocks because they are short.
bool BatchLoader::Core::counts_blocks(Clock number, uint32_t lane_rows) const {
  return lane_rows == schedule.lane_batch() &&
         (!rows->in_memory() || number % kBatchesABlockCount == 0);
}

// Takes them.
void BatchLoader::Core::count_blocks(std::vector<uint64_t>& blocks) {
  std::ranges::sort(blocks);
  const auto repeats = std::ranges::unique(blocks);
  const uint64_t different = blocks.size() - repeats.size();
  blocks.clear();
  std::lock_guard lock(mutex);
  counters.blocks += different;
  counters.blocks_min =
      counters.blocks_batches == 0 ? different : std::min(counters.blocks_min, different);
  ++counters.blocks_batches;
}

namespace {

// Rows [first, first + count).
RowRoom part_of(const RowRoom& room, const BatchShape& shape, uint32_t first, uint32_t count) {
  return {room.ids.subspan(first, count), room.features + first * shape.feature_bytes(),
          room.labels + size_t{first} * shape.label_width, room.weights + first};
}

// Row `from` once more, in every place behind it up to `to`, with weight 0.
void pad(const RowRoom& room, const BatchShape& shape, uint32_t from, size_t to) {
  const uint64_t bytes = shape.feature_bytes();
  const std::byte* features = room.features + from * bytes;
  const float* labels = room.labels + size_t{from} * shape.label_width;
  for (size_t row = from + 1; row < to; ++row) {
    room.ids[row] = room.ids[from];
    std::copy_n(features, bytes, room.features + row * bytes);
    std::copy_n(labels, shape.label_width, room.labels + row * shape.label_width);
    room.weights[row] = 0;
  }
}

}  // namespace

BatchShape BatchLoader::Core::shape_of(uint32_t count) const {
  const RowPlan& row = rows->plan();
  return {count, row.width, row.label.width, row.stored_bytes()};
}

// A lane's rows of a batch: its samples, then padding (LaneSchedule).
Status BatchLoader::Core::read_share(LaneId lane, Clock number, const RowRoom& room,
                                     std::vector<uint64_t>& blocks) {
  const size_t all = room.ids.size();
  const BatchShape shape = shape_of(static_cast<uint32_t>(all));
  const uint64_t epoch = schedule.epoch_of(number);
  const uint32_t samples = schedule.samples_of(lane, number);
  if (samples > 0 || all == 0) {
    RowRoom share = part_of(room, shape, 0, samples);
    if (counts_blocks(number, samples)) share.blocks = &blocks;
    BALLAST_RETURN_IF_ERROR(rows->read(epoch, lane, schedule.first_position(number), share));
    if (samples < all) pad(room, shape, samples - 1, all);
    return {};
  }
  BALLAST_RETURN_IF_ERROR(
      rows->read(epoch, lane, schedule.lane_rows(lane) - 1, part_of(room, shape, 0, 1)));
  room.weights[0] = 0;
  pad(room, shape, 0, all);
  return {};
}

Result<Batch> BatchLoader::Core::gather(const BatchRequest& request) {
  uint32_t count = 0;
  for (LaneId lane : request.lanes) count += schedule.rows_at(lane, request.batch);
  const BatchShape shape = shape_of(count);
  Batch batch;
  const auto arrays = shape.lay_out(take_buffer(shape.bytes()), batch);
  RowRoom room{{arrays.ids, count}, arrays.features, arrays.labels, arrays.weights};
  std::vector<uint64_t> blocks;
  for (LaneId lane : request.lanes) {
    const uint32_t share = schedule.rows_at(lane, request.batch);
    BALLAST_RETURN_IF_ERROR(
        read_share(lane, request.batch, part_of(room, shape, 0, share), blocks));
    if (!blocks.empty()) count_blocks(blocks);
    const uint32_t samples = schedule.samples_of(lane, request.batch);
    // Padding is no sample: a share of nothing else leaves the order ledger as it is.
    batch.rows_hashes.push_back(
        samples > 0 ? batch_hash(lane, request.batch, room.ids.first(samples)) : 0);
    room = part_of(room, shape, share, count -= share);
  }
  batch.number = request.batch;
  batch.lanes = request.lanes;
  batch.dataset = rows->dataset();
  return batch;
}

Result<std::unique_ptr<BatchLoader>> BatchLoader::open(const JobConfig& config,
                                                       const LaneSchedule& schedule,
                                                       const WrapRows& wrap,
                                                       const PortionMemory& portions,
                                                       MakeBuffer make_batch) {
  JobConfig measured = config;
  BALLAST_RETURN_IF_ERROR(measure_shapes(measured));
  const LoaderMemory memory = loader_memory(measured, schedule, portions);
  BALLAST_RETURN_IF_ERROR(memory.check(config.data.memory_mib));
  BALLAST_ASSIGN(std::unique_ptr<RowSource> rows, open_rows(measured, schedule, memory));
  if (wrap != nullptr) rows = wrap(std::move(rows));
  auto core =
      std::make_unique<Core>(std::move(rows), schedule, config, memory, std::move(make_batch));
  return std::unique_ptr<BatchLoader>(new BatchLoader(std::move(core)));
}

BatchLoader::BatchLoader(std::unique_ptr<Core> core) : core_(std::move(core)) {}
BatchLoader::~BatchLoader() = default;

void BatchLoader::follow(std::span<const LaneId> lanes, Clock from) {
  std::lock_guard lock(core_->mutex);
  core_->plan.follow(lanes, from);
  core_->replan();
}

Result<Batch> BatchLoader::take(std::span<const LaneId> lanes, Clock number) {
  const BatchRequest request{{lanes.begin(), lanes.end()}, number};
  std::unique_lock lock(core_->mutex);
  const std::shared_ptr<Core::Slot> slot = core_->take_slot(request);
  const std::vector<LaneId> gone = core_->plan.took(lanes, number);
  core_->replan();
  if (!gone.empty()) {
    lock.unlock();
    for (LaneId lane : gone) core_->rows->forget(lane);
    lock.lock();
  }
  if (slot == nullptr || slot->state == Core::Slot::State::kQueued) {
    ++core_->counters.batches_missed;
    BALLAST_ASSIGN(Batch batch, core_->gather_unlocked(request, lock));
    core_->count(batch);
    return batch;
  }
  const bool waits = slot->state == Core::Slot::State::kWorking;
  ++(waits ? core_->counters.batches_waited : core_->counters.batches_ready);
  // Rather than sleep while a thread fills it, make the batch after it: where the loader is what is
  // waited for, the caller's core has nothing else to do. A sleep a batch cost a third more
  // processor time (rows of 784 floats, batch 128: 450 ns a row and not 340,
  // bench/micro/loader_bench). Not where that might wait for a disk.
  while (slot->state == Core::Slot::State::kWorking) {
    const std::shared_ptr<Core::Slot> next = core_->next_queued();
    if (next == nullptr || !core_->at_hand(next->request)) break;
    core_->fill(next, lock);
  }
  // No deadline: whoever is at the slot copies rows or waits for a source that ends every read
  // (BlockStore), and then notifies.
  core_->ready.wait(lock, [&] { return slot->state == Core::Slot::State::kReady; });
  if (!slot->failure.ok()) return slot->failure;
  core_->count(slot->batch);
  return std::move(slot->batch);
}

std::shared_ptr<const Batch> BatchLoader::next_ready() const {
  std::lock_guard lock(core_->mutex);
  if (core_->slots.empty()) return nullptr;
  const std::shared_ptr<Core::Slot>& next = core_->slots.front();
  const bool is_there = next->state == Core::Slot::State::kReady && next->failure.ok();
  return is_there ? std::shared_ptr<const Batch>(next, &next->batch) : nullptr;
}

uint32_t BatchLoader::width() const {
  return core_->rows->plan().width;
}
uint32_t BatchLoader::label_width() const {
  return core_->rows->plan().label.width;
}
std::shared_ptr<const StoredFeatures> BatchLoader::stored() const {
  return core_->rows->plan().stored;
}
LoaderMemory BatchLoader::memory() const {
  return core_->memory;
}
LoaderCounters BatchLoader::counters() const {
  std::lock_guard lock(core_->mutex);
  LoaderCounters counters = core_->counters;
  counters.reads = core_->rows->block_reads();
  return counters;
}

}  // namespace ballast
