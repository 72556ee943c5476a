#include "worker/data/source/source.h"

#include <fmt/format.h>

#include <future>

#include "common/base/hash.h"
#include "common/base/system_memory.h"
#include "worker/data/source/access.h"
#include "worker/data/source/cached_source.h"
#include "worker/data/source/http_source.h"
#include "worker/data/source/local_source.h"
#include "worker/data/source/s3_source.h"

namespace ballast {

void Source::read_hashed(const std::string& object, uint64_t offset, std::span<std::byte> into,
                         DoneHashed done) {
  read(object, offset, into, [into, done = std::move(done)](Status status) {
    if (!status.ok()) return done(std::move(status));
    done(xxh3(std::span<const std::byte>(into)));
  });
}

Status Source::read_now(const std::string& object, uint64_t offset, std::span<std::byte> into) {
  // Shared: the source's thread may still be in set_value() when this one goes on.
  const auto ended = std::make_shared<std::promise<Status>>();
  read(object, offset, into, [ended](Status status) { ended->set_value(std::move(status)); });
  // No deadline: the source ends every read.
  return ended->get_future().get();
}

namespace {

Result<std::unique_ptr<HttpSource>> open_remote(const std::string& location, const Access& access) {
  const std::string scheme = location.substr(0, location.find("://"));
  if (scheme == "http" || scheme == "https") return HttpSource::open(location, access.http);
  if (scheme == "s3") return open_s3(location, access.s3, access.http, process_environment());
  return Status(Code::kInvalidInput,
                fmt::format("data set {}: a folder or an address that begins with http://, "
                            "https:// or s3:// expected, {}:// found",
                            location, scheme));
}

}  // namespace

bool is_remote(const std::string& location) {
  return location.find("://") != std::string::npos;
}

Result<std::shared_ptr<CacheFolder>> open_cache(const Access& access, const Reading& reading) {
  if (access.cache.empty()) return std::shared_ptr<CacheFolder>();
  const bool direct = reading.bytes > memory_limit_bytes() / 2;
  BALLAST_ASSIGN(std::unique_ptr<CacheFolder> folder,
                 CacheFolder::open(access.cache, access.cache_bytes, direct));
  return std::shared_ptr<CacheFolder>(std::move(folder));
}

Result<std::unique_ptr<Source>> open_source(const std::string& location, const Access& access,
                                            const Reading& reading) {
  if (!is_remote(location)) {
    return std::unique_ptr<Source>(std::make_unique<LocalSource>(location, reading));
  }
  BALLAST_ASSIGN(std::unique_ptr<HttpSource> remote, open_remote(location, access));
  std::shared_ptr<CacheFolder> folder = reading.cache;
  if (folder == nullptr) {
    BALLAST_ASSIGN(folder, open_cache(access, reading));
  }
  if (folder == nullptr) return std::unique_ptr<Source>(std::move(remote));
  return std::unique_ptr<Source>(
      std::make_unique<CachedSource>(std::move(remote), std::move(folder)));
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
