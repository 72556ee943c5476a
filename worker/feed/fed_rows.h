// FedRows: the training rows of a worker as feeders prepare them, and from the worker's own source
// where no feeder gives them. Around the place where each lane is read it keeps a few portions and
// asks for the next ones; a reader that comes to a portion early waits until a feeder gave it or
// FeedClient says that none will. The rows are the same whoever read them.
//
// thread   owns                    takes from          gives to
// loader   -                       slots_ (settled)    requests_, a wake of feed
// feed     Transport, FeedClient   requests_, frames   slots_ (settled), frames
//
// Any thread may read; the feed thread is this object's own.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/net/transport.h"
#include "worker/data/row_source.h"
#include "worker/feed/feed_client.h"
#include "worker/feed/portion.h"

namespace ballast {

struct FedRowsSetup {
  PortionPlan plan;
  FeedClientConfig client;
  std::vector<std::string> endpoints;  // of feeder 0, 1 ...
  // Called on the feed thread, which alone uses it.
  std::function<std::unique_ptr<Transport>()> make_transport;
};

struct FedCounts {
  uint64_t rows_fed = 0;  // read so far, also those that were read ahead of need
  uint64_t rows_local = 0;
  std::vector<FeederCount> feeders;
};

class FedRows final : public RowSource {
 public:
  FedRows(std::unique_ptr<RowSource> local, FedRowsSetup setup);
  ~FedRows() override;

  Status read(uint64_t epoch, LaneId lane, uint64_t first, const RowRoom& room) override;
  void forget(LaneId lane) override;
  void stop() override;
  [[nodiscard]] bool in_memory() const override { return false; }  // a read may wait
  [[nodiscard]] BlockReads block_reads() const override { return local_->block_reads(); }
  [[nodiscard]] const RowPlan& plan() const override { return local_->plan(); }
  [[nodiscard]] const std::shared_ptr<const Dataset>& dataset() const override {
    return local_->dataset();
  }

  [[nodiscard]] FedCounts counts() const;

 private:
  enum class State { kAsked, kFed, kLocal };
  // A reader keeps it while its lane goes on: hence shared. Settled: nobody writes it any more.
  struct Slot {
    State state = State::kAsked;
    uint32_t readers = 0;  // waiting: it must be settled
    wire::FeedAnswer rows;
  };
  using Slots = std::map<PortionId, std::shared_ptr<Slot>>;

  std::shared_ptr<const Slot> take(PortionId portion);
  void look_ahead(PortionId portion);                             // mutex held
  void drop_outside(LaneId lane, uint64_t first, uint64_t last);  // mutex held
  void count(LaneId lane, State state, uint64_t rows);
  void wake();  // mutex held

  void serve();
  void connect(Transport& transport);
  void take_event(TransportEvent& event, FeedClient& client, Time now, FeedEffects& effects);
  void carry_out(FeedEffects& effects, Transport& transport);
  void settle(PortionId portion, State state, wire::FeedAnswer rows);

  const std::unique_ptr<RowSource> local_;
  const FedRowsSetup setup_;

  mutable std::mutex mutex_;  // guards all below but what a settled slot holds
  std::condition_variable settled_;
  bool stopping_ = false;
  Transport* transport_ = nullptr;  // the feed thread's, for wake(); null: not made, or gone
  Slots slots_;
  std::vector<FeedEvent> requests_;             // for the feed thread
  std::map<LaneId, uint32_t> fed_since_local_;  // portions, of lanes whose blocks are held here too
  FedCounts counts_;

  std::thread feed_;  // last: it uses what is above
};

}  // namespace ballast
