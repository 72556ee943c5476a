#include "worker/data/source/http_transfer.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "common/base/check.h"

namespace ballast {
namespace {

constexpr size_t kTextKept = 4096;                     // of an answer that is no data
constexpr size_t kTextShown = 200;                     // in a message
constexpr long kBufferBytes = 65536;                   // of each connection
constexpr Duration kWaitMost = std::chrono::hours(1);  // an answer may ask for no longer pause

static_assert(CURL_ERROR_SIZE == 256);

long milliseconds(Duration duration) {
  return std::max<long>(1, std::chrono::duration_cast<std::chrono::milliseconds>(duration).count());
}

std::optional<uint64_t> number_of(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view trimmed(std::string_view text) {
  const auto is_space = [](char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; };
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

// A page of an error may have many lines.
std::string one_line(std::string_view text) {
  std::string line(trimmed(text.substr(0, kTextShown)));
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return line;
}

bool passes_with_time(long answer) {
  return answer == 408 || answer == 429 || (answer >= 500 && answer != 501 && answer != 505);
}

bool is_hopeless(CURLcode code) {
  switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_TOO_MANY_REDIRECTS:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_NOT_BUILT_IN:
      return true;
    default:
      return false;
  }
}

bool is_about_certificates(CURLcode code) {
  return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE ||
         code == CURLE_SSL_ISSUER_ERROR;
}

}  // namespace

std::string HttpRequest::to_string() const {
  return size != nullptr ? fmt::format("size of {}", name)
                         : fmt::format("read {} at byte {}", name, offset);
}

ContentRange parse_content_range(std::string_view text) {
  constexpr std::string_view kUnit = "bytes ";
  if (!text.starts_with(kUnit)) return {};
  text.remove_prefix(kUnit.size());
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return {};
  const std::string_view range = text.substr(0, slash);
  return {number_of(range.substr(0, range.find('-'))), number_of(text.substr(slash + 1))};
}

HttpTransfer::HttpTransfer(HttpTask& task, const HttpRequest& request, const Options& options)
    : task_(task),
      request_(request),
      dialect_(options.dialect),
      easy_(curl_easy_init()),
      started_(monotonic_now()),
      beside_(options.beside),
      out_(request.into) {
  BALLAST_CHECK(easy_ != nullptr);
  if (beside_) {
    own_ = Buffer::allocate(request.into.size());
    out_ = own_.bytes();
  }
  set_options(options);
}

HttpTransfer::~HttpTransfer() {
  curl_slist_free_all(headers_);
  curl_easy_cleanup(easy_);
}

void HttpTransfer::set_options(const Options& options) {
  const auto set = [this](CURLoption option, auto value) {
    BALLAST_CHECK(curl_easy_setopt(easy_, option, value) == CURLE_OK);
  };
  const HttpLimits& limits = options.limits;
  const bool tls_only = request_.url.starts_with("https:");
  set(CURLOPT_URL, request_.url.c_str());
  set(CURLOPT_PATH_AS_IS, 1L);  // it may be signed
  set(CURLOPT_PRIVATE, this);
  set(CURLOPT_ERRORBUFFER, error_);
  set(CURLOPT_USERAGENT, "ballast");
  set(CURLOPT_NOSIGNAL, 1L);
  // One connection a read: many reads on one HTTP/2 connection share its window.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_BUFFERSIZE, kBufferBytes);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, dialect_.follows ? 1L : 0L);
  set(CURLOPT_MAXREDIRS, 5L);
  set(CURLOPT_REDIR_PROTOCOLS_STR, tls_only ? "https" : "http,https");
  set(CURLOPT_PROXY, options.access.proxy.c_str());
  if (!options.access.ca_file.empty()) set(CURLOPT_CAINFO, options.access.ca_file.c_str());
  set(CURLOPT_CONNECTTIMEOUT_MS, milliseconds(limits.connect));
  // Less than a byte a second for so long. What trickles, and whatever else takes too long, is
  // ended by the loop: libcurl's time-outs are of all of a transfer, however well it gets on.
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);
  set(CURLOPT_LOW_SPEED_TIME, std::max<long>(1, static_cast<long>(to_seconds(limits.stall))));
  set(CURLOPT_WRITEFUNCTION, &HttpTransfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &HttpTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_FRESH_CONNECT, options.fresh ? 1L : 0L);
  // Not HEAD for the size: its refusals have no text.
  const uint64_t last = request_.size ? 0 : request_.offset + request_.into.size() - 1;
  const std::string range = fmt::format("{}-{}", request_.offset, last);
  set(CURLOPT_RANGE, range.c_str());
  const auto add = [this](const std::string& line) {
    headers_ = curl_slist_append(headers_, line.c_str());
    BALLAST_CHECK(headers_ != nullptr);
  };
  if (!options.etag.empty()) add("If-Match: " + options.etag);
  if (dialect_.headers) {
    for (const std::string& line : dialect_.headers(request_.url)) add(line);
  }
  if (headers_ != nullptr) set(CURLOPT_HTTPHEADER, headers_);
}

// ---------------------------------------------------------------- what arrives

size_t HttpTransfer::on_body(char* data, size_t size, size_t count, void* self) {
  auto& it = *static_cast<HttpTransfer*>(self);
  const size_t bytes = size * count;
  const long answer = it.answer();
  if (answer != 200 && answer != 206) {
    it.text_.append(data, std::min(bytes, kTextKept - std::min(kTextKept, it.text_.size())));
    return bytes;
  }
  if (it.request_.size != nullptr) {
    it.size_known_ = it.size().has_value();
    return it.size_known_ && answer == 200 ? 0 : bytes;  // 0 ends the transfer
  }
  if (it.filled_ == 0 && !it.starts_right()) return 0;
  if (bytes > it.out_.size() - it.filled_) {
    it.wrong_ = fmt::format("{} bytes expected, more found", it.out_.size());
    return 0;
  }
  std::memcpy(it.out_.data() + it.filled_, data, bytes);
  it.filled_ += bytes;
  return bytes;
}

// Whether the body is the range that was asked for.
bool HttpTransfer::starts_right() {
  if (answer() == 200) {
    const bool whole = request_.offset == 0 && content_length() == request_.into.size();
    no_ranges_ = !whole;
    return whole;
  }
  if (range_.first && *range_.first != request_.offset) {
    wrong_ = fmt::format("the server sent bytes from {}", *range_.first);
    return false;
  }
  return true;
}

size_t HttpTransfer::on_header(char* data, size_t size, size_t count, void* self) {
  auto& it = *static_cast<HttpTransfer*>(self);
  const std::string_view line(data, size * count);
  if (line.starts_with("HTTP/")) {  // of the last answer, behind redirections
    it.etag_.clear();
    it.range_ = {};
    it.wait_ = 0s;
  }
  const size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const std::string_view value = trimmed(line.substr(colon + 1));
  if (name == "etag" && !value.starts_with("W/")) it.etag_ = value;
  if (name == "content-range") it.range_ = parse_content_range(value);
  if (name == "retry-after") {  // in seconds; a date is not read
    const uint64_t most = static_cast<uint64_t>(to_seconds(kWaitMost));
    it.wait_ = std::chrono::seconds(std::min(number_of(value).value_or(0), most));
  }
  return line.size();
}

long HttpTransfer::answer() const {
  long code = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &code);
  return code;
}

std::optional<uint64_t> HttpTransfer::content_length() const {
  curl_off_t length = -1;
  curl_easy_getinfo(easy_, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length);
  return length < 0 ? std::nullopt : std::optional(static_cast<uint64_t>(length));
}

std::optional<uint64_t> HttpTransfer::size() const {
  return answer() == 200 ? content_length() : range_.size;
}

uint64_t HttpTransfer::new_connections() const {
  long count = 0;
  curl_easy_getinfo(easy_, CURLINFO_NUM_CONNECTS, &count);
  return static_cast<uint64_t>(count);
}

// On a connection that was kept curl says no too; its server has answered before.
bool HttpTransfer::was_connected() const {
  curl_off_t microseconds = 0;
  curl_easy_getinfo(easy_, CURLINFO_CONNECT_TIME_T, &microseconds);
  return microseconds > 0;
}

bool HttpTransfer::gets_on(Time now) {
  if (filled_ - filled_then_ < kProgressBytes) return false;
  filled_then_ = filled_;
  got_on_ = now;
  return true;
}

// ---------------------------------------------------------------- what it means

HttpVerdict HttpTransfer::judge(int result, const HttpPin* pin) const {
  const long code = answer();
  if (no_ranges_) {
    return {Status(Code::kInvalidInput,
                   fmt::format("{}: the server does not read ranges: {} bytes asked for, HTTP 200 "
                               "and the whole object came; serve the data set with one that does, "
                               "as nginx or an object store",
                               request_.to_string(), request_.into.size()))};
  }
  if (!wrong_.empty()) {
    return {.status = Status(Code::kUnavailable, request_.to_string() + ": " + wrong_),
            .may_pass = true,
            .fresh = true};
  }
  if (code != 0 && code != 200 && code != 206) {
    HttpVerdict verdict = judge_refusal(code);
    if (!verdict.may_pass || wait_ == 0s) return verdict;
    verdict.wait = wait_;
    verdict.status =
        std::move(verdict.status)
            .because(fmt::format("the server asks for a pause of {:.0f} s", to_seconds(wait_)));
    return verdict;
  }
  if (result != CURLE_OK && !size_known_) return judge_failure(result);
  return judge_data(code, pin);
}

HttpVerdict HttpTransfer::judge_refusal(long code) const {
  const std::string at = request_.to_string();
  if (code == 416 && request_.size != nullptr && range_.size == 0u) return {};  // an empty object
  if (dialect_.explain) {
    if (auto verdict = dialect_.explain(at, code, text_)) return *verdict;
  }
  const auto fails = [&at](Code why, const std::string& what) {
    return HttpVerdict{.status = Status(why, at + ": " + what)};
  };
  if (code == 404 || code == 410) return fails(Code::kNotFound, "there is none");
  if (code == 412) return fails(Code::kDataLoss, "it was replaced while it was being read");
  if (code == 416) return fails(Code::kDataLoss, "it ends before");
  if (code == 401 || code == 403) {
    return fails(Code::kInvalidInput, fmt::format("the server refuses it (HTTP {})", code));
  }
  const std::string said = one_line(text_);
  const std::string what = fmt::format("HTTP {}{}{}", code, said.empty() ? "" : ": ", said);
  if (!passes_with_time(code)) return fails(Code::kInvalidInput, what);
  HttpVerdict verdict = fails(Code::kUnavailable, what);
  verdict.may_pass = true;
  verdict.overloaded = code == 429 || code == 503;
  return verdict;
}

HttpVerdict HttpTransfer::judge_overdue(Duration without) const {
  const std::string what = filled_ == 0 ? "nothing came"
                                        : fmt::format("{} of {} bytes came, and hardly one more",
                                                      filled_, request_.into.size());
  return {
      .status = Status(Code::kUnavailable, fmt::format("{}: {} for {:.0f} s", request_.to_string(),
                                                       what, to_seconds(without))),
      .may_pass = true,
      .overloaded = true,
      .fresh = true,
      .unreached = !was_connected()};
}

HttpVerdict HttpTransfer::judge_failure(int result) const {
  const auto code = static_cast<CURLcode>(result);
  std::string what = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
  if (is_about_certificates(code)) {
    what += "; data.ca_file may name the certificates to trust";
  }
  const bool hopeless = is_hopeless(code);
  return {.status = Status(hopeless ? Code::kInvalidInput : Code::kUnavailable,
                           request_.to_string() + ": " + what),
          .may_pass = !hopeless,
          .overloaded = code == CURLE_COULDNT_CONNECT || code == CURLE_OPERATION_TIMEDOUT,
          .fresh = true,
          .unreached = !was_connected()};
}

HttpVerdict HttpTransfer::judge_data(long code, const HttpPin* pin) const {
  const auto fails = [this](Code why, const std::string& what, bool may_pass) {
    return HttpVerdict{.status = Status(why, request_.to_string() + ": " + what),
                       .may_pass = may_pass};
  };
  const std::optional<uint64_t> whole = size();
  if (pin != nullptr && pin->size && whole && *pin->size != *whole) {
    return fails(Code::kDataLoss,
                 fmt::format("it was replaced while it was being read: {} bytes expected, {} found",
                             *pin->size, *whole),
                 false);
  }
  if (request_.size != nullptr) {
    if (whole) return {};
    return fails(Code::kInvalidInput, fmt::format("the server does not say (HTTP {})", code),
                 false);
  }
  if (filled_ == request_.into.size()) return {};
  // A server that says how long the object is, and that it ends here, is believed.
  const bool ends = whole && *whole < request_.offset + request_.into.size();
  return fails(ends ? Code::kDataLoss : Code::kUnavailable,
               fmt::format("{} bytes expected, {} found", request_.into.size(), filled_), !ends);
}

}  // namespace ballast
