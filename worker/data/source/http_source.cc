#include "worker/data/source/http_source.h"

#include <fmt/format.h>

#include <future>

#include "common/base/log.h"
#include "worker/data/source/http_loop.h"

// thread   owns                          takes from       gives to
// caller   -                             -                asked (by libcurl's wake-up)
// loop     connections, transfers        asked            done, of each read
namespace ballast {
namespace {

// "http://host/path": whatever else an address may hold is a secret, or not of a folder.
Status check_address(const std::string& url) {
  const size_t host = url.find("://") + 3;
  const std::string_view authority = std::string_view(url).substr(host, url.find('/', host) - host);
  if (authority.empty()) {
    return Status(Code::kInvalidInput, fmt::format("address {}: it names no host", url));
  }
  if (const size_t at = authority.rfind('@'); at != std::string_view::npos) {
    return Status(Code::kInvalidInput,
                  fmt::format("address of host {}: a user or a password in an address would be "
                              "written to logs; expected none",
                              authority.substr(at + 1)));
  }
  if (const size_t at = url.find_first_of("?#"); at != std::string::npos) {
    return Status(Code::kInvalidInput,
                  fmt::format("address {}: the names of objects are put behind it; expected "
                              "nothing from '{}' on",
                              url.substr(0, at), url[at]));
  }
  return {};
}

}  // namespace

Result<std::unique_ptr<HttpSource>> HttpSource::open(std::string url, const HttpAccess& access,
                                                     HttpDialect dialect,
                                                     const HttpLimits& limits) {
  while (url.ends_with('/')) url.pop_back();
  BALLAST_RETURN_IF_ERROR(check_address(url));
  std::string name = dialect.name.empty() ? url : dialect.name;
  BALLAST_ASSIGN(std::unique_ptr<HttpLoop> loop,
                 HttpLoop::create(access, std::move(dialect), limits));
  return std::unique_ptr<HttpSource>(
      new HttpSource(std::move(url), std::move(name), std::move(loop)));
}

HttpSource::HttpSource(std::string url, std::string name, std::unique_ptr<HttpLoop> loop)
    : url_(std::move(url)),
      name_(std::move(name)),
      loop_(std::move(loop)),
      thread_([this] { loop_->run(); }) {}

HttpSource::~HttpSource() {
  loop_->stop();
  thread_.join();
  const HttpCounters count = counters();
  if (count.requests == 0) return;
  log::info("{}: {} bytes in {} requests on {} connections, {} of them again, {} beside a slow one",
            name_, count.bytes, count.requests, count.connections, count.retries, count.hedges);
}

std::string HttpSource::name_of(const std::string& object) const {
  return name_ + "/" + object;
}

void HttpSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                      Done done) {
  loop_->ask({.url = url_ + "/" + object,
              .name = name_of(object),
              .offset = offset,
              .into = into,
              .done = std::move(done)});
}

Result<uint64_t> HttpSource::size_of(const std::string& object) {
  // Shared: the loop may still be in set_value() when this thread goes on.
  const auto ended = std::make_shared<std::promise<Status>>();
  uint64_t size = 0;
  loop_->ask({.url = url_ + "/" + object,
              .name = name_of(object),
              .size = &size,
              .done = [ended](Status status) { ended->set_value(std::move(status)); }});
  BALLAST_RETURN_IF_ERROR(ended->get_future().get());  // no deadline: the loop ends every request
  return size;
}

HttpCounters HttpSource::counters() const {
  return loop_->counters();
}

}  // namespace ballast
