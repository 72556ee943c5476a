// HttpTransfer: one attempt at one request, on one connection of libcurl, and what its answer
// means. Owner thread: the loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/base/buffer.h"
#include "common/base/time.h"
#include "worker/data/source/http_settings.h"
#include "worker/data/source/source.h"

using CURL = void;
struct curl_slist;

namespace ballast {

struct HttpTask;

// A range of an object, or only its size.
struct HttpRequest {
  std::string url;
  std::string name;  // of the object, for messages
  uint64_t offset = 0;
  std::span<std::byte> into = {};
  uint64_t* size = nullptr;  // not null: the size is asked for
  Source::Done done;

  [[nodiscard]] std::string to_string() const;  // "read http://... at byte 17"
};

// What is known of an object since its first answer; one that differs later was replaced.
struct HttpPin {
  std::string etag;  // empty: the server gives none
  std::optional<uint64_t> size;
};

// "bytes 10-19/100"; the size of the whole may be unknown ("*"), the range too.
struct ContentRange {
  std::optional<uint64_t> first;
  std::optional<uint64_t> size;
};
[[nodiscard]] ContentRange parse_content_range(std::string_view text);

class HttpTransfer {
 public:
  struct Options {
    const HttpLimits& limits;
    const HttpAccess& access;
    const HttpDialect& dialect;
    bool beside = false;  // into memory of its own, because another one fills the request's
    bool fresh = false;   // on a new connection
    std::string etag;     // the object must still have; empty: any
  };

  HttpTransfer(HttpTask& task, const HttpRequest& request, const Options& options);
  ~HttpTransfer();
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  [[nodiscard]] CURL* handle() const { return easy_; }
  [[nodiscard]] HttpTask& task() const { return task_; }
  [[nodiscard]] Time started() const { return started_; }
  [[nodiscard]] bool is_beside() const { return beside_; }
  [[nodiscard]] uint64_t filled() const { return filled_; }  // bytes of the data
  // kProgressBytes have come since the last time.
  [[nodiscard]] bool gets_on(Time now);
  [[nodiscard]] Time got_on() const { return got_on_; }
  [[nodiscard]] const Buffer& own() const { return own_; }
  [[nodiscard]] const std::string& etag() const { return etag_; }
  // Of the whole object, where the answer says it.
  [[nodiscard]] std::optional<uint64_t> size() const;
  [[nodiscard]] uint64_t new_connections() const;

  // `result`: libcurl's, of the transfer that has ended.
  [[nodiscard]] HttpVerdict judge(int result, const HttpPin* pin) const;
  // Of one that has not ended and has no more time.
  [[nodiscard]] HttpVerdict judge_overdue(Duration without) const;

 private:
  static size_t on_body(char* data, size_t size, size_t count, void* self);
  static size_t on_header(char* data, size_t size, size_t count, void* self);
  void set_options(const Options& options);
  [[nodiscard]] bool starts_right();
  [[nodiscard]] long answer() const;
  [[nodiscard]] bool was_connected() const;
  [[nodiscard]] std::optional<uint64_t> content_length() const;
  [[nodiscard]] HttpVerdict judge_refusal(long answer) const;
  [[nodiscard]] HttpVerdict judge_failure(int result) const;
  [[nodiscard]] HttpVerdict judge_data(long answer, const HttpPin* pin) const;

  HttpTask& task_;
  const HttpRequest& request_;
  const HttpDialect& dialect_;
  CURL* const easy_;
  curl_slist* headers_ = nullptr;
  const Time started_;
  const bool beside_;
  Buffer own_;
  std::span<std::byte> out_;  // the request's memory, or own_
  size_t filled_ = 0;
  size_t filled_then_ = 0;   // at got_on_
  Time got_on_{};            // the epoch: never
  bool size_known_ = false;  // and the body is of no interest
  std::string wrong_;        // why the body is not what was asked for
  bool no_ranges_ = false;
  std::string text_;  // of an answer that is no data
  std::string etag_;
  ContentRange range_;
  Duration wait_ = 0s;
  char error_[256] = {};  // CURL_ERROR_SIZE
};

}  // namespace ballast
