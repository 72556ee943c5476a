// ZmqListener: the connections others made to a transport, all through one ROUTER.
//
// The monitor names file descriptors; the probe's frame tells which one is whose. Both ways of
// learning come from the same I/O thread in order, so the monitor is read before a probe is
// believed. When a connection breaks, what it sent before is still read, then PeerDown is raised.
// Owner thread: the transport's.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>

#include "common/net/zeromq_dialer.h"
#include "common/net/zeromq_mailbox.h"
#include "common/net/zeromq_options.h"
#include "common/net/zeromq_socket.h"

namespace ballast {

class ZmqListener {
 public:
  // `context`, `mailbox` and `dialer` outlive the listener; the transport owns all four. Whoever
  // the dialer connects to is not let in: one side connects, not both.
  ZmqListener(const Peer& self, const ZeroMqOptions& options, const ZmqContext& context,
              ZmqMailbox& mailbox, const ZmqDialer& dialer);

  // As Transport::bind; the endpoint has been checked.
  [[nodiscard]] Result<std::string> bind(const std::string& endpoint);
  void forget(const Peer& peer);
  // As Transport::send, to who connected to us.
  [[nodiscard]] Status send(const Peer& to, Message message);

  // One round of the transport's loop: what to wait for, what was ready, who is gone for good.
  void add_to(ZmqPoll& poll) const;
  // Some connection is broken, and only its last messages are waited for.
  [[nodiscard]] bool drains() const;
  void handle(ZmqPoll& poll);
  void end_broken(bool router_is_empty);

 private:
  struct Link {
    Peer peer;
    int descriptor = -1;            // the one its probe came by
    std::optional<Time> broken_at;  // gone, but what it sent before is still being read
  };

  [[nodiscard]] Status make_router();
  [[nodiscard]] Link* find(const Peer& to);
  void read();
  void read_monitor();
  void on_frames(ZmqMailbox::Frames frames);
  void on_probe(const Peer& peer, int descriptor);
  void welcome(const Peer& peer);

  const Peer self_;
  const ZeroMqOptions options_;
  const ZmqContext& context_;
  ZmqMailbox& mailbox_;
  const ZmqDialer& dialer_;
  ZmqSocket router_;  // none until bind
  ZmqMonitor monitor_;
  std::set<int> open_descriptors_;  // accepted and not yet disconnected
  std::map<Peer, Link> links_;      // every life on its own
};

}  // namespace ballast
