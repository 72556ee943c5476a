// JoinedSource: the sources of several data sets as one. Its objects have the number of their
// source before their name, "1/00ab...blc"; messages name them as the source itself does.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "worker/data/source/source.h"

namespace ballast {

class JoinedSource final : public Source {
 public:
  // Shared: a data set that is opened by itself keeps its own.
  explicit JoinedSource(std::vector<std::shared_ptr<Source>> parts);

  // What an object of a part is called here.
  [[nodiscard]] static std::string object_of(size_t part, std::string_view object);

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;
  void read_hashed(const std::string& object, uint64_t offset, std::span<std::byte> into,
                   DoneHashed done) override;
  Status read_now(const std::string& object, uint64_t offset, std::span<std::byte> into) override;
  Result<uint64_t> size_of(const std::string& object) override;
  void forget(const std::string& object, uint64_t offset, uint64_t bytes) override;
  void expect(const std::string& object, uint64_t offset, uint64_t bytes, uint64_t when) override;
  void reached(uint64_t when) override {
    for (const auto& part : parts_) part->reached(when);
  }
  // One of them is.
  [[nodiscard]] bool is_remote() const override { return is_remote_; }
  [[nodiscard]] std::string name_of(const std::string& object) const override;

 private:
  struct Found {
    Source& part;
    std::string object;
  };
  [[nodiscard]] Found find(const std::string& object) const;

  // Threads of a part may call while parts before it are gone: they touch their own part alone.
  const std::vector<std::shared_ptr<Source>> parts_;
  const bool is_remote_;
};

}  // namespace ballast
