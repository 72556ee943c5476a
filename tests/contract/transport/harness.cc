#include "tests/contract/transport/harness.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <array>
#include <filesystem>

namespace ballast::testing {
namespace {

constexpr uint32_t kQueueMessagesMax = 40;

class ZeroMqHarness : public TransportHarness {
 public:
  std::unique_ptr<Transport> make(const Peer& self) override {
    ZeroMqOptions options;
    options.queue_messages_max = kQueueMessagesMax;
    return make_zeromq_transport(self, options);
  }
  std::optional<TransportEvent> next(Transport& transport, Duration patience) override {
    return transport.receive(monotonic_now() + patience);
  }
  uint32_t queue_messages_max() const override { return kQueueMessagesMax; }
  bool real() const override { return true; }
  Time now() const override { return monotonic_now(); }
};

class TcpHarness final : public ZeroMqHarness {
 public:
  std::string fresh_endpoint() override { return "tcp://127.0.0.1:0"; }
};

class IpcHarness final : public ZeroMqHarness {
 public:
  IpcHarness() {
    std::string pattern = (std::filesystem::temp_directory_path() / "ballast-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~IpcHarness() override { std::filesystem::remove_all(folder_); }
  std::string fresh_endpoint() override {
    return fmt::format("ipc://{}/{}.sock", folder_.string(), count_++);
  }

 private:
  std::filesystem::path folder_;
  int count_ = 0;
};

class SimHarness final : public TransportHarness {
 public:
  SimHarness() : network_(1, faults()) {}
  std::unique_ptr<Transport> make(const Peer& self) override { return network_.make(self); }
  std::string fresh_endpoint() override { return fmt::format("sim://{}", count_++); }
  std::optional<TransportEvent> next(Transport& transport, Duration patience) override {
    const Time deadline = network_.now() + patience;
    while (true) {
      if (auto event = transport.receive(network_.now())) return event;
      const std::optional<Time> due = network_.next_event();
      if (!due || *due > deadline) break;
      network_.advance_to(*due);
    }
    network_.advance_to(deadline);
    return std::nullopt;
  }
  uint32_t queue_messages_max() const override { return kQueueMessagesMax; }
  bool real() const override { return false; }
  Time now() const override { return network_.now(); }

 private:
  static SimFaults faults() {
    SimFaults faults;
    faults.queue_messages_max = kQueueMessagesMax;
    return faults;
  }
  SimNetwork network_;
  int count_ = 0;
};

}  // namespace

std::unique_ptr<TransportHarness> make_tcp_harness() {
  return std::make_unique<TcpHarness>();
}
std::unique_ptr<TransportHarness> make_ipc_harness() {
  return std::make_unique<IpcHarness>();
}
std::unique_ptr<TransportHarness> make_sim_harness() {
  return std::make_unique<SimHarness>();
}

}  // namespace ballast::testing
