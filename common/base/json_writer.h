// JsonWriter: builds one JSON text, key by key, in the order of the calls (json_value.h reads one).
// NaN and infinities become null, as JSON has no word for them. Any thread, one at a time.
//
//   JsonWriter json;
//   json.open().key("mode").value("sync").key("steps").value(12).close();
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>

namespace ballast {

class JsonWriter {
 public:
  JsonWriter& open();        // {
  JsonWriter& close();       // }
  JsonWriter& open_list();   // [
  JsonWriter& close_list();  // ]
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(double number);
  JsonWriter& value(bool truth);
  template <std::integral Number>
  JsonWriter& value(Number number) {
    return raw(std::to_string(number));
  }

  [[nodiscard]] const std::string& text() const { return text_; }

 private:
  JsonWriter& raw(std::string_view token);
  void separate();

  std::string text_;
  bool first_ = true;  // nothing stands before in this object or list
};

}  // namespace ballast
