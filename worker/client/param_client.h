// ParamClient: the worker's side of every data message. It knows where each unit lives, keeps each
// request until its answer has come, sends it again when it gets old or the unit has moved, and
// packs what goes to one shard into one message, front layers first. A state machine without
// thread, socket or clock; it does not know what a step is. Owner thread: the one that owns the
// transport.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/time.h"
#include "common/net/message.h"
#include "common/placement/units.h"
#include "common/wire/messages.h"

namespace ballast {

struct ClientConfig {
  uint64_t run = 0;              // run_number(), in every header
  Duration retry_after = 2s;     // an unanswered request is sent again
  Duration busy_backoff = 20ms;  // after kEarly and kBusy
};

// What the caller says a request is for; comes back with its outcome.
struct RequestTag {
  uint64_t job = 0;  // the caller's number; all requests of it can be cancelled at once
  UnitId unit;

  auto operator<=>(const RequestTag&) const = default;
};

enum class RequestKind : uint8_t { kPush, kPull };

// An answered request. The caller's business: everything but moved, early and busy, which the
// client settles by itself.
struct Outcome {
  RequestTag tag;
  RequestKind kind = RequestKind::kPush;
  std::vector<wire::LaneStamp> lanes;  // of the push
  wire::ReplyEntry reply;
};

struct ShardMessage {
  Peer to;
  wire::Any message;  // Push or Pull
};

class ParamClient {
 public:
  ParamClient(ClientConfig config, std::vector<UnitSpec> units);

  // A higher view number replaces a lower one; true: it did, and the peers to connect are new.
  bool set_view(const wire::View& view, Time now);
  [[nodiscard]] const wire::View& view() const { return view_; }
  [[nodiscard]] std::optional<Peer> shard_of(UnitId unit) const;

  // Queued until flush(). sequence, unit epoch and header are filled in here.
  void push(RequestTag tag, wire::PushEntry entry);
  void pull(RequestTag tag, Clock clock, uint64_t snapshot = 0);
  [[nodiscard]] bool in_flight(RequestTag tag, RequestKind kind) const;
  // Late answers to what is cancelled are dropped.
  void cancel(uint64_t job);
  void cancel_lane_pushes(uint64_t job, LaneId lane);

  // The answers this message brings, in its order.
  [[nodiscard]] std::vector<Outcome> handle(const Peer& from, wire::Reply reply, Time now);
  // The connection to a shard is new: everything asked of it is sent again.
  void peer_up(const Peer& shard, Time now);
  // Marks what is overdue for sending.
  void tick(Time now);

  // Everything that is to be sent now, entries in priority order: to each shard one Push and one
  // Pull, or several of wire::kEntriesMax entries at most.
  [[nodiscard]] std::vector<ShardMessage> flush(Time now);
  // When tick() or flush() has something to do next; nothing: only a new call or a view can.
  [[nodiscard]] std::optional<Time> next_due() const;

  // The oldest request without an answer: "shard 1: push of unit 3 at clock 17".
  struct Waiting {
    Time since;
    std::string text;
  };
  [[nodiscard]] std::optional<Waiting> oldest_waiting() const;
  [[nodiscard]] size_t in_flight_count() const { return requests_.size(); }
  [[nodiscard]] uint64_t resent() const { return resent_; }

 private:
  struct Request {
    RequestTag tag;
    RequestKind kind = RequestKind::kPush;
    wire::PushEntry push;
    wire::PullEntry pull;
    Time since{};  // of the first send
    Time due{};    // not sent: when it may be sent; sent: when it is overdue
    bool sent = false;
    bool needs_view = false;  // told moved: waits for a newer view
  };

  void add(Request request);
  template <typename Which>
  void erase_if(Which which);
  void send_at(Request& request, Time due);

  const ClientConfig config_;
  const std::vector<UnitSpec> units_;
  wire::View view_;
  std::vector<wire::UnitPlace> places_;  // by unit
  std::map<ShardId, Peer> peers_;
  uint64_t next_sequence_ = 1;
  std::map<uint64_t, Request> requests_;  // by sequence
  // What requests_ asks for: in_flight() is called for every unit after every event.
  std::multiset<std::pair<RequestTag, RequestKind>> asked_;
  uint64_t resent_ = 0;
};

}  // namespace ballast
