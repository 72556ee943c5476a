// The floor of the exchange bench: a DEALER that sends and a ROUTER that sends back, in nothing but
// libzmq's C interface, zero-copy both ways. One thread each.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ballast::bench {

// Echoes until the empty message; `ready` gets the endpoint.
void serve_bare_echo(const std::function<void(const std::string& endpoint)>& ready);

class BareZeroMqClient {
 public:
  explicit BareZeroMqClient(const std::string& endpoint);
  ~BareZeroMqClient();  // stops the echo
  BareZeroMqClient(const BareZeroMqClient&) = delete;
  BareZeroMqClient& operator=(const BareZeroMqClient&) = delete;

  // Sends the frames and waits for as many back. False: other bytes came than went, looked at only
  // with `verify`; their number is always looked at.
  bool exchange(const std::vector<std::span<std::byte>>& frames, bool verify);

 private:
  void* context_;
  void* socket_;
};

}  // namespace ballast::bench
