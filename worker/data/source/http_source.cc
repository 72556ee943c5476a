#include "worker/data/source/http_source.h"

#include <future>

#include "worker/data/source/http_loop.h"

// thread   owns                          takes from       gives to
// caller   -                             -                asked (by libcurl's wake-up)
// loop     connections, transfers        asked            done, of each read
namespace ballast {

Result<std::unique_ptr<Source>> HttpSource::open(std::string url, HttpLimits limits) {
  while (url.ends_with('/')) url.pop_back();
  BALLAST_ASSIGN(std::unique_ptr<HttpLoop> loop, HttpLoop::create(limits));
  return std::unique_ptr<Source>(new HttpSource(std::move(url), std::move(loop)));
}

HttpSource::HttpSource(std::string url, std::unique_ptr<HttpLoop> loop)
    : url_(std::move(url)), loop_(std::move(loop)), thread_([this] { loop_->run(); }) {}

HttpSource::~HttpSource() {
  loop_->stop();
}

std::string HttpSource::name_of(const std::string& object) const {
  return url_ + "/" + object;
}

void HttpSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                      Done done) {
  loop_->ask({.url = name_of(object), .offset = offset, .into = into, .done = std::move(done)});
}

Result<uint64_t> HttpSource::size_of(const std::string& object) {
  // Shared: the loop may still be in set_value() when this thread goes on.
  const auto ended = std::make_shared<std::promise<Status>>();
  uint64_t size = 0;
  loop_->ask({.url = name_of(object), .size = &size, .done = [ended](Status status) {
                ended->set_value(std::move(status));
              }});
  BALLAST_RETURN_IF_ERROR(ended->get_future().get());  // no deadline: the loop ends every request
  return size;
}

HttpCounters HttpSource::counters() const {
  return loop_->counters();
}

}  // namespace ballast
