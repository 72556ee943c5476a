#include "common/net/endpoint.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include <cerrno>
#include <cstring>

namespace ballast {
namespace {

constexpr std::string_view kTcp = "tcp://";
constexpr std::string_view kIpc = "ipc://";
constexpr size_t kPathBytesMax = sizeof(sockaddr_un::sun_path) - 1;

Status malformed(const std::string& endpoint, std::string_view what) {
  return Status(
      Code::kInvalidInput,
      fmt::format("endpoint \"{}\": {}; expected tcp://HOST:PORT or ipc://PATH", endpoint, what));
}

Status check_tcp(const std::string& endpoint) {
  const std::string_view rest = std::string_view(endpoint).substr(kTcp.size());
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return malformed(endpoint, "no host");
  const std::string_view port = rest.substr(colon + 1);
  if (port == "*") return Status();
  if (port.empty() || port.size() > 5) return malformed(endpoint, "port out of 0 .. 65535");
  uint32_t number = 0;
  for (char digit : port) {
    if (digit < '0' || digit > '9') return malformed(endpoint, "port is not a number");
    number = number * 10 + static_cast<uint32_t>(digit - '0');
  }
  return number <= 65535 ? Status() : malformed(endpoint, "port out of 0 .. 65535");
}

Status check_ipc(const std::string& endpoint) {
  const size_t bytes = endpoint.size() - kIpc.size();
  if (bytes == 0) return malformed(endpoint, "no path");
  if (bytes <= kPathBytesMax) return Status();
  return Status(
      Code::kInvalidInput,
      fmt::format("endpoint \"{}\": path has {} bytes, a unix socket holds at most {}; choose a "
                  "shorter folder or a path relative to the working directory",
                  endpoint, bytes, kPathBytesMax));
}

std::string_view advice(int error) {
  switch (error) {
    case EADDRINUSE:
      return "in use by another process; stop it, or choose another port";
    case EADDRNOTAVAIL:
    case ENODEV:
      return "not an address of this machine; choose one that `ip addr` lists";
    case EACCES:
    case EPERM:
    case EROFS:
      return "no permission; choose a port above 1023 or a folder that you may write";
    case ENOENT:
    case ENOTDIR:
      return "no such folder; create it first";
    case EINVAL:
      return "not understood; expected tcp://HOST:PORT or ipc://PATH";
    default:
      return {};
  }
}

}  // namespace

Status check_endpoint(const std::string& endpoint) {
  if (endpoint.starts_with(kTcp)) return check_tcp(endpoint);
  if (endpoint.starts_with(kIpc)) return check_ipc(endpoint);
  return malformed(endpoint, "unknown scheme");
}

Status check_not_listening(const std::string& endpoint) {
  if (!endpoint.starts_with(kIpc)) return Status();
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, endpoint.data() + kIpc.size(), endpoint.size() - kIpc.size());
  const int probe = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (probe < 0) return bind_error(endpoint, errno);
  const int rc = ::connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  const int error = rc == 0 ? 0 : errno;
  ::close(probe);
  // EAGAIN: somebody listens and has a full backlog.
  return error == 0 || error == EAGAIN ? bind_error(endpoint, EADDRINUSE) : Status();
}

Status bind_error(const std::string& endpoint, int error) {
  const std::string_view what_to_do = advice(error);
  if (!what_to_do.empty()) {
    return Status(Code::kInvalidInput, fmt::format("cannot listen on {}: {} ({})", endpoint,
                                                   what_to_do, zmq_strerror(error)));
  }
  const Code code = error == EMFILE || error == ENFILE ? Code::kExhausted : Code::kUnavailable;
  return Status(code, fmt::format("cannot listen on {}: {}", endpoint, zmq_strerror(error)));
}

}  // namespace ballast
