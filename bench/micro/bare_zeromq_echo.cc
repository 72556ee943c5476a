#include "bench/micro/bare_zeromq_echo.h"

#include <zmq.h>

#include <array>
#include <cstring>

#include "common/base/check.h"

namespace ballast::bench {
namespace {

void keep(void*, void*) {}

}  // namespace

void serve_bare_echo(const std::function<void(const std::string& endpoint)>& ready) {
  void* context = zmq_ctx_new();
  void* socket = zmq_socket(context, ZMQ_ROUTER);
  // Before bind, which copies it: the client does not wait for the echo of its goodbye, and closing
  // would wait for ever until somebody takes it.
  const int linger_ms = 0;
  BALLAST_CHECK(zmq_setsockopt(socket, ZMQ_LINGER, &linger_ms, sizeof(linger_ms)) == 0);
  BALLAST_CHECK(zmq_bind(socket, "tcp://127.0.0.1:*") == 0);
  std::array<char, 64> endpoint{};
  size_t bytes = endpoint.size();
  BALLAST_CHECK(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint.data(), &bytes) == 0);
  ready(endpoint.data());
  zmq_msg_t message;
  zmq_msg_init(&message);
  for (bool stop = false; !stop;) {
    size_t frames = 0;
    for (bool more = true; more; ++frames) {
      BALLAST_CHECK(zmq_msg_recv(&message, socket, 0) >= 0);
      more = zmq_msg_more(&message) != 0;
      stop = frames == 1 && !more && zmq_msg_size(&message) == 0;
      BALLAST_CHECK(zmq_msg_send(&message, socket, more ? ZMQ_SNDMORE : 0) >= 0);
    }
  }
  zmq_close(socket);
  zmq_ctx_term(context);
}

BareZeroMqClient::BareZeroMqClient(const std::string& endpoint)
    : context_(zmq_ctx_new()), socket_(zmq_socket(context_, ZMQ_DEALER)) {
  BALLAST_CHECK(zmq_connect(socket_, endpoint.c_str()) == 0);
}

BareZeroMqClient::~BareZeroMqClient() {
  zmq_send(socket_, "", 0, 0);
  zmq_close(socket_);
  zmq_ctx_term(context_);
}

bool BareZeroMqClient::exchange(const std::vector<std::span<std::byte>>& frames, bool verify) {
  zmq_msg_t message;
  for (size_t i = 0; i < frames.size(); ++i) {
    zmq_msg_init_data(&message, frames[i].data(), frames[i].size(), keep, nullptr);
    const int flags = i + 1 < frames.size() ? ZMQ_SNDMORE : 0;
    BALLAST_CHECK(zmq_msg_send(&message, socket_, flags) >= 0);
  }
  bool same = true;
  zmq_msg_init(&message);
  for (const std::span<std::byte>& frame : frames) {
    BALLAST_CHECK(zmq_msg_recv(&message, socket_, 0) >= 0);
    same = same && zmq_msg_size(&message) == frame.size();
    if (!verify || !same) continue;
    same = std::memcmp(zmq_msg_data(&message), frame.data(), frame.size()) == 0;
  }
  same = same && zmq_msg_more(&message) == 0;
  zmq_msg_close(&message);
  return same;
}

}  // namespace ballast::bench
