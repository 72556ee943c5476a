// Feeder: makes portions of rows for whoever asks. It holds no state of the job: what it answers is
// a pure function of what it was asked, so it may die, start again and be asked twice.
//
// thread   owns                       takes from      gives to
// net      Transport                  frames, done_   asks_, frames
// makers   the portion each works on    asks_           done_, a wake of net
//
// A lane of streamed rows is worked on by one maker at a time, in the order asked, because its
// blocks slide. One worker may have so many portions asked for, made or on their way; then it hears
// "busy". So what a feeder holds is bounded, and a worker that stands still holds up nobody else.
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "common/net/frame_pool.h"
#include "common/net/transport.h"
#include "common/placement/lane_schedule.h"
#include "worker/data/memory_budget.h"
#include "worker/data/row_source.h"
#include "worker/feed/portion.h"
#include "worker/feed/portion_rows.h"

namespace ballast {

struct FeederSetup {
  wire::FeedStamp stamp;
  LaneSchedule schedule;
  uint32_t threads = 1;
  uint32_t portions_per_worker = 16;
  uint64_t spare_bytes = 0;  // of memory for portions, kept for the next ones
  // A lane that nobody asked for so long went to another feeder: its blocks are given back.
  Duration idle_lane = 10s;
  // Ends when the workers it had are all gone for so long: the job is over.
  Duration alone_most = 60s;
};

struct FeederCounters {
  uint64_t portions = 0;
  uint64_t rows = 0;
  uint64_t busy = 0;
  uint64_t refused = 0;
  uint64_t failed = 0;
};

class Feeder {
 public:
  Feeder(FeederSetup setup, RowSource& rows);  // `rows` outlives it

  // The net thread: serves until stop(), or until it is alone.
  void run(Transport& transport);
  // Any thread, also before run().
  void stop();

  [[nodiscard]] FeederCounters counters() const;

 private:
  // One accepted ask, until the network has sent its answer; counts for its worker.
  struct Claim;
  struct Ask {
    Peer from;
    wire::RowRun run;
    std::shared_ptr<Claim> claim;
  };
  struct Answer {
    Peer to;
    wire::FeedAnswer answer;
  };

  void take(TransportEvent& event, Time now);
  void accept(const Peer& from, const wire::FeedAsk& ask, Time now);
  [[nodiscard]] std::string fault_of(const wire::FeedAsk& ask) const;
  void answer(const Peer& to, const wire::RowRun& run, wire::FeedCode code, std::string reason);
  void send_done();
  void forget_idle_lanes(Time now);
  [[nodiscard]] bool is_worked_on(LaneId lane) const;
  [[nodiscard]] bool is_alone(Time now) const;

  void make_portions();
  [[nodiscard]] std::deque<Ask>::iterator next_ask();  // mutex held
  [[nodiscard]] wire::FeedAnswer make(Ask& ask);

  const FeederSetup setup_;
  RowSource& rows_;
  const PortionShape shape_;
  FramePool pool_;
  Transport* transport_ = nullptr;

  // Of the net thread.
  std::map<Peer, std::shared_ptr<std::atomic<uint32_t>>> workers_;  // shared: claims outlive peers
  std::map<LaneId, Time> asked_at_;
  Time forgot_at_{};
  std::optional<Time> alone_since_;  // none: nobody has come yet, or somebody is here

  mutable std::mutex mutex_;  // guards all below
  std::condition_variable asked_;
  bool stopping_ = false;
  std::deque<Ask> asks_;
  std::set<LaneId> lanes_at_work_;
  std::deque<Answer> done_;
  FeederCounters counters_;
};

// What a feeder's own rows take, those of a worker with its share of the lanes without batches, and
// its portions.
[[nodiscard]] LoaderMemory feeder_rows_memory(const JobConfig& job);

}  // namespace ballast
