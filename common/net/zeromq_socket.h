// Owners of libzmq's handles: context, socket, the monitor of a socket, a received frame; and the
// wait for several sockets. libzmq reports by errno; nothing here throws. Owner thread.
#pragma once

#include <zmq.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/time.h"
#include "common/net/zeromq_options.h"

namespace ballast {

// Rounded up; what does not fit becomes 24 days.
[[nodiscard]] int milliseconds(Duration duration);

class ZmqContext {
 public:
  ZmqContext();
  ~ZmqContext();  // waits for every socket's linger
  ZmqContext(const ZmqContext&) = delete;
  ZmqContext& operator=(const ZmqContext&) = delete;
  [[nodiscard]] void* get() const { return context_; }

 private:
  void* context_;
};

class ZmqSocket {
 public:
  ZmqSocket() = default;  // none
  ZmqSocket(const ZmqContext& context, int type);
  ~ZmqSocket() { close(); }
  ZmqSocket(ZmqSocket&& other) noexcept : socket_(std::exchange(other.socket_, nullptr)) {}
  ZmqSocket& operator=(ZmqSocket&& other) noexcept;

  [[nodiscard]] explicit operator bool() const { return socket_ != nullptr; }
  [[nodiscard]] void* get() const { return socket_; }
  void close();
  void set(int option, int value);
  void set(int option, int64_t value);
  void set(int option, const std::string& value);
  [[nodiscard]] std::string last_endpoint() const;

 private:
  void* socket_ = nullptr;
};

// A socket of this type under these options; none when there is no room for one more.
[[nodiscard]] ZmqSocket make_socket(const ZmqContext& context, int type,
                                    const ZeroMqOptions& options);

// For what the socket binds or connects to next. With the system's 208 KiB for unix sockets a frame
// of 1 MiB goes over in five rounds of waking each other. tcp grows its buffers by itself, and
// stops doing so where they are set.
void size_buffers(ZmqSocket& socket, const std::string& endpoint);

// One frame received, or empty.
class ZmqFrame {
 public:
  ZmqFrame() { zmq_msg_init(&message_); }
  ~ZmqFrame() { zmq_msg_close(&message_); }
  ZmqFrame(ZmqFrame&& other) noexcept : ZmqFrame() { zmq_msg_move(&message_, &other.message_); }
  ZmqFrame& operator=(ZmqFrame&& other) noexcept;

  // Never waits. False: nothing there.
  [[nodiscard]] bool receive(const ZmqSocket& socket);
  [[nodiscard]] bool more() const { return zmq_msg_more(&message_) != 0; }
  [[nodiscard]] std::span<const std::byte> bytes() const;
  // The file descriptor it came in by, -1: not known.
  [[nodiscard]] int source() const;

  // The frame's memory as a Buffer, without a copy.
  [[nodiscard]] static Buffer adopt(ZmqFrame&& frame);

 private:
  mutable zmq_msg_t message_;  // mutable: libzmq's getters take it so
};

// 0, or the errno. Never waits. The buffer's owner is released when libzmq has sent it, by libzmq's
// thread.
[[nodiscard]] int send_frame(const ZmqSocket& socket, Buffer frame, bool more);
// The same with a copy, for the few bytes of our own frames.
[[nodiscard]] int send_copy(const ZmqSocket& socket, std::span<const std::byte> bytes, bool more);

struct ZmqEvent {
  uint16_t kind = 0;  // ZMQ_EVENT_*
  int32_t value = 0;  // most: the file descriptor
};

// What libzmq tells of a socket's connections. Closed before the socket it watches: libzmq (4.3.4)
// leaks an event that it cannot hand over any more.
class ZmqMonitor {
 public:
  ZmqMonitor() = default;
  ZmqMonitor(const ZmqContext& context, const ZmqSocket& watched, int events);
  ~ZmqMonitor() { close(); }
  ZmqMonitor(ZmqMonitor&& other) noexcept
      : watched_(std::exchange(other.watched_, nullptr)), socket_(std::move(other.socket_)) {}
  ZmqMonitor& operator=(ZmqMonitor&& other) noexcept;

  [[nodiscard]] const ZmqSocket& socket() const { return socket_; }
  // Never waits.
  [[nodiscard]] std::optional<ZmqEvent> next();
  void close();

 private:
  void* watched_ = nullptr;
  ZmqSocket socket_;
};

// One wait for several to have something to read. Whoever adds, asks in the same order.
class ZmqPoll {
 public:
  void clear();
  void add(const ZmqSocket& socket) { items_.push_back({socket.get(), 0, ZMQ_POLLIN, 0}); }
  void add(int descriptor) { items_.push_back({nullptr, descriptor, ZMQ_POLLIN, 0}); }
  // How many are ready; 0: the time is over; below 0: interrupted.
  [[nodiscard]] int wait(Duration at_most);
  [[nodiscard]] bool next_is_ready() { return items_.at(next_++).revents != 0; }

 private:
  std::vector<zmq_pollitem_t> items_;
  size_t next_ = 0;
};

}  // namespace ballast
