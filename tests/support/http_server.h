// HttpServer: an http server on 127.0.0.1 whose every answer a test decides. One thread a
// connection; connections are kept. The handler is called on those threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/base/time.h"

namespace ballast {

struct HttpAsked {
  std::string method;
  std::string path;
  std::map<std::string, std::string> headers;  // names in lower case
  uint64_t number = 0;                         // of the request, from 0
  uint64_t connection = 0;                     // from 0

  // "bytes=first-last"
  [[nodiscard]] std::optional<std::pair<uint64_t, uint64_t>> range() const;
};

struct HttpAnswer {
  int code = 200;
  std::vector<std::string> headers = {};
  std::string body = {};
  std::optional<size_t> sent = {};  // of the body's bytes; less than all: then the connection ends
  bool hangs = false;               // when that much is sent, nothing more comes
  bool silent = false;              // not even a head is sent
  Duration pause = 0s;              // before the answer
  size_t piece = SIZE_MAX;          // of the body, sent at a time
  Duration piece_pause = 0s;        // behind each
};

// As an object store does: 206, Content-Range, ETag, 412, 416.
[[nodiscard]] HttpAnswer answer_with(const HttpAsked& asked, const std::string& object,
                                     const std::string& etag = "\"1\"");

class HttpServer {
 public:
  using Handler = std::function<HttpAnswer(const HttpAsked&)>;

  explicit HttpServer(Handler handler);
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  [[nodiscard]] std::string url() const;
  [[nodiscard]] uint64_t requests() const { return requests_; }
  [[nodiscard]] uint64_t connections() const { return connections_; }

 private:
  void accept_all();
  void serve(int socket, uint64_t connection);
  [[nodiscard]] bool answer(int socket, const HttpAnswer& answer);
  // False: the server ends.
  bool wait(Duration duration);

  const Handler handler_;
  int listening_ = -1;
  uint16_t port_ = 0;
  std::atomic<uint64_t> requests_ = 0;
  std::atomic<uint64_t> connections_ = 0;
  std::mutex mutex_;  // guards all below
  std::condition_variable ended_;
  bool stopping_ = false;
  std::vector<int> sockets_;
  std::list<std::jthread> threads_;
  std::jthread accepting_;  // last
};

}  // namespace ballast
