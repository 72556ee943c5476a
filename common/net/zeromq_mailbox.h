// ZmqMailbox: between messages and frames on sockets, both ways. What came waits here until the
// transport's owner takes it; what goes is handed to libzmq at once or refused. It knows no
// connection: the dialer and the listener say whose socket it is. Counts what passes.
// Owner thread: the transport's.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "common/net/transport.h"
#include "common/net/zeromq_options.h"
#include "common/net/zeromq_socket.h"

namespace ballast {

class ZmqMailbox {
 public:
  using Frames = std::vector<ZmqFrame>;

  // Messages taken from one socket before the others get their turn; they wait here.
  static constexpr int kReadAheadMax = 16;

  explicit ZmqMailbox(const ZeroMqOptions& options) : options_(options) {}

  // What one send of the other side brought. False: nothing there. Frames beyond what any message
  // has are dropped, and `frames` is empty.
  [[nodiscard]] bool read(const ZmqSocket& socket, Frames& frames);
  // The frames from `first` on are a message of this peer.
  void deliver(const Peer& from, Frames frames, size_t first);
  void deliver(TransportEvent event) { pending_.push_back(std::move(event)); }
  // Frames that made no sense.
  void count_dropped() { ++stats_.dropped; }
  // What waits of this peer, whatever its incarnation, is not given any more.
  void forget(const Peer& peer);

  [[nodiscard]] bool empty() const { return pending_.empty(); }
  // The oldest; nothing: empty.
  [[nodiscard]] std::optional<TransportEvent> take();

  // kInvalidInput: more, or larger frames than a message may have.
  [[nodiscard]] Status check_limits(const Peer& to, const Message& message) const;
  // 0, or the errno; EAGAIN: full, or without a connection.
  [[nodiscard]] int send(const ZmqSocket& socket, Message message);
  // What a sender is told: the queue is full; there is no such peer, or that life is over.
  [[nodiscard]] Status busy(const Peer& to);
  [[nodiscard]] static Status gone(const Peer& to);

  [[nodiscard]] const TransportStats& stats() const { return stats_; }

 private:
  const ZeroMqOptions options_;
  std::deque<TransportEvent> pending_;
  TransportStats stats_;
};

}  // namespace ballast
