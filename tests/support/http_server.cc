#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "common/base/check.h"

namespace ballast {
namespace {

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Up to the empty line; empty: the connection ended. `rest` keeps what came behind it.
std::string read_head(int socket, std::string& rest) {
  constexpr std::string_view kEnd = "\r\n\r\n";
  for (;;) {
    if (const size_t end = rest.find(kEnd); end != std::string::npos) {
      std::string head = rest.substr(0, end + 2);
      rest.erase(0, end + kEnd.size());
      return head;
    }
    char bytes[4096];
    const ssize_t got = ::recv(socket, bytes, sizeof bytes, 0);
    if (got <= 0) return "";
    rest.append(bytes, static_cast<size_t>(got));
  }
}

HttpAsked parse_head(const std::string& head) {
  HttpAsked asked;
  size_t begin = 0;
  for (size_t end = head.find("\r\n"); end != std::string::npos;
       begin = end + 2, end = head.find("\r\n", begin)) {
    const std::string line = head.substr(begin, end - begin);
    if (asked.method.empty()) {
      const size_t first = line.find(' ');
      asked.method = line.substr(0, first);
      asked.path = line.substr(first + 1, line.rfind(' ') - first - 1);
      continue;
    }
    const size_t colon = line.find(':');
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const size_t value = line.find_first_not_of(' ', colon + 1);
    asked.headers[name] = value == std::string::npos ? "" : line.substr(value);
  }
  return asked;
}

}  // namespace

std::optional<std::pair<uint64_t, uint64_t>> HttpAsked::range() const {
  const auto found = headers.find("range");
  unsigned long first = 0;
  unsigned long last = 0;
  if (found == headers.end() ||
      std::sscanf(found->second.c_str(), "bytes=%lu-%lu", &first, &last) != 2) {
    return std::nullopt;
  }
  return std::pair<uint64_t, uint64_t>(first, last);
}

HttpAnswer answer_with(const HttpAsked& asked, const std::string& object, const std::string& etag) {
  const auto match = asked.headers.find("if-match");
  if (match != asked.headers.end() && match->second != etag) return {.code = 412};
  const auto range = asked.range();
  HttpAnswer answer{.headers = {"ETag: " + etag}, .body = object};
  if (!range) return answer;
  if (range->first >= object.size()) {
    return {.code = 416, .headers = {fmt::format("Content-Range: bytes */{}", object.size())}};
  }
  const uint64_t last = std::min<uint64_t>(range->second, object.size() - 1);
  answer.code = 206;
  answer.body = object.substr(range->first, last - range->first + 1);
  answer.headers.push_back(
      fmt::format("Content-Range: bytes {}-{}/{}", range->first, last, object.size()));
  return answer;
}

HttpServer::HttpServer(Handler handler) : handler_(std::move(handler)) {
  listening_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  BALLAST_CHECK(listening_ >= 0 && ::bind(listening_, generic, bytes) == 0 &&
                ::listen(listening_, 128) == 0 && ::getsockname(listening_, generic, &bytes) == 0);
  port_ = ntohs(address.sin_port);
  accepting_ = std::jthread([this] { accept_all(); });
}

HttpServer::~HttpServer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (int socket : sockets_) ::shutdown(socket, SHUT_RDWR);
  }
  ended_.notify_all();
  ::shutdown(listening_, SHUT_RDWR);
  accepting_.join();
  threads_.clear();
  for (int socket : sockets_) ::close(socket);
  ::close(listening_);
}

std::string HttpServer::url() const {
  return fmt::format("http://127.0.0.1:{}", port_);
}

void HttpServer::accept_all() {
  for (;;) {
    const int socket = ::accept4(listening_, nullptr, nullptr, SOCK_CLOEXEC);
    std::lock_guard lock(mutex_);
    if (stopping_) {
      if (socket >= 0) ::close(socket);
      return;
    }
    if (socket < 0) continue;
    const int yes = 1;
    ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    sockets_.push_back(socket);
    threads_.emplace_back([this, socket, number = connections_++] { serve(socket, number); });
  }
}

void HttpServer::serve(int socket, uint64_t connection) {
  std::string rest;
  for (std::string head = read_head(socket, rest); !head.empty(); head = read_head(socket, rest)) {
    HttpAsked asked = parse_head(head);
    asked.number = requests_++;
    asked.connection = connection;
    if (!answer(socket, handler_(asked))) break;
  }
  ::shutdown(socket, SHUT_RDWR);
}

bool HttpServer::answer(int socket, const HttpAnswer& answer) {
  if (!wait(answer.pause)) return false;
  if (answer.silent) return wait(std::chrono::hours(1)) && false;
  std::string head =
      fmt::format("HTTP/1.1 {} x\r\nContent-Length: {}\r\n", answer.code, answer.body.size());
  for (const std::string& line : answer.headers) head += line + "\r\n";
  const std::string_view body =
      std::string_view(answer.body).substr(0, answer.sent.value_or(answer.body.size()));
  if (!send_all(socket, head + "\r\n")) return false;
  for (std::string_view left = body; !left.empty();) {
    const std::string_view piece = left.substr(0, answer.piece);
    if (!send_all(socket, piece) || !wait(answer.piece_pause)) return false;
    left.remove_prefix(piece.size());
  }
  if (answer.hangs) wait(std::chrono::hours(1));
  return body.size() == answer.body.size();
}

bool HttpServer::wait(Duration duration) {
  std::unique_lock lock(mutex_);
  return !ended_.wait_for(lock, duration, [this] { return stopping_; });
}

}  // namespace ballast
