#include "worker/data/source/text_request.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "common/base/check.h"

namespace ballast {
namespace {

constexpr size_t kTextMost = 64u << 10;

size_t take_text(char* data, size_t size, size_t count, void* text) {
  auto& taken = *static_cast<std::string*>(text);
  const size_t bytes = size * count;
  if (bytes > kTextMost - taken.size()) return 0;  // ends the transfer
  taken.append(data, bytes);
  return bytes;
}

// Called about once a second, and as data comes.
int is_stopped(void* stop, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<const std::stop_token*>(stop)->stop_requested() ? 1 : 0;
}

}  // namespace

Result<TextAnswer> ask_text(const TextRequest& request) {
  static const CURLcode ready = curl_global_init(CURL_GLOBAL_DEFAULT);  // once a process
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy(
      ready == CURLE_OK ? curl_easy_init() : nullptr, &curl_easy_cleanup);
  if (easy == nullptr) return Status(Code::kExhausted, "libcurl cannot begin: no memory");
  curl_slist* lines = nullptr;
  for (const std::string& line : request.headers) {
    lines = curl_slist_append(lines, line.c_str());
    BALLAST_CHECK(lines != nullptr);
  }
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(lines,
                                                                            &curl_slist_free_all);
  const auto set = [&](CURLoption option, auto value) {
    BALLAST_CHECK(curl_easy_setopt(easy.get(), option, value) == CURLE_OK);
  };
  TextAnswer answer;
  const auto timeout = std::chrono::duration_cast<std::chrono::milliseconds>(request.timeout);
  set(CURLOPT_URL, request.url.c_str());
  set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_PROXY, "");
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_USERAGENT, "ballast");
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_TIMEOUT_MS, std::max<long>(1, static_cast<long>(timeout.count())));
  set(CURLOPT_WRITEFUNCTION, &take_text);
  set(CURLOPT_WRITEDATA, &answer.text);
  set(CURLOPT_NOPROGRESS, 0L);
  set(CURLOPT_XFERINFOFUNCTION, &is_stopped);
  set(CURLOPT_XFERINFODATA, &request.stop);
  const CURLcode result = curl_easy_perform(easy.get());
  if (request.stop.stop_requested()) return Status(Code::kStopped, "stopped");
  if (result != CURLE_OK) {
    return Status(Code::kUnavailable, fmt::format("{} {}: {}", request.method, request.url,
                                                  curl_easy_strerror(result)));
  }
  curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &answer.code);
  return answer;
}

}  // namespace ballast
