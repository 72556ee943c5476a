#include "common/storage/safetensors_header.h"

#include <fmt/format.h>

#include <utility>

#include "common/base/json_value.h"
#include "common/base/json_writer.h"

namespace ballast {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";

// What the format allows of JSON: objects of strings and of objects, lists of whole numbers.
class HeaderReader {
 public:
  explicit HeaderReader(std::string_view text) : text_(text) {}

  Result<SafetensorsHeader> read() {
    const Result<JsonValue> whole = JsonValue::parse(text_);
    if (!whole.ok()) return Status(Code::kDataLoss, "header " + whole.status().chain().front());
    BALLAST_RETURN_IF_ERROR(expect(*whole, JsonValue::Kind::kObject, "'{'"));
    SafetensorsHeader header;
    for (const auto& [name, value] : whole->members) {
      if (name == kMetadataKey) {
        BALLAST_RETURN_IF_ERROR(metadata(value, header.metadata));
      } else {
        header.entries.push_back({name, {}, {}, 0, 0});
        BALLAST_RETURN_IF_ERROR(entry(value, header.entries.back()));
      }
    }
    return header;
  }

 private:
  Status metadata(const JsonValue& value, std::map<std::string, std::string>& out) const {
    BALLAST_RETURN_IF_ERROR(expect(value, JsonValue::Kind::kObject, "'{'"));
    for (const auto& [key, text] : value.members) {
      BALLAST_RETURN_IF_ERROR(expect(text, JsonValue::Kind::kString, "'\"'"));
      out[key] = text.text;
    }
    return Status();
  }

  Status entry(const JsonValue& value, SafetensorsEntry& out) const {
    BALLAST_RETURN_IF_ERROR(expect(value, JsonValue::Kind::kObject, "'{'"));
    std::vector<uint64_t> offsets;
    for (const auto& [key, member] : value.members) {
      if (key == "dtype") {
        BALLAST_RETURN_IF_ERROR(expect(member, JsonValue::Kind::kString, "'\"'"));
        out.dtype = member.text;
      } else if (key == "shape") {
        BALLAST_RETURN_IF_ERROR(numbers(member, out.shape));
      } else if (key == "data_offsets") {
        BALLAST_RETURN_IF_ERROR(numbers(member, offsets));
      } else {
        return error(value, fmt::format("dtype, shape and data_offsets only, not \"{}\"", key));
      }
    }
    if (out.dtype.empty() || offsets.size() != 2) {
      return error(value, fmt::format("a dtype and two data_offsets of \"{}\"", out.name));
    }
    out.begin = offsets[0];
    out.end = offsets[1];
    return Status();
  }

  Status numbers(const JsonValue& value, std::vector<uint64_t>& out) const {
    BALLAST_RETURN_IF_ERROR(expect(value, JsonValue::Kind::kArray, "'['"));
    for (const JsonValue& item : value.items) {
      const std::optional<uint64_t> number = item.whole_number();
      if (!number) return error(item, "a whole number below 2^64");
      out.push_back(*number);
    }
    return Status();
  }

  Status expect(const JsonValue& value, JsonValue::Kind kind, std::string_view expected) const {
    return value.kind == kind ? Status() : error(value, expected);
  }

  [[nodiscard]] Status error(const JsonValue& value, std::string_view expected) const {
    return Status(Code::kDataLoss, "header " + unexpected_json(text_, value.at, expected));
  }

  std::string_view text_;
};

void write_numbers(JsonWriter& json, const std::vector<uint64_t>& numbers) {
  json.open_list();
  for (const uint64_t number : numbers) json.value(number);
  json.close_list();
}

}  // namespace

std::string format_safetensors_header(const SafetensorsHeader& header) {
  JsonWriter json;
  json.open();
  if (!header.metadata.empty()) {
    json.key(kMetadataKey).open();
    for (const auto& [key, value] : header.metadata) json.key(key).value(value);
    json.close();
  }
  for (const SafetensorsEntry& entry : header.entries) {
    json.key(entry.name).open();
    json.key("dtype").value(entry.dtype);
    write_numbers(json.key("shape"), entry.shape);
    write_numbers(json.key("data_offsets"), {entry.begin, entry.end});
    json.close();
  }
  return json.close().text();
}

Result<SafetensorsHeader> parse_safetensors_header(std::string_view text) {
  return HeaderReader(text).read();
}

}  // namespace ballast
