#include "worker/data/convert/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace ballast {

namespace {

constexpr uint32_t kDepthMax = 64;

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Result<JsonValue> parse() {
    JsonValue value;
    if (!take_value(value, 0) || (skip_blanks(), at_ != text_.size())) {
      return Status(Code::kInvalidInput, fmt::format("byte {}: {} expected", at_, expected_));
    }
    return value;
  }

 private:
  bool wrong(const char* expected) {
    expected_ = expected;
    return false;
  }
  void skip_blanks() {
    while (at_ < text_.size() &&
           std::string_view(" \t\r\n").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }
  bool take(char c) {
    skip_blanks();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool take_value(JsonValue& value, uint32_t depth) {
    if (depth > kDepthMax) return wrong("no more than 64 levels");
    skip_blanks();
    if (take('{')) return take_members(value, depth);
    if (take('[')) return take_items(value, depth);
    if (at_ < text_.size() && text_[at_] == '"') {
      value.kind = JsonValue::Kind::kString;
      return take_string(value.text);
    }
    if (take_word("null")) return true;
    for (const std::string_view word : {"true", "false"}) {
      if (!take_word(word)) continue;
      value.kind = JsonValue::Kind::kBool;
      value.text = word;
      return true;
    }
    const size_t end = std::min(text_.find_first_not_of("+-.0123456789eE", at_), text_.size());
    if (end == at_) return wrong("a value");
    value.kind = JsonValue::Kind::kNumber;
    value.text = text_.substr(at_, end - at_);
    at_ = end;
    return true;
  }

  bool take_members(JsonValue& value, uint32_t depth) {
    value.kind = JsonValue::Kind::kObject;
    if (take('}')) return true;
    do {
      auto& [name, member] = value.members.emplace_back();
      skip_blanks();
      if (!take_string(name)) return false;
      if (!take(':')) return wrong("\":\"");
      if (!take_value(member, depth + 1)) return false;
    } while (take(','));
    return take('}') || wrong("\",\" or \"}\"");
  }

  bool take_items(JsonValue& value, uint32_t depth) {
    value.kind = JsonValue::Kind::kArray;
    if (take(']')) return true;
    do {
      if (!take_value(value.items.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']') || wrong("\",\" or \"]\"");
  }

  // Escapes of more than a character (\uXXXX) are refused: names of files and columns have none.
  bool take_string(std::string& out) {
    if (!take('"')) return wrong("a string");
    for (; at_ < text_.size() && text_[at_] != '"'; ++at_) {
      char c = text_[at_];
      if (c == '\\') {
        if (++at_ == text_.size()) return wrong("an escape");
        constexpr std::string_view kNames = "\"\\/bfnrt";
        constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
        const size_t which = kNames.find(text_[at_]);
        if (which == std::string_view::npos) return wrong("an escape of one character");
        c = kMeanings[which];
      }
      out += c;
    }
    return take('"') || wrong("the end of a string");
  }

  std::string_view text_;
  size_t at_ = 0;
  const char* expected_ = "the end";
};

}  // namespace

Result<JsonValue> JsonValue::parse(std::string_view text) {
  return JsonParser(text).parse();
}

const JsonValue* JsonValue::find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

std::optional<uint64_t> JsonValue::whole_number() const {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (kind != Kind::kNumber || error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace ballast
