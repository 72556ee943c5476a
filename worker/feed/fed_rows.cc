#include "worker/feed/fed_rows.h"

#include <algorithm>

#include "common/base/log.h"
#include "common/wire/codec.h"

namespace ballast {
namespace {

// A lane that was read here keeps its blocks for so many portions that feeders give: they may fail
// again, and to read a window anew costs more than to hold it for a while.
constexpr uint32_t kPortionsBeforeForget = 16;

RowRoom first_part(const RowRoom& room, uint64_t count) {
  return {room.ids.first(count), room.features, room.labels, room.weights, room.blocks};
}

RowRoom rest_of(const RowRoom& room, uint64_t count, const RowPlan& plan) {
  return {room.ids.subspan(count), room.features + count * plan.feature_bytes(),
          room.labels + count * plan.label.width, room.weights + count, room.blocks};
}

void add_blocks(const Dataset& dataset, const RowRoom& room) {
  if (room.blocks == nullptr) return;
  for (uint64_t row : room.ids) room.blocks->push_back(dataset.place(row).block);
}

}  // namespace

FedRows::FedRows(std::unique_ptr<RowSource> local, FedRowsSetup setup)
    : local_(std::move(local)), setup_(std::move(setup)) {
  counts_.feeders.resize(setup_.client.feeders);
  feed_ = std::thread([this] { serve(); });
}

FedRows::~FedRows() {
  stop();
  feed_.join();
}

// ---------------------------------------------------------------- readers

Status FedRows::read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) {
  RowRoom left = room;
  while (!left.ids.empty()) {
    const PortionId portion = setup_.plan.holding(epoch, lane, first);
    const std::optional<wire::RowRun> run = setup_.plan.run_of(portion);
    if (!run) return local_->read(epoch, lane, first, left);  // beyond the job's last step
    const uint64_t count = std::min<uint64_t>(left.ids.size(), run->first + run->rows - first);
    const RowRoom part = first_part(left, count);
    const std::shared_ptr<const Slot> slot = take(portion);
    if (slot == nullptr) return Status(Code::kStopped, "the loader ends");
    if (slot->state == State::kFed) {
      copy_rows(slot->rows, setup_.client.shape, first - run->first, part);
      add_blocks(*dataset(), part);
    } else {
      BALLAST_RETURN_IF_ERROR(local_->read(epoch, lane, first, part));
    }
    this->count(lane, slot->state, count);
    first += count;
    left = rest_of(left, count, local_->plan());
  }
  return {};
}

// The portion once it is settled; null: the loader ends.
std::shared_ptr<const FedRows::Slot> FedRows::take(PortionId portion) {
  std::unique_lock lock(mutex_);
  if (stopping_) return nullptr;
  look_ahead(portion);
  const std::shared_ptr<Slot> slot = slots_.at(portion);
  ++slot->readers;
  // No deadline: FeedClient gives every portion an end, and serve() settles what is left at its
  // own.
  settled_.wait(lock, [&] { return stopping_ || slot->state != State::kAsked; });
  --slot->readers;
  return stopping_ ? nullptr : slot;
}

void FedRows::look_ahead(PortionId portion) {
  const uint64_t behind = setup_.plan.behind();
  const uint64_t last = portion.number + setup_.plan.ahead();
  // Two steps may be made at once, the later one first.
  drop_outside(portion.lane, portion.number - std::min(portion.number, behind), last + behind);
  bool asked = false;
  for (PortionId next = portion; next.number <= last; ++next.number) {
    const std::optional<wire::RowRun> run = setup_.plan.run_of(next);
    if (!run) break;
    const auto [place, is_new] = slots_.try_emplace(next);
    if (!is_new) continue;
    place->second = std::make_shared<Slot>();
    requests_.push_back(feed_event::Want{*run});
    asked = true;
  }
  if (asked) wake();
}

void FedRows::drop_outside(LaneId lane, uint64_t first, uint64_t last) {
  auto slot = slots_.lower_bound({lane, 0});
  while (slot != slots_.end() && slot->first.lane == lane) {
    const bool inside = slot->first.number >= first && slot->first.number <= last;
    if (inside || slot->second->readers > 0) {
      ++slot;
      continue;
    }
    if (slot->second->state == State::kAsked) {
      requests_.push_back(feed_event::Drop{*setup_.plan.run_of(slot->first)});
    }
    slot = slots_.erase(slot);
  }
}

void FedRows::count(LaneId lane, State state, uint64_t rows) {
  bool forget = false;
  {
    std::lock_guard lock(mutex_);
    (state == State::kFed ? counts_.rows_fed : counts_.rows_local) += rows;
    if (state == State::kLocal) fed_since_local_[lane] = 0;
    const auto held = fed_since_local_.find(lane);
    forget = held != fed_since_local_.end() && held->second++ == kPortionsBeforeForget;
    if (forget) fed_since_local_.erase(held);
  }
  if (forget) local_->forget(lane);
}

void FedRows::forget(LaneId lane) {
  {
    std::lock_guard lock(mutex_);
    drop_outside(lane, 1, 0);
    fed_since_local_.erase(lane);
    wake();
  }
  local_->forget(lane);
}

void FedRows::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake();
  }
  settled_.notify_all();
  local_->stop();
}

void FedRows::wake() {
  if (transport_ != nullptr) transport_->wake();
}

FedCounts FedRows::counts() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

// ---------------------------------------------------------------- feed thread

void FedRows::serve() {
  const std::unique_ptr<Transport> transport = setup_.make_transport();
  connect(*transport);
  FeedClient client(setup_.client, monotonic_now());
  {
    std::lock_guard lock(mutex_);
    transport_ = transport.get();
  }
  FeedEffects effects;
  Time wake_at{};  // readers may have come before there was anybody to wake
  for (;;) {
    std::optional<TransportEvent> event = transport->receive(wake_at);
    const Time now = monotonic_now();
    std::vector<FeedEvent> requests;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) break;
      requests.swap(requests_);
      counts_.feeders = client.counts();
    }
    if (event) take_event(*event, client, now, effects);
    for (FeedEvent& request : requests) client.handle(std::move(request), now, effects);
    if (now >= client.next_due()) client.handle(feed_event::Tick{}, now, effects);
    carry_out(effects, *transport);
    wake_at = client.next_due();
  }
  std::lock_guard lock(mutex_);
  transport_ = nullptr;
}

void FedRows::connect(Transport& transport) {
  for (uint32_t i = 0; i < setup_.endpoints.size(); ++i) {
    const Status status = transport.connect({Role::kFeeder, i, 0}, setup_.endpoints[i]);
    if (!status.ok()) log::warn("does without feeder {}: {}", i, status.to_string());
  }
}

void FedRows::take_event(TransportEvent& event, FeedClient& client, Time now,
                         FeedEffects& effects) {
  if (auto* in = std::get_if<MessageIn>(&event)) {
    Result<wire::Any> message = wire::decode(std::move(in->message));
    if (!message.ok()) {
      log::warn("dropped a message from {}: {}", to_string(in->from), message.status().to_string());
    } else if (auto* answer = std::get_if<wire::FeedAnswer>(&*message)) {
      client.handle(feed_event::Received{in->from, std::move(*answer)}, now, effects);
    }
  } else if (auto* up = std::get_if<PeerUp>(&event)) {
    client.handle(feed_event::PeerUp{up->peer}, now, effects);
  } else if (auto* down = std::get_if<PeerDown>(&event)) {
    client.handle(feed_event::PeerDown{down->peer}, now, effects);
  }
}

void FedRows::carry_out(FeedEffects& effects, Transport& transport) {
  const auto portion_of = [&](const wire::RowRun& run) {
    return setup_.plan.holding(run.epoch, run.lane, run.first);
  };
  for (FeedEffect& effect : effects) {
    if (auto* send = std::get_if<feed_effect::Send>(&effect)) {
      (void)transport.send(send->to, wire::encode(send->ask));  // what is lost is asked again
    } else if (auto* deliver = std::get_if<feed_effect::Deliver>(&effect)) {
      settle(portion_of(deliver->rows.run), State::kFed, std::move(deliver->rows));
    } else if (auto* local = std::get_if<feed_effect::ReadLocally>(&effect)) {
      settle(portion_of(local->run), State::kLocal, {});
    } else if (auto* note = std::get_if<feed_effect::Note>(&effect)) {
      log::info("{}", note->text);
    }
  }
  effects.clear();
}

void FedRows::settle(PortionId portion, State state, wire::FeedAnswer rows) {
  {
    std::lock_guard lock(mutex_);
    const auto found = slots_.find(portion);
    if (found == slots_.end() || found->second->state != State::kAsked) return;  // dropped
    found->second->rows = std::move(rows);
    found->second->state = state;
  }
  settled_.notify_all();
}

}  // namespace ballast
