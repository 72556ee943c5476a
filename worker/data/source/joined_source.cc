#include "worker/data/source/joined_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "common/base/check.h"

namespace ballast {

JoinedSource::JoinedSource(std::vector<std::shared_ptr<Source>> parts)
    : parts_(std::move(parts)),
      is_remote_(std::ranges::any_of(parts_, [](const auto& part) { return part->is_remote(); })) {
  BALLAST_CHECK(!parts_.empty());
}

std::string JoinedSource::object_of(size_t part, std::string_view object) {
  return fmt::format("{}/{}", part, object);
}

JoinedSource::Found JoinedSource::find(const std::string& object) const {
  size_t part = 0;
  const char* end = object.data() + object.size();
  const auto [slash, error] = std::from_chars(object.data(), end, part);
  BALLAST_CHECK(error == std::errc() && slash != end && *slash == '/' && part < parts_.size());
  return {*parts_[part], std::string(slash + 1, end)};
}

void JoinedSource::read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                        Done done) {
  const Found found = find(object);
  found.part.read(found.object, offset, into, std::move(done));
}

void JoinedSource::read_hashed(const std::string& object, uint64_t offset,
                               std::span<std::byte> into, DoneHashed done) {
  const Found found = find(object);
  found.part.read_hashed(found.object, offset, into, std::move(done));
}

Status JoinedSource::read_now(const std::string& object, uint64_t offset,
                              std::span<std::byte> into) {
  const Found found = find(object);
  return found.part.read_now(found.object, offset, into);
}

Result<uint64_t> JoinedSource::size_of(const std::string& object) {
  const Found found = find(object);
  return found.part.size_of(found.object);
}

void JoinedSource::forget(const std::string& object, uint64_t offset, uint64_t bytes) {
  const Found found = find(object);
  found.part.forget(found.object, offset, bytes);
}

void JoinedSource::expect(const std::string& object, uint64_t offset, uint64_t bytes,
                          uint64_t when) {
  const Found found = find(object);
  found.part.expect(found.object, offset, bytes, when);
}

std::string JoinedSource::name_of(const std::string& object) const {
  const Found found = find(object);
  return found.part.name_of(found.object);
}

}  // namespace ballast
