// CacheRange: a range of a content-named object, and the name of the file that keeps it, which is
// all there is to know of it: <object>-<offset>-<bytes>.cached. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace ballast {

struct CacheRange {
  std::string object;  // "0123456789abcdef.blc"
  uint64_t offset = 0;
  uint64_t bytes = 0;

  // Whether the object's name says what is in it, so that it may be kept.
  [[nodiscard]] static bool names_content(const std::string& object);
  // Nothing: no name that file_name() makes.
  [[nodiscard]] static std::optional<CacheRange> parse(const std::string& file_name);
  [[nodiscard]] std::string file_name() const;
  [[nodiscard]] bool overlaps(const CacheRange& other) const;
  [[nodiscard]] uint64_t on_disk() const;  // whole pages
};

}  // namespace ballast
