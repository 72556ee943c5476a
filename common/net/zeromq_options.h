// ZeroMqOptions: the limits and pauses of a transport over ZeroMQ. Value.
#pragma once

#include <cstdint>

#include "common/base/time.h"

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

  // What libzmq is told: it gives room back in halves, and a probe or welcome takes a place.
  [[nodiscard]] int high_water_mark() const { return static_cast<int>(2 * queue_messages_max + 2); }
};

}  // namespace ballast
