#include "common/net/zeromq_socket.h"

#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <limits>

#include "common/base/check.h"

namespace ballast {
namespace {

// Below this a frame is copied: libzmq keeps 33 bytes inside its message, and copies small frames
// into its 8 KiB write batch anyway; a free hook costs two allocations.
constexpr size_t kCopyBytesMax = 512;

constexpr int kSocketsMax = 16384;  // of one context: three for each peer we connect to

// Of a unix socket: more than a frame of the product; the system may give less (net.core.wmem_max).
constexpr int kIpcBufferBytes = 4 << 20;

void release(void*, void* hint) {
  delete static_cast<Buffer*>(hint);
}

int submit(const ZmqSocket& socket, zmq_msg_t& message, bool more) {
  if (zmq_msg_send(&message, socket.get(), ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0)) >= 0) return 0;
  const int error = zmq_errno();
  zmq_msg_close(&message);
  return error;
}

}  // namespace

int milliseconds(Duration duration) {
  if (duration <= Duration::zero()) return 0;
  const int64_t count = (duration.count() - 1) / 1'000'000 + 1;
  return static_cast<int>(std::min<int64_t>(count, std::numeric_limits<int>::max()));
}

ZmqContext::ZmqContext() : context_(zmq_ctx_new()) {
  BALLAST_CHECK_MSG(context_ != nullptr, zmq_strerror(zmq_errno()));
  BALLAST_CHECK(zmq_ctx_set(context_, ZMQ_MAX_SOCKETS, kSocketsMax) == 0);
}

ZmqContext::~ZmqContext() {
  while (zmq_ctx_term(context_) != 0 && zmq_errno() == EINTR) {
  }
}

ZmqSocket::ZmqSocket(const ZmqContext& context, int type)
    : socket_(zmq_socket(context.get(), type)) {}

ZmqSocket& ZmqSocket::operator=(ZmqSocket&& other) noexcept {
  std::swap(socket_, other.socket_);
  return *this;
}

void ZmqSocket::close() {
  if (socket_ != nullptr) zmq_close(std::exchange(socket_, nullptr));
}

void ZmqSocket::set(int option, int value) {
  BALLAST_CHECK_MSG(zmq_setsockopt(socket_, option, &value, sizeof(value)) == 0,
                    fmt::format("option {}: {}", option, zmq_strerror(zmq_errno())));
}

void ZmqSocket::set(int option, int64_t value) {
  BALLAST_CHECK_MSG(zmq_setsockopt(socket_, option, &value, sizeof(value)) == 0,
                    fmt::format("option {}: {}", option, zmq_strerror(zmq_errno())));
}

void ZmqSocket::set(int option, const std::string& value) {
  BALLAST_CHECK_MSG(zmq_setsockopt(socket_, option, value.data(), value.size()) == 0,
                    fmt::format("option {}: {}", option, zmq_strerror(zmq_errno())));
}

std::string ZmqSocket::last_endpoint() const {
  std::array<char, 512> text{};
  size_t bytes = text.size();
  BALLAST_CHECK(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text.data(), &bytes) == 0);
  return text.data();
}

ZmqSocket make_socket(const ZmqContext& context, int type, const ZeroMqOptions& options) {
  ZmqSocket socket(context, type);
  if (!socket) return socket;
  socket.set(ZMQ_LINGER, milliseconds(options.linger));
  socket.set(ZMQ_SNDHWM, options.high_water_mark());
  socket.set(ZMQ_RCVHWM, options.high_water_mark());
  socket.set(ZMQ_MAXMSGSIZE, static_cast<int64_t>(options.frame_bytes_max));
  // A machine that vanished is noticed by the kernel after 10 + 3 * 5 s, without waking anybody.
  socket.set(ZMQ_TCP_KEEPALIVE, 1);
  socket.set(ZMQ_TCP_KEEPALIVE_IDLE, 10);
  socket.set(ZMQ_TCP_KEEPALIVE_INTVL, 5);
  socket.set(ZMQ_TCP_KEEPALIVE_CNT, 3);
  return socket;
}

void size_buffers(ZmqSocket& socket, const std::string& endpoint) {
  const int bytes = endpoint.starts_with("ipc://") ? kIpcBufferBytes : -1;
  socket.set(ZMQ_SNDBUF, bytes);
  socket.set(ZMQ_RCVBUF, bytes);
}

ZmqFrame& ZmqFrame::operator=(ZmqFrame&& other) noexcept {
  zmq_msg_move(&message_, &other.message_);
  return *this;
}

bool ZmqFrame::receive(const ZmqSocket& socket) {
  return zmq_msg_recv(&message_, socket.get(), ZMQ_DONTWAIT) >= 0;
}

std::span<const std::byte> ZmqFrame::bytes() const {
  return {static_cast<const std::byte*>(zmq_msg_data(&message_)), zmq_msg_size(&message_)};
}

int ZmqFrame::source() const {
  return zmq_msg_get(&message_, ZMQ_SRCFD);
}

Buffer ZmqFrame::adopt(ZmqFrame&& frame) {
  const size_t bytes = frame.bytes().size();
  if (bytes == 0) return Buffer();
  auto keeper = std::make_shared<ZmqFrame>(std::move(frame));
  // After the move: small frames live inside the message itself.
  auto* data = static_cast<std::byte*>(zmq_msg_data(&keeper->message_));
  return Buffer::adopt(data, bytes, std::move(keeper));
}

int send_frame(const ZmqSocket& socket, Buffer frame, bool more) {
  if (frame.size() <= kCopyBytesMax) return send_copy(socket, frame.bytes(), more);
  auto* kept = new Buffer(std::move(frame));
  zmq_msg_t message;
  const int rc = zmq_msg_init_data(&message, kept->data(), kept->size(), release, kept);
  BALLAST_CHECK_MSG(rc == 0, "out of memory");
  return submit(socket, message, more);
}

int send_copy(const ZmqSocket& socket, std::span<const std::byte> bytes, bool more) {
  zmq_msg_t message;
  BALLAST_CHECK_MSG(zmq_msg_init_size(&message, bytes.size()) == 0, "out of memory");
  if (!bytes.empty()) std::memcpy(zmq_msg_data(&message), bytes.data(), bytes.size());
  return submit(socket, message, more);
}

ZmqMonitor::ZmqMonitor(const ZmqContext& context, const ZmqSocket& watched, int events) {
  const std::string name = fmt::format("inproc://monitor-{}", watched.get());
  ZmqSocket reader(context, ZMQ_PAIR);
  if (!reader) return;
  if (zmq_socket_monitor(watched.get(), name.c_str(), events) != 0) return;
  if (zmq_connect(reader.get(), name.c_str()) != 0) return;
  reader.set(ZMQ_LINGER, 0);
  watched_ = watched.get();
  socket_ = std::move(reader);
}

ZmqMonitor& ZmqMonitor::operator=(ZmqMonitor&& other) noexcept {
  std::swap(watched_, other.watched_);
  std::swap(socket_, other.socket_);
  return *this;
}

void ZmqMonitor::close() {
  if (watched_ != nullptr) zmq_socket_monitor(std::exchange(watched_, nullptr), nullptr, 0);
  socket_.close();
}

std::optional<ZmqEvent> ZmqMonitor::next() {
  ZmqFrame head;
  if (!socket_ || !head.receive(socket_)) return std::nullopt;
  ZmqEvent event;
  BALLAST_CHECK(head.bytes().size() == sizeof(event.kind) + sizeof(event.value) && head.more());
  std::memcpy(&event.kind, head.bytes().data(), sizeof(event.kind));
  std::memcpy(&event.value, head.bytes().data() + sizeof(event.kind), sizeof(event.value));
  ZmqFrame endpoint;
  BALLAST_CHECK(endpoint.receive(socket_));
  return event;
}

void ZmqPoll::clear() {
  items_.clear();
  next_ = 0;
}

int ZmqPoll::wait(Duration at_most) {
  return zmq_poll(items_.data(), static_cast<int>(items_.size()), milliseconds(at_most));
}

}  // namespace ballast
