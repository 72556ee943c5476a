#include "common/net/zeromq_transport.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "common/base/check.h"
#include "common/net/endpoint.h"
#include "common/net/frame_pool.h"
#include "common/net/zeromq_dialer.h"
#include "common/net/zeromq_listener.h"
#include "common/net/zeromq_mailbox.h"

// How a connection lives. The connecting side has a DEALER whose routing id is its PeerCode, so the
// ROUTER knows who speaks; ZMQ_PROBE_ROUTER makes libzmq send one empty frame as soon as the
// connection stands. The ROUTER answers with a welcome: an empty frame and its own PeerCode. Both
// raise PeerUp. A first frame that is empty marks what is the transport's own; a message never
// starts so. How each side learns of the end is told in zeromq_dialer.h and zeromq_listener.h.
namespace ballast {
namespace {

class ZeroMqTransport final : public Transport {
 public:
  ZeroMqTransport(const Peer& self, const ZeroMqOptions& options);
  ~ZeroMqTransport() override;

  const Peer& self() const override { return self_; }
  Result<std::string> bind(const std::string& endpoint) override;
  Status connect(const Peer& peer, const std::string& endpoint) override;
  void disconnect(const Peer& peer) override;
  Status send(const Peer& to, Message message) override;
  std::optional<TransportEvent> receive(Time deadline) override;
  Buffer allocate(const Peer&, size_t bytes) override { return pool_.take(bytes); }
  void wake() override;
  TransportStats stats() const override { return mailbox_.stats(); }

 private:
  void wait_and_handle(Time deadline);
  [[nodiscard]] Duration patience(Time deadline) const;
  void drain_wakes();

  const Peer self_;
  const int wake_descriptor_;
  FramePool pool_;
  ZmqContext context_;  // before those with sockets: they close first
  ZmqMailbox mailbox_;
  ZmqDialer dialer_;
  ZmqListener listener_;
  ZmqPoll poll_;  // kept for its memory
};

ZeroMqTransport::ZeroMqTransport(const Peer& self, const ZeroMqOptions& options)
    : self_(self),
      wake_descriptor_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      pool_(options.spare_bytes_max),
      mailbox_(options),
      dialer_(self, options, context_, mailbox_),
      listener_(self, options, context_, mailbox_, dialer_) {
  BALLAST_CHECK(self.incarnation != 0);
  BALLAST_CHECK(wake_descriptor_ >= 0);
}

ZeroMqTransport::~ZeroMqTransport() {
  ::close(wake_descriptor_);
}

Result<std::string> ZeroMqTransport::bind(const std::string& endpoint) {
  BALLAST_RETURN_IF_ERROR(check_endpoint(endpoint));
  BALLAST_RETURN_IF_ERROR(check_not_listening(endpoint));
  return listener_.bind(endpoint);
}

Status ZeroMqTransport::connect(const Peer& peer, const std::string& endpoint) {
  BALLAST_RETURN_IF_ERROR(check_endpoint(endpoint));
  disconnect(peer);
  dialer_.connect(peer, endpoint);
  return Status();
}

void ZeroMqTransport::disconnect(const Peer& peer) {
  dialer_.disconnect(peer);
  listener_.forget(peer);
  mailbox_.forget(peer);
}

Status ZeroMqTransport::send(const Peer& to, Message message) {
  BALLAST_RETURN_IF_ERROR(mailbox_.check_limits(to, message));
  return dialer_.dials(to) ? dialer_.send(to, std::move(message))
                           : listener_.send(to, std::move(message));
}

std::optional<TransportEvent> ZeroMqTransport::receive(Time deadline) {
  for (bool last_look = false; mailbox_.empty() && !last_look;) {
    last_look = monotonic_now() >= deadline;
    wait_and_handle(deadline);
  }
  return mailbox_.take();
}

void ZeroMqTransport::wait_and_handle(Time deadline) {
  poll_.clear();
  poll_.add(wake_descriptor_);
  listener_.add_to(poll_);
  dialer_.add_to(poll_);
  const int ready = poll_.wait(patience(deadline));
  if (ready > 0) {  // in the order in which they were added
    if (poll_.next_is_ready()) drain_wakes();
    listener_.handle(poll_);
    dialer_.handle(poll_);
  }
  listener_.end_broken(ready == 0);
  dialer_.run_timers(monotonic_now());
}

Duration ZeroMqTransport::patience(Time deadline) const {
  if (listener_.drains()) return Duration::zero();
  return std::min(deadline, dialer_.next_timer()) - monotonic_now();
}

void ZeroMqTransport::wake() {
  const uint64_t one = 1;
  // Fails only when the counter is full, and then a wake is pending anyway.
  [[maybe_unused]] const ssize_t written = ::write(wake_descriptor_, &one, sizeof(one));
}

void ZeroMqTransport::drain_wakes() {
  uint64_t count = 0;
  if (::read(wake_descriptor_, &count, sizeof(count)) > 0) mailbox_.deliver(Woken{});
}

}  // namespace

std::unique_ptr<Transport> make_zeromq_transport(const Peer& self, const ZeroMqOptions& options) {
  return std::make_unique<ZeroMqTransport>(self, options);
}

}  // namespace ballast
