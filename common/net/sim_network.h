// SimNetwork: a network in one thread and in virtual time, with faults drawn from a seed. Every
// transport it makes obeys the contract of transport.h, but receive() never blocks: it gives an
// event that is due now, or nothing. Whoever drives the cluster turns the time:
//
//   while (auto next = network.next_event()) {
//     network.advance_to(*next);
//     for (auto& node : nodes) while (auto event = node.transport->receive(network.now())) ...
//   }
//
// The same seed, faults and calls give the same events at the same times. Owner thread; the network
// outlives its transports.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "common/net/transport.h"

namespace ballast {

// Chances are per message, 0 .. 1.
struct SimFaults {
  double loss = 0;
  double repeat = 0;   // delivered twice
  double delay = 0;    // up to delay_max later than usual, and all after it in order
  double reorder = 0;  // up to delay_max later than usual, later ones overtake it
  double reset = 0;    // the connection breaks (PeerDown on both sides) and is made again
  Duration latency_min = 50us;
  Duration latency_max = 200us;
  Duration delay_max = 20ms;
  uint32_t queue_messages_max = 1024;  // under way or unread, per connection and direction
};

// What really happened, for tests to print and to insist on.
struct SimCounters {
  uint64_t sent = 0;
  uint64_t delivered = 0;  // repeats included
  uint64_t lost = 0;
  uint64_t repeated = 0;
  uint64_t delayed = 0;
  uint64_t reordered = 0;    // delivered after a message that was sent later
  uint64_t partitioned = 0;  // dropped between partitioned peers
  uint64_t resets = 0;
  uint64_t killed = 0;
  uint64_t cut = 0;  // dropped because the connection or the receiver was gone

  [[nodiscard]] std::string to_string() const;  // "sent=120 delivered=117 lost=3 ..."
};

class SimNetwork {
 public:
  SimNetwork(uint64_t seed, const SimFaults& faults);
  ~SimNetwork();
  SimNetwork(const SimNetwork&) = delete;
  SimNetwork& operator=(const SimNetwork&) = delete;

  // A live participant; at most one with the same role and index may live at a time.
  [[nodiscard]] std::unique_ptr<Transport> make(const Peer& self);

  [[nodiscard]] Time now() const;  // starts at 0
  // When the network has something to do next; nothing: only new calls can make events.
  [[nodiscard]] std::optional<Time> next_event() const;
  // Lets everything due up to and at `time` happen, in order; `time` must not lie before now().
  void advance_to(Time time);

  // Drops everything between the two from now on, what is under way included; connections stay and
  // new ones wait. Incarnations are ignored.
  void partition(const Peer& a, const Peer& b);
  void heal(const Peer& a, const Peer& b);
  void heal_all();

  // The life of this role and index ends now: its connections vanish, what is under way to it is
  // dropped, its peers get PeerDown. Its transport object stays, deaf and mute.
  void kill(const Peer& peer);

  // Faults from now on: a test ends its storm and watches the cluster recover.
  void set_faults(const SimFaults& faults);

  [[nodiscard]] const SimCounters& counters() const;
  // Hash over every event delivered so far and its time: equal in two runs of one seed.
  [[nodiscard]] uint64_t trace_hash() const;

 private:
  friend class SimTransport;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ballast
