#include "worker/data/source/source.h"

#include <fmt/format.h>

#include <future>

#include "worker/data/source/http_source.h"
#include "worker/data/source/local_source.h"

namespace ballast {

Status Source::read_now(const std::string& object, uint64_t offset, std::span<std::byte> into) {
  // Shared: the source's thread may still be in set_value() when this one goes on.
  const auto ended = std::make_shared<std::promise<Status>>();
  read(object, offset, into, [ended](Status status) { ended->set_value(std::move(status)); });
  // No deadline: the source ends every read.
  return ended->get_future().get();
}

Result<std::unique_ptr<Source>> open_source(const std::string& location, const Reading& reading) {
  const size_t colon = location.find("://");
  const std::string scheme = colon == std::string::npos ? "" : location.substr(0, colon);
  if (scheme.empty()) {
    return std::unique_ptr<Source>(std::make_unique<LocalSource>(location, reading));
  }
  if (scheme == "http" || scheme == "https") {
    BALLAST_ASSIGN(std::unique_ptr<HttpSource> source, HttpSource::open(location));
    return std::unique_ptr<Source>(std::move(source));
  }
  return Status(Code::kInvalidInput,
                fmt::format("data set {}: a folder or an address that begins with http:// or "
                            "https:// expected, {}:// found",
                            location, scheme));
}

Result<Object> Object::open(std::shared_ptr<Source> source, std::string name) {
  BALLAST_ASSIGN(const uint64_t size, source->size_of(name));
  return Object(std::move(source), std::move(name), size);
}

Object::Object(std::shared_ptr<Source> source, std::string name, uint64_t size)
    : source_(std::move(source)), name_(std::move(name)), size_(size) {}

Status Object::read_at(uint64_t offset, std::span<std::byte> bytes) const {
  return source_->read_now(name_, offset, bytes);
}

}  // namespace ballast
