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
#include "worker/data/source/http_source.h"
#include "worker/data/source/local_source.h"

namespace ballast {
namespace {

class LocalWorld final : public SourceWorld {
 public:
  LocalWorld() {
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
    return std::make_unique<LocalSource>(folder_, Reading{.threads = 3});
  }

 private:
  std::string folder_;
};

// Objects behind an http server.
class HttpWorld : public SourceWorld {
 public:
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

 protected:
  HttpAnswer answer(const HttpAsked& asked) {
    std::lock_guard lock(mutex_);
    if (forbidden_.contains(asked.path)) return {.code = 403};
    const auto found = objects_.find(asked.path);
    return found == objects_.end() ? HttpAnswer{.code = 404} : answer_with(asked, found->second);
  }

  std::mutex mutex_;  // guards the next two
  std::map<std::string, std::string> objects_;
  std::set<std::string> forbidden_;
  HttpServer server_{[this](const HttpAsked& asked) { return answer(asked); }};  // last
};

}  // namespace

std::vector<std::string> world_kinds() {
  return {"local", "http"};
}

std::unique_ptr<SourceWorld> make_world(const std::string& kind) {
  if (kind == "local") return std::make_unique<LocalWorld>();
  BALLAST_CHECK(kind == "http");
  return std::make_unique<HttpWorld>();
}

}  // namespace ballast
