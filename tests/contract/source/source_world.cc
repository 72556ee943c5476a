#include "tests/contract/source/source_world.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <set>

#include "common/base/check.h"
#include "tests/support/http_server.h"
#include "worker/data/source/cached_source.h"
#include "worker/data/source/http_source.h"
#include "worker/data/source/local_source.h"
#include "worker/data/source/s3_source.h"

namespace ballast {
namespace {

// `bytes`: what is said to be read, more than any memory for reads past the page cache.
class LocalWorld final : public SourceWorld {
 public:
  explicit LocalWorld(uint64_t bytes = 0) : bytes_(bytes) {
    std::string name = testing::TempDir() + "ballast-source-XXXXXX";
    folder_ = mkdtemp(name.data());
    std::filesystem::permissions(folder_, std::filesystem::perms(0755));
  }
  ~LocalWorld() override { std::filesystem::remove_all(folder_); }

  void put(const std::string& object, const std::string& bytes) override {
    std::ofstream(folder_ + "/" + object, std::ios::binary) << bytes;
  }
  void forbid(const std::string& object) override {
    std::filesystem::permissions(folder_ + "/" + object, std::filesystem::perms::none);
  }
  std::unique_ptr<Source> open() override {
    return std::make_unique<LocalSource>(folder_, Reading{.bytes = bytes_, .threads = 3});
  }

 private:
  const uint64_t bytes_;
  std::string folder_;
};

// Objects behind an http server. `signed_only`: one who does not sign is refused.
class HttpWorld : public SourceWorld {
 public:
  explicit HttpWorld(bool signed_only = false) : signed_only_(signed_only) {}

  void put(const std::string& object, const std::string& bytes) override {
    std::lock_guard lock(mutex_);
    objects_["/data/" + object] = bytes;
  }
  void forbid(const std::string& object) override {
    std::lock_guard lock(mutex_);
    forbidden_.insert("/data/" + object);
  }
  std::unique_ptr<Source> open() override {
    return HttpSource::open(server_.url() + "/data/").value();
  }

 private:
  // On the server's threads, which go on while this is being destroyed: not virtual.
  HttpAnswer answer(const HttpAsked& asked) {
    if (signed_only_ && !asked.headers.contains("authorization")) return {.code = 403};
    std::lock_guard lock(mutex_);
    if (forbidden_.contains(asked.path)) return {.code = 403};
    const auto found = objects_.find(asked.path);
    return found == objects_.end() ? HttpAnswer{.code = 404} : answer_with(asked, found->second);
  }

  const bool signed_only_;
  std::mutex mutex_;  // guards the next two
  std::map<std::string, std::string> objects_;
  std::set<std::string> forbidden_;

 protected:
  HttpServer server_{[this](const HttpAsked& asked) { return answer(asked); }};  // last
};

// The same with a cache in front, that has to drop blocks.
class CachedWorld final : public HttpWorld {
 public:
  CachedWorld() {
    std::string name = testing::TempDir() + "ballast-cache-XXXXXX";
    folder_ = mkdtemp(name.data());
  }
  ~CachedWorld() override { std::filesystem::remove_all(folder_); }

  std::unique_ptr<Source> open() override {
    return std::make_unique<CachedSource>(HttpWorld::open(),
                                          CacheFolder::open(folder_, 1 << 18, false).value());
  }

 private:
  std::string folder_;
};

// The same behind an S3 endpoint.
class S3World final : public HttpWorld {
 public:
  S3World() : HttpWorld(/*signed_only=*/true) {}

  std::unique_ptr<Source> open() override {
    const Environment keys = [](const char* name) -> std::optional<std::string> {
      const std::string_view asked = name;
      if (asked == "AWS_ACCESS_KEY_ID") return "ID";
      return asked == "AWS_SECRET_ACCESS_KEY" ? std::optional<std::string>("SECRET") : std::nullopt;
    };
    return open_s3("s3://data", {.endpoint = server_.url()}, {}, keys).value();
  }
};

}  // namespace

std::vector<std::string> world_kinds() {
  return {"local", "direct", "http", "s3", "cached"};
}

std::unique_ptr<SourceWorld> make_world(const std::string& kind) {
  if (kind == "local") return std::make_unique<LocalWorld>();
  if (kind == "direct") return std::make_unique<LocalWorld>(~uint64_t{0});
  if (kind == "cached") return std::make_unique<CachedWorld>();
  if (kind == "s3") return std::make_unique<S3World>();
  BALLAST_CHECK(kind == "http");
  return std::make_unique<HttpWorld>();
}

}  // namespace ballast
