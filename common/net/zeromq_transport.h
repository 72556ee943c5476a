// The transport over ZeroMQ, tcp:// and ipc://. One ROUTER for those who connect to us, one DEALER
// for each peer we connect to, one I/O thread of libzmq per transport.
#pragma once

#include <memory>

#include "common/net/transport.h"

namespace ballast {

struct ZeroMqOptions {
  // So many messages may always wait for one peer, and again as many unread from it; the limit
  // bites somewhere below twice that. Must lie above the sum of its users: requests in flight
  // (credits), their reserved replies, heartbeats and control messages.
  uint32_t queue_messages_max = 1024;
  // A larger frame breaks the connection of whoever sends it.
  uint64_t frame_bytes_max = uint64_t{256} << 20;
  // How long closing waits for the last messages to leave.
  Duration linger = 1s;
  // Pause before a failed connection is tried again: doubles from the first to the second.
  Duration retry_min = 20ms;
  Duration retry_max = 500ms;
  // A connection attempt without an answer is given up and made anew after this.
  Duration handshake = 5s;
  // Freed frame memory kept for allocate().
  uint64_t spare_bytes_max = uint64_t{64} << 20;
};

// self.incarnation must not be 0.
[[nodiscard]] std::unique_ptr<Transport> make_zeromq_transport(const Peer& self,
                                                               const ZeroMqOptions& options = {});

}  // namespace ballast
