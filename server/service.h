// ShardService: one shard's thread. Frame -> message -> shard -> message -> frame, and the
// journal's events beside them. It decides nothing. Owner thread: the one that calls run().
#pragma once

#include <atomic>
#include <memory>

#include "common/base/status.h"
#include "common/net/transport.h"
#include "common/storage/journal.h"
#include "server/shard/shard.h"
#include "server/shard_trace.h"

namespace ballast {

class ShardService {
 public:
  // All outlive the service. `step` follows the shard's progress for failure reports; any thread
  // reads it. `trace`: null: nobody wants to know.
  ShardService(Transport& transport, Journal& journal, Shard& shard, std::atomic<uint64_t>& step,
               ShardTrace* trace = nullptr)
      : transport_(transport), journal_(journal), shard_(shard), step_(step), trace_(trace) {}

  // Until the coordinator ends the job, or something fails. kStopped: the job was stopped on
  // request.
  Status run();

 private:
  void take(TransportEvent& event);
  void poll_journal();
  void carry_out();
  void send_replies(const Peer& to, wire::Reply reply);

  Transport& transport_;
  Journal& journal_;
  Shard& shard_;
  std::atomic<uint64_t>& step_;
  ShardTrace* const trace_;
  ShardEffects effects_;
  Time wake_at_ = kEndOfTime;
  std::optional<Status> end_;
};

}  // namespace ballast
