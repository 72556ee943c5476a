// The JSON header of a safetensors file: the small part of JSON the format uses, and nothing
// else. Pure; any thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace ballast {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;
  std::vector<uint64_t> shape;
  uint64_t begin = 0;  // bytes from the start of the data
  uint64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> entries;
  std::map<std::string, std::string> metadata;
};

[[nodiscard]] std::string format_safetensors_header(const SafetensorsHeader& header);
// kDataLoss: where in the text, what was expected and found.
[[nodiscard]] Result<SafetensorsHeader> parse_safetensors_header(std::string_view text);

}  // namespace ballast
