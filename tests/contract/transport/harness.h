// What the contract suite needs of a kind of transport, so that one test runs on all: make one with
// an endpoint of its own, and wait for an event while the others go on.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "common/net/sim_network.h"
#include "common/net/zeromq_transport.h"

namespace ballast::testing {

class TransportHarness {
 public:
  virtual ~TransportHarness() = default;
  [[nodiscard]] virtual std::unique_ptr<Transport> make(const Peer& self) = 0;
  // An endpoint nobody listens on; what bind() returns is what others connect to.
  [[nodiscard]] virtual std::string fresh_endpoint() = 0;
  // The next event of `transport`, waiting at most `patience`.
  [[nodiscard]] virtual std::optional<TransportEvent> next(Transport& transport,
                                                           Duration patience) = 0;
  // Messages that one peer may have waiting.
  [[nodiscard]] virtual uint32_t queue_messages_max() const = 0;
  // Real: has sockets, threads and a clock that runs by itself.
  [[nodiscard]] virtual bool real() const = 0;
  [[nodiscard]] virtual Time now() const = 0;
};

[[nodiscard]] std::unique_ptr<TransportHarness> make_tcp_harness();
[[nodiscard]] std::unique_ptr<TransportHarness> make_ipc_harness();
[[nodiscard]] std::unique_ptr<TransportHarness> make_sim_harness();

}  // namespace ballast::testing
