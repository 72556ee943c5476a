// ZmqDialer: the connections a transport makes, and makes again: one DEALER for each place.
//
// A DEALER lives for one connection only: libzmq's own reconnecting is put off for days, because it
// would hand what is queued for a dead process to its successor. When the monitor says that the
// connection is gone, what it still delivered is read, PeerDown is raised, and a new DEALER is made
// after a pause.
// Owner thread: the transport's.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>

#include "common/base/random.h"
#include "common/net/zeromq_mailbox.h"
#include "common/net/zeromq_options.h"
#include "common/net/zeromq_socket.h"

namespace ballast {

class ZmqDialer {
 public:
  // `context` and `mailbox` outlive the dialer; the transport owns all three.
  ZmqDialer(const Peer& self, const ZeroMqOptions& options, const ZmqContext& context,
            ZmqMailbox& mailbox);
  ~ZmqDialer();
  ZmqDialer(const ZmqDialer&) = delete;
  ZmqDialer& operator=(const ZmqDialer&) = delete;

  // To a place that we do not dial yet. The endpoint has been checked.
  void connect(const Peer& peer, const std::string& endpoint);
  // What was sent before lingers in the background.
  void disconnect(const Peer& peer);
  // Whether we connect to this place, up or not.
  [[nodiscard]] bool dials(const Peer& peer) const { return links_.contains(place_of(peer)); }
  // As Transport::send, to a place that we dial.
  [[nodiscard]] Status send(const Peer& to, Message message);

  // One round of the transport's loop: what to wait for and how long at most, what was ready, which
  // attempt to give up or to start.
  void add_to(ZmqPoll& poll) const;
  [[nodiscard]] Time next_timer() const;
  void handle(ZmqPoll& poll);
  void run_timers(Time now);

 private:
  using Place = std::pair<Role, uint32_t>;

  struct Link {
    Peer wanted;
    std::string endpoint;
    ZmqSocket dealer;  // none between two attempts
    ZmqMonitor monitor;
    std::optional<Peer> up;  // who answered
    Time act_at;             // give the attempt up, or start the next one
    Duration pause;          // after the next failure
    bool warned = false;     // that somebody else lives there

    void close();
  };

  static Place place_of(const Peer& peer) { return {peer.role, peer.index}; }
  void attempt(Link& link, Time now);
  void fail(Link& link, Duration pause);
  void read(Link& link, int messages_max);
  void read_monitor(Link& link);
  void on_frames(Link& link, ZmqMailbox::Frames frames);
  void on_welcome(Link& link, const Peer& peer);

  const Peer self_;
  const ZeroMqOptions options_;
  const ZmqContext& context_;
  ZmqMailbox& mailbox_;
  Random random_;  // jitter of retries
  std::map<Place, Link> links_;
};

}  // namespace ballast
