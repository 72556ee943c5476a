#include "common/base/json_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

namespace ballast {

namespace {

constexpr uint32_t kDepthMax = 64;
constexpr size_t kFoundCharacters = 12;  // of the text, in an error

// Bytes that are no printable ASCII are written as hex, so that any text fits into a message.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c < 0x20 || c > 0x7e) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

void append_utf8(std::string& out, uint32_t point) {
  if (point < 0x80) {
    out += static_cast<char>(point);
  } else if (point < 0x800) {
    out += static_cast<char>(0xc0 | point >> 6);
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else if (point < 0x10000) {
    out += static_cast<char>(0xe0 | point >> 12);
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  } else {
    out += static_cast<char>(0xf0 | point >> 18);
    out += static_cast<char>(0x80 | (point >> 12 & 0x3f));
    out += static_cast<char>(0x80 | (point >> 6 & 0x3f));
    out += static_cast<char>(0x80 | (point & 0x3f));
  }
}

class JsonParser {
 public:
  explicit JsonParser(std::string_view text) : text_(text) {}

  Result<JsonValue> parse() {
    JsonValue whole;
    BALLAST_RETURN_IF_ERROR(value(whole, 1));
    skip_spaces();
    if (at_ != text_.size()) return error("the end of the text");
    return whole;
  }

 private:
  Status value(JsonValue& out, uint32_t depth) {
    skip_spaces();
    out.at = at_;
    switch (peek()) {
      case '{':
        return object(out, depth);
      case '[':
        return array(out, depth);
      case '"':
        out.kind = JsonValue::Kind::kString;
        return string(out.text);
      case 't':
        return word(out, JsonValue::Kind::kBool, "true");
      case 'f':
        return word(out, JsonValue::Kind::kBool, "false");
      case 'n':
        return word(out, JsonValue::Kind::kNull, "null");
      default:
        return number(out);
    }
  }

  Status object(JsonValue& out, uint32_t depth) {
    if (depth > kDepthMax) return error(fmt::format("no more than {} levels", kDepthMax));
    out.kind = JsonValue::Kind::kObject;
    ++at_;
    if (accept('}')) return Status();
    std::set<std::string> names;
    do {
      skip_spaces();
      const size_t name_at = at_;
      auto& [name, member] = out.members.emplace_back();
      BALLAST_RETURN_IF_ERROR(string(name));
      if (!names.insert(name).second) {
        at_ = name_at;
        return error(fmt::format("key {} only once", quoted(name)));
      }
      if (!accept(':')) return error("':'");
      BALLAST_RETURN_IF_ERROR(value(member, depth + 1));
    } while (accept(','));
    return accept('}') ? Status() : error("',' or '}'");
  }

  Status array(JsonValue& out, uint32_t depth) {
    if (depth > kDepthMax) return error(fmt::format("no more than {} levels", kDepthMax));
    out.kind = JsonValue::Kind::kArray;
    ++at_;
    if (accept(']')) return Status();
    do {
      BALLAST_RETURN_IF_ERROR(value(out.items.emplace_back(), depth + 1));
    } while (accept(','));
    return accept(']') ? Status() : error("',' or ']'");
  }

  Status word(JsonValue& out, JsonValue::Kind kind, std::string_view wanted) {
    if (!text_.substr(at_).starts_with(wanted)) return error("a value");
    out.kind = kind;
    if (kind == JsonValue::Kind::kBool) out.text = wanted;
    at_ += wanted.size();
    return Status();
  }

  // -12.5e+3: a leading zero stands alone, and each part has a digit.
  Status number(JsonValue& out) {
    const size_t first = at_;
    const bool negative = take('-');
    if (!digit()) return error(negative ? "a digit" : "a value");
    if (!take('0')) skip_digits();
    if (take('.')) BALLAST_RETURN_IF_ERROR(digits());
    if (take('e') || take('E')) {
      if (!take('+')) take('-');
      BALLAST_RETURN_IF_ERROR(digits());
    }
    out.kind = JsonValue::Kind::kNumber;
    out.text = text_.substr(first, at_ - first);
    return Status();
  }

  Status digits() {
    if (!digit()) return error("a digit");
    skip_digits();
    return Status();
  }

  Status string(std::string& out) {
    if (!take('"')) return error("'\"'");
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return error("no control character");
      if (text_[at_] == '\\') {
        BALLAST_RETURN_IF_ERROR(escape(out));
      } else {
        out += text_[at_++];
      }
    }
    return take('"') ? Status() : error("'\"'");
  }

  Status escape(std::string& out) {
    static constexpr std::string_view kNames = "\"\\/bfnrt";
    static constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
    ++at_;
    if (at_ == text_.size()) return error("an escape");
    if (const size_t index = kNames.find(text_[at_]); index != std::string_view::npos) {
      out += kValues[index];
      ++at_;
      return Status();
    }
    uint32_t point = 0;
    BALLAST_RETURN_IF_ERROR(unicode(point));
    if (point >= 0xdc00 && point < 0xe000) return error("the first half of the pair before");
    if (point >= 0xd800 && point < 0xdc00) {
      uint32_t low = 0;
      if (!take('\\')) return error("the second half of a pair");
      BALLAST_RETURN_IF_ERROR(unicode(low));
      if (low < 0xdc00 || low > 0xdfff) return error("the second half of a pair");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, point);
    return Status();
  }

  // "uXXXX" at the place behind the backslash.
  Status unicode(uint32_t& point) {
    if (!take('u')) return error("an escape");
    const std::string_view hex = text_.substr(at_, 4);
    const auto [end, wrong] = std::from_chars(hex.data(), hex.data() + hex.size(), point, 16);
    if (hex.size() < 4 || wrong != std::errc() || end != hex.data() + hex.size()) {
      return error("four hex digits");
    }
    at_ += 4;
    return Status();
  }

  // 0 at the end: no JSON begins so.
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  [[nodiscard]] bool digit() const { return peek() >= '0' && peek() <= '9'; }

  void skip_digits() {
    while (digit()) ++at_;
  }

  void skip_spaces() { at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size()); }

  bool take(char wanted) {
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  bool accept(char wanted) {
    skip_spaces();
    return take(wanted);
  }

  [[nodiscard]] Status error(std::string_view expected) const {
    return Status(Code::kInvalidInput, unexpected_json(text_, at_, expected));
  }

  std::string_view text_;
  size_t at_ = 0;
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

std::string unexpected_json(std::string_view text, size_t at, std::string_view expected) {
  return fmt::format(
      "at character {}: expected {}, found {}", at, expected,
      at < text.size() ? quoted(text.substr(at, kFoundCharacters)) : std::string("the end"));
}

}  // namespace ballast
