#include "worker/feed/feeder.h"

#include <fmt/format.h>

#include <algorithm>
#include <thread>
#include <vector>

#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/wire/codec.h"

namespace ballast {
namespace {

constexpr Duration kLookAround = 1s;

}  // namespace

struct Feeder::Claim {
  explicit Claim(std::shared_ptr<std::atomic<uint32_t>> of) : count(std::move(of)) { ++*count; }
  ~Claim() { --*count; }
  Claim(const Claim&) = delete;
  Claim& operator=(const Claim&) = delete;

  std::shared_ptr<std::atomic<uint32_t>> count;
  Buffer memory;  // of the answer's arrays
};

Feeder::Feeder(FeederSetup setup, RowSource& rows)
    : setup_(std::move(setup)),
      rows_(rows),
      shape_{rows.plan().feature_bytes(), rows.plan().label.width},
      pool_(setup_.spare_bytes) {}

// ---------------------------------------------------------------- net thread

void Feeder::run(Transport& transport) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    transport_ = &transport;
  }
  std::vector<std::thread> makers;
  for (uint32_t i = 0; i < std::max(1u, setup_.threads); ++i) {
    makers.emplace_back([this] { make_portions(); });
  }
  for (bool ended = false; !ended;) {
    std::optional<TransportEvent> event =
        transport.receive(monotonic_now() + std::min(kLookAround, setup_.idle_lane));
    const Time now = monotonic_now();
    if (event) take(*event, now);
    send_done();
    forget_idle_lanes(now);
    std::lock_guard lock(mutex_);
    ended = stopping_ || is_alone(now);
  }
  stop();
  rows_.stop();
  for (std::thread& maker : makers) maker.join();
  std::lock_guard lock(mutex_);
  transport_ = nullptr;
  asks_.clear();
  done_.clear();
}

void Feeder::stop() {
  std::lock_guard lock(mutex_);
  stopping_ = true;
  if (transport_ != nullptr) transport_->wake();
  asked_.notify_all();
}

void Feeder::take(TransportEvent& event, Time now) {
  if (auto* in = std::get_if<MessageIn>(&event)) {
    const Result<wire::Any> message = wire::decode(std::move(in->message));
    if (!message.ok()) {
      log::warn("dropped a message from {}: {}", to_string(in->from), message.status().to_string());
    } else if (const auto* ask = std::get_if<wire::FeedAsk>(&*message)) {
      accept(in->from, *ask, now);
    }
  } else if (auto* up = std::get_if<PeerUp>(&event)) {
    log::info("{} is here", to_string(up->peer));
    workers_.try_emplace(up->peer, std::make_shared<std::atomic<uint32_t>>(0));
    alone_since_.reset();
  } else if (auto* down = std::get_if<PeerDown>(&event)) {
    log::info("{} went", to_string(down->peer));
    workers_.erase(down->peer);
    if (workers_.empty()) alone_since_ = now;
    std::lock_guard lock(mutex_);
    std::erase_if(asks_, [&](const Ask& ask) { return ask.from == down->peer; });
  }
}

void Feeder::accept(const Peer& from, const wire::FeedAsk& ask, Time now) {
  const auto worker = workers_.find(from);
  if (worker == workers_.end()) return;
  if (std::string fault = fault_of(ask); !fault.empty()) {
    {
      std::lock_guard lock(mutex_);
      ++counters_.refused;
    }
    return answer(from, ask.run, wire::FeedCode::kRefused, std::move(fault));
  }
  asked_at_[ask.run.lane] = now;
  if (*worker->second >= setup_.portions_per_worker) {
    {
      std::lock_guard lock(mutex_);
      ++counters_.busy;
    }
    return answer(from, ask.run, wire::FeedCode::kBusy, {});
  }
  std::lock_guard lock(mutex_);
  asks_.push_back({from, ask.run, std::make_shared<Claim>(worker->second)});
  asked_.notify_one();
}

// Empty: it can be made.
std::string Feeder::fault_of(const wire::FeedAsk& ask) const {
  if (ask.stamp != setup_.stamp) {
    return fmt::format(
        "asked for job_hash {} and data set {}, this feeder has job_hash {} and data set {}",
        hex64(ask.stamp.job), hex64(ask.stamp.dataset), hex64(setup_.stamp.job),
        hex64(setup_.stamp.dataset));
  }
  const wire::RowRun& run = ask.run;
  const uint64_t epochs = (setup_.schedule.steps() + setup_.schedule.steps_per_epoch() - 1) /
                          setup_.schedule.steps_per_epoch();
  const uint64_t rows = run.lane.value() < setup_.schedule.lanes() && run.epoch < epochs
                            ? setup_.schedule.lane_rows(run.lane)
                            : 0;
  const uint64_t most = std::max<uint64_t>(1, kPortionBytesMax / shape_.row_bytes());
  if (run.rows == 0 || run.rows > most || run.first >= rows || run.rows > rows - run.first) {
    return fmt::format(
        "asked for {} rows from {} of lane {} in epoch {}: expected 1 to {} of its {} rows",
        run.rows, run.first, run.lane.value(), run.epoch, most, rows);
  }
  return {};
}

void Feeder::answer(const Peer& to, const wire::RowRun& run, wire::FeedCode code,
                    std::string reason) {
  wire::FeedAnswer answer;
  answer.stamp = setup_.stamp;
  answer.run = run;
  answer.code = code;
  answer.reason = std::move(reason);
  (void)transport_->send(to, wire::encode(std::move(answer)));
}

void Feeder::send_done() {
  std::deque<Answer> done;
  {
    std::lock_guard lock(mutex_);
    done.swap(done_);
  }
  for (Answer& one : done) {
    (void)transport_->send(one.to, wire::encode(std::move(one.answer)));  // lost: asked again
  }
}

void Feeder::forget_idle_lanes(Time now) {
  if (now - forgot_at_ < std::min(kLookAround, setup_.idle_lane)) return;
  forgot_at_ = now;
  for (auto lane = asked_at_.begin(); lane != asked_at_.end();) {
    if (now - lane->second < setup_.idle_lane || is_worked_on(lane->first)) {
      ++lane;
      continue;
    }
    rows_.forget(lane->first);
    lane = asked_at_.erase(lane);
  }
}

// A maker may wait for a network with the lane in its hands, and this thread must not wait for it.
// No other begins: asks come from this thread.
bool Feeder::is_worked_on(LaneId lane) const {
  std::lock_guard lock(mutex_);
  return lanes_at_work_.contains(lane) ||
         std::ranges::any_of(asks_, [&](const Ask& ask) { return ask.run.lane == lane; });
}

bool Feeder::is_alone(Time now) const {
  return alone_since_ && now - *alone_since_ >= setup_.alone_most;
}

FeederCounters Feeder::counters() const {
  std::lock_guard lock(mutex_);
  return counters_;
}

// ---------------------------------------------------------------- makers

void Feeder::make_portions() {
  std::unique_lock lock(mutex_);
  for (;;) {
    // No deadline: idle is no fault, and stop() wakes.
    asked_.wait(lock, [&] { return stopping_ || next_ask() != asks_.end(); });
    if (stopping_) return;
    const auto next = next_ask();
    Ask ask = std::move(*next);
    asks_.erase(next);
    lanes_at_work_.insert(ask.run.lane);
    lock.unlock();
    wire::FeedAnswer answer = make(ask);
    lock.lock();
    lanes_at_work_.erase(ask.run.lane);
    if (answer.code == wire::FeedCode::kRows) {
      ++counters_.portions;
      counters_.rows += answer.run.rows;
    } else {
      ++counters_.failed;
    }
    done_.push_back({ask.from, std::move(answer)});
    if (transport_ != nullptr) transport_->wake();
    asked_.notify_one();  // the lane is free again
  }
}

std::deque<Feeder::Ask>::iterator Feeder::next_ask() {
  if (rows_.in_memory()) return asks_.begin();
  return std::find_if(asks_.begin(), asks_.end(),
                      [&](const Ask& ask) { return !lanes_at_work_.contains(ask.run.lane); });
}

wire::FeedAnswer Feeder::make(Ask& ask) {
  wire::FeedAnswer answer;
  answer.stamp = setup_.stamp;
  answer.run = ask.run;
  ask.claim->memory = pool_.take(ask.run.rows * shape_.row_bytes());
  Buffer& memory = ask.claim->memory;
  lay_out(answer, shape_, ask.run.rows,
          Buffer::adopt(memory.data(), memory.size(), std::move(ask.claim)));
  const Status status = rows_.read(ask.run.epoch, ask.run.lane, ask.run.first, room_of(answer));
  if (status.ok()) {
    answer.xxh3 = hash_of(answer);
    return answer;
  }
  log::warn("cannot read {} rows from {} of lane {} in epoch {}: {}", ask.run.rows, ask.run.first,
            ask.run.lane.value(), ask.run.epoch, status.to_string());
  answer.code = wire::FeedCode::kFailed;
  answer.reason = status.to_string();
  answer.ids = answer.features = answer.labels = answer.weights = {};
  return answer;
}

// ---------------------------------------------------------------- memory

LoaderMemory feeder_rows_memory(const JobConfig& job) {
  JobConfig alone = job;
  alone.cluster.workers = std::max(1u, job.cluster.feeders);  // lanes are shared alike
  alone.resolved.test_rows = alone.resolved.test_blocks = 0;
  LoaderMemory memory = loader_memory(alone, schedule_of(job), feeder_portions(job));
  memory.batches = 0;
  return memory;
}

}  // namespace ballast
