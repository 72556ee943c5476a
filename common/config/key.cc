#include "common/config/key.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <type_traits>

namespace ballast {
namespace {

std::string_view type_name(KeyType type) {
  switch (type) {
    case KeyType::kInteger:
      return "integer";
    case KeyType::kNumber:
      return "number";
    case KeyType::kText:
      return "text";
    case KeyType::kBoolean:
      return "true or false";
    case KeyType::kChoice:
      return "one of";
    case KeyType::kTextList:
      return "list of texts";
    case KeyType::kNumberList:
      return "list of numbers";
  }
  return "";
}

// 3.0 -> "3": limits of integers are read by people.
std::string limit_text(double limit) {
  if (limit == std::floor(limit) && std::abs(limit) < 1e15) {
    return fmt::format("{}", static_cast<int64_t>(limit));
  }
  return fmt::format("{}", limit);
}

std::string quoted(std::string_view text) {
  std::string toml = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      toml += '\\';
      toml += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      toml += fmt::format("\\u{:04X}", static_cast<unsigned char>(c));
    } else {
      toml += c;
    }
  }
  return toml + '"';
}

// TOML wants a point or an exponent, or it is an integer.
std::string number_text(double value) {
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  return text;
}

}  // namespace

bool KeyRange::contains(double value) const {
  if (!std::isfinite(value)) return false;
  if (low_excluded ? value <= low : value < low) return false;
  return high_excluded ? value < high : value <= high;
}

std::string KeyRange::to_string() const {
  const bool has_low = std::isfinite(low);
  const bool has_high = std::isfinite(high) && high < 9e18;
  if (!has_low && !has_high) return "any finite value";
  if (has_low && has_high && !low_excluded && !high_excluded) {
    return fmt::format("{} to {}", limit_text(low), limit_text(high));
  }
  std::string text;
  if (has_low) text = fmt::format("{} {}", low_excluded ? "above" : "at least", limit_text(low));
  if (has_high) {
    text += fmt::format("{}{} {}", text.empty() ? "" : " and ", high_excluded ? "below" : "at most",
                        limit_text(high));
  }
  return text;
}

bool Key::belongs_to(std::string_view kind) const {
  return kinds.empty() || std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
}

std::string Key::allowed() const {
  if (type == KeyType::kChoice) {
    return fmt::format("one of {}", fmt::join(choices, ", "));
  }
  std::string words(type_name(type));
  const bool ranged =
      type == KeyType::kInteger || type == KeyType::kNumber || type == KeyType::kNumberList;
  if (ranged) words += fmt::format(", {}", range.to_string());
  if (!unit.empty()) words += fmt::format(" {}", unit);
  return words;
}

const Key* Section::find(std::string_view key) const {
  for (const Key& candidate : keys) {
    if (candidate.name == key) return &candidate;
  }
  return nullptr;
}

std::string Section::kind_of(const JobConfig& job, size_t index) const {
  const Key* kind = find("kind");
  return kind == nullptr ? "" : std::get<std::string>(kind->get(job, index));
}

std::string Section::path(std::string_view key, size_t index) const {
  return repeated ? fmt::format("{}[{}].{}", name, index, key) : fmt::format("{}.{}", name, key);
}

std::string to_toml(const KeyValue& value) {
  const auto list = [](const auto& items, auto&& write) {
    std::string text = "[";
    for (size_t i = 0; i < items.size(); ++i) text += (i == 0 ? "" : ", ") + write(items[i]);
    return text + "]";
  };
  return std::visit(
      [&](const auto& held) -> std::string {
        using Held = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<Held, bool>) return held ? "true" : "false";
        if constexpr (std::is_same_v<Held, int64_t>) return fmt::format("{}", held);
        if constexpr (std::is_same_v<Held, double>) return number_text(held);
        if constexpr (std::is_same_v<Held, std::string>) return quoted(held);
        if constexpr (std::is_same_v<Held, std::vector<std::string>>) return list(held, quoted);
        if constexpr (std::is_same_v<Held, std::vector<double>>) return list(held, number_text);
      },
      value);
}

}  // namespace ballast
