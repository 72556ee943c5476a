#include "common/storage/safetensors_header.h"

#include <fmt/format.h>

#include <functional>
#include <set>
#include <utility>

namespace ballast {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
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

// Objects of strings and of objects, arrays of whole numbers: all that such a header may hold.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Result<SafetensorsHeader> header() {
    SafetensorsHeader header;
    BALLAST_RETURN_IF_ERROR(object([&](std::string name) {
      if (name == kMetadataKey) return metadata(header.metadata);
      header.entries.push_back({std::move(name), {}, {}, 0, 0});
      return entry(header.entries.back());
    }));
    skip_spaces();
    if (at_ != text_.size()) return error("the end of the header");
    return header;
  }

 private:
  Status metadata(std::map<std::string, std::string>& out) {
    return object([&](std::string key) { return string(out[key]); });
  }

  Status entry(SafetensorsEntry& out) {
    std::vector<uint64_t> offsets;
    BALLAST_RETURN_IF_ERROR(object([&](const std::string& key) {
      if (key == "dtype") return string(out.dtype);
      if (key == "shape") return numbers(out.shape);
      if (key == "data_offsets") return numbers(offsets);
      return error("dtype, shape or data_offsets as key");
    }));
    if (out.dtype.empty() || offsets.size() != 2) {
      return error(fmt::format("a dtype and two data_offsets of \"{}\"", out.name));
    }
    out.begin = offsets[0];
    out.end = offsets[1];
    return Status();
  }

  // Calls `value` with each key, where it must take the value. A key twice is an error.
  Status object(const std::function<Status(std::string)>& value) {
    BALLAST_RETURN_IF_ERROR(expect('{'));
    if (accept('}')) return Status();
    std::set<std::string> keys;
    do {
      std::string key;
      BALLAST_RETURN_IF_ERROR(string(key));
      if (!keys.insert(key).second) return error(fmt::format("key \"{}\" only once", key));
      BALLAST_RETURN_IF_ERROR(expect(':'));
      BALLAST_RETURN_IF_ERROR(value(std::move(key)));
    } while (accept(','));
    return expect('}');
  }

  Status numbers(std::vector<uint64_t>& out) {
    out.clear();
    BALLAST_RETURN_IF_ERROR(expect('['));
    if (accept(']')) return Status();
    do {
      uint64_t number = 0;
      BALLAST_RETURN_IF_ERROR(whole_number(number));
      out.push_back(number);
    } while (accept(','));
    return expect(']');
  }

  Status whole_number(uint64_t& out) {
    skip_spaces();
    const size_t first = at_;
    out = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<uint64_t>(text_[at_] - '0');
      if (__builtin_mul_overflow(out, uint64_t{10}, &out) ||
          __builtin_add_overflow(out, digit, &out)) {
        return error("a number below 2^64");
      }
    }
    return at_ > first ? Status() : error("a whole number");
  }

  Status string(std::string& out) {
    out.clear();
    BALLAST_RETURN_IF_ERROR(expect('"'));
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return error("no control character");
      if (text_[at_] == '\\') {
        BALLAST_RETURN_IF_ERROR(escape(out));
      } else {
        out += text_[at_++];
      }
    }
    if (at_ == text_.size()) return error("'\"'");
    ++at_;
    return Status();
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
    if (point >= 0xd800 && point < 0xdc00) {
      uint32_t low = 0;
      if (at_ == text_.size() || text_[at_] != '\\') return error("the second half of a pair");
      ++at_;
      BALLAST_RETURN_IF_ERROR(unicode(low));
      if (low < 0xdc00 || low > 0xdfff) return error("the second half of a pair");
      point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, point);
    return Status();
  }

  // "uXXXX" at the place behind the backslash.
  Status unicode(uint32_t& point) {
    if (at_ == text_.size() || text_[at_] != 'u') return error("an escape");
    ++at_;
    point = 0;
    for (int digit = 0; digit < 4; ++digit, ++at_) {
      const size_t value = at_ < text_.size()
                               ? std::string_view("0123456789abcdef").find(lower(text_[at_]))
                               : std::string_view::npos;
      if (value == std::string_view::npos) return error("four hex digits");
      point = point * 16 + static_cast<uint32_t>(value);
    }
    return Status();
  }

  static char lower(char c) { return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c; }

  void skip_spaces() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  bool accept(char wanted) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }

  Status expect(char wanted) {
    return accept(wanted) ? Status() : error(fmt::format("'{}'", wanted));
  }

  [[nodiscard]] Status error(const std::string& expected) const {
    const std::string found =
        at_ < text_.size() ? quoted(text_.substr(at_, 12)) : std::string("the end");
    return Status(Code::kDataLoss, fmt::format("header at character {}: expected {}, found {}", at_,
                                               expected, found));
  }

  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace

std::string format_safetensors_header(const SafetensorsHeader& header) {
  std::vector<std::string> members;
  if (!header.metadata.empty()) {
    std::vector<std::string> pairs;
    for (const auto& [key, value] : header.metadata) {
      pairs.push_back(quoted(key) + ":" + quoted(value));
    }
    members.push_back(fmt::format("{}:{{{}}}", quoted(kMetadataKey), fmt::join(pairs, ",")));
  }
  for (const SafetensorsEntry& entry : header.entries) {
    members.push_back(fmt::format("{}:{{\"dtype\":{},\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                                  quoted(entry.name), quoted(entry.dtype),
                                  fmt::join(entry.shape, ","), entry.begin, entry.end));
  }
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text) {
  return Parser(text).header();
}

}  // namespace ballast
