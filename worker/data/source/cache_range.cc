#include "worker/data/source/cache_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace ballast {
namespace {

constexpr std::string_view kSuffix = ".cached";
constexpr std::string_view kChunkSuffix = ".blc";
constexpr size_t kDigits = 16;
constexpr uint64_t kPage = 4096;

bool is_hex(std::string_view text) {
  return text.size() == kDigits && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace

bool CacheRange::names_content(const std::string& object) {
  return object.size() == kDigits + kChunkSuffix.size() && object.ends_with(kChunkSuffix) &&
         is_hex(std::string_view(object).substr(0, kDigits));
}

std::optional<CacheRange> CacheRange::parse(const std::string& file_name) {
  const size_t length = 3 * kDigits + 2 + kSuffix.size();
  if (file_name.size() != length || !file_name.ends_with(kSuffix) || file_name[kDigits] != '-' ||
      file_name[2 * kDigits + 1] != '-') {
    return std::nullopt;
  }
  const auto part = [&file_name](size_t i) { return file_name.substr(i * (kDigits + 1), kDigits); };
  if (!is_hex(part(0)) || !is_hex(part(1)) || !is_hex(part(2))) return std::nullopt;
  return CacheRange{part(0) + std::string(kChunkSuffix), std::stoull(part(1), nullptr, 16),
                    std::stoull(part(2), nullptr, 16)};
}

std::string CacheRange::file_name() const {
  return fmt::format("{}-{:016x}-{:016x}{}", object.substr(0, kDigits), offset, bytes, kSuffix);
}

bool CacheRange::overlaps(const CacheRange& other) const {
  return object == other.object && offset < other.offset + other.bytes &&
         other.offset < offset + bytes;
}

uint64_t CacheRange::on_disk() const {
  return (bytes + kPage - 1) / kPage * kPage;
}

}  // namespace ballast
