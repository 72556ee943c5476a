#include "common/config/toml_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "common/config/nearest.h"

namespace ballast {
namespace {

constexpr size_t kShownTextMax = 60;

// A scalar as the user wrote it, near enough to find it; empty for lists and tables.
std::string shown(const toml::node& node) {
  if (const auto* text = node.as_string()) {
    std::string value = text->get();
    if (value.size() > kShownTextMax) value = value.substr(0, kShownTextMax) + "...";
    return to_toml(value);
  }
  if (const auto* integer = node.as_integer()) return to_toml(integer->get());
  if (const auto* number = node.as_floating_point()) return to_toml(number->get());
  if (const auto* boolean = node.as_boolean()) return to_toml(boolean->get());
  return "";
}

// "train.batch = 0", or "train.batch" when the value is a list or a table.
std::string assignment(const std::string& path, const toml::node& node) {
  const std::string value = shown(node);
  return value.empty() ? path : fmt::format("{} = {}", path, value);
}

Status wrong_type(const Key& key, const std::string& path, const toml::node& node) {
  return Status(Code::kInvalidInput, fmt::format("{} is {}; expected {}", assignment(path, node),
                                                 describe_type(node), key.allowed()));
}

Status out_of_range(const Key& key, const std::string& path, const toml::node& node) {
  const std::string unit = key.unit.empty() ? "" : " " + key.unit;
  return Status(Code::kInvalidInput,
                fmt::format("{} is out of range; allowed: {}{}", assignment(path, node),
                            key.range.to_string(), unit));
}

std::optional<double> as_number(const toml::node& node) {
  if (const auto* number = node.as_floating_point()) return number->get();
  if (const auto* integer = node.as_integer()) return static_cast<double>(integer->get());
  return std::nullopt;
}

Result<KeyValue> checked_choice(const Key& key, const std::string& path, const std::string& word) {
  if (std::count(key.choices.begin(), key.choices.end(), word) > 0) return KeyValue(word);
  return Status(Code::kInvalidInput,
                fmt::format("{} = {} is not known; expected {}{}", path, to_toml(word),
                            key.allowed(), did_you_mean(word, key.choices)));
}

Result<KeyValue> text_list(const Key& key, const std::string& path, const toml::node& node) {
  if (!node.is_array()) return wrong_type(key, path, node);
  std::vector<std::string> texts;
  for (const toml::node& item : *node.as_array()) {
    const std::string place = fmt::format("{}[{}]", path, texts.size());
    if (!item.is_string()) return wrong_type(key, place, item);
    texts.push_back(item.as_string()->get());
  }
  return KeyValue(std::move(texts));
}

Result<KeyValue> number_list(const Key& key, const std::string& path, const toml::node& node) {
  if (!node.is_array()) return wrong_type(key, path, node);
  std::vector<double> numbers;
  for (const toml::node& item : *node.as_array()) {
    const std::string place = fmt::format("{}[{}]", path, numbers.size());
    const std::optional<double> number = as_number(item);
    if (!number) return wrong_type(key, place, item);
    if (!key.range.contains(*number)) return out_of_range(key, place, item);
    numbers.push_back(*number);
  }
  return KeyValue(std::move(numbers));
}

}  // namespace

std::string describe_type(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::table:
      return "a table";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::string:
      return "a text";
    case toml::node_type::integer:
      return "an integer";
    case toml::node_type::floating_point:
      return "a number";
    case toml::node_type::boolean:
      return "true or false";
    default:
      return "a date or time";
  }
}

Result<KeyValue> key_value(const Key& key, const std::string& path, const toml::node& node) {
  switch (key.type) {
    case KeyType::kInteger: {
      if (!node.is_integer()) return wrong_type(key, path, node);
      const int64_t value = node.as_integer()->get();
      if (!key.range.contains(static_cast<double>(value))) return out_of_range(key, path, node);
      return KeyValue(value);
    }
    case KeyType::kNumber: {
      const std::optional<double> value = as_number(node);
      if (!value) return wrong_type(key, path, node);
      if (!key.range.contains(*value)) return out_of_range(key, path, node);
      return KeyValue(*value);
    }
    case KeyType::kBoolean:
      if (!node.is_boolean()) return wrong_type(key, path, node);
      return KeyValue(node.as_boolean()->get());
    case KeyType::kText:
      if (!node.is_string()) return wrong_type(key, path, node);
      return KeyValue(node.as_string()->get());
    case KeyType::kChoice:
      if (!node.is_string()) return wrong_type(key, path, node);
      return checked_choice(key, path, node.as_string()->get());
    case KeyType::kTextList:
      return text_list(key, path, node);
    case KeyType::kNumberList:
      return number_list(key, path, node);
  }
  return Status(Code::kInternal, fmt::format("{} has no type", path));
}

Result<KeyValue> key_value(const Key& key, const std::string& path, const std::string& text) {
  const bool is_word = key.type == KeyType::kText || key.type == KeyType::kChoice;
  const bool is_quoted = !text.empty() && (text.front() == '"' || text.front() == '\'');
  if (is_word && !is_quoted) {
    if (key.type == KeyType::kChoice) return checked_choice(key, path, text);
    return KeyValue(text);
  }
  try {
    const toml::table table = toml::parse("value = " + text);
    if (table.size() == 1) return key_value(key, path, *table.get("value"));
  } catch (const toml::parse_error&) {
    // Said below, with what was expected.
  }
  return Status(Code::kInvalidInput,
                fmt::format("{} = {} cannot be read; expected {}", path, text, key.allowed()));
}

}  // namespace ballast
