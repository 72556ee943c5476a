// Reads a part of a trace back (common/base/trace.h).
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "common/base/json_value.h"

namespace ballast::testing {

struct ReadSpan {
  std::string track;
  std::string name;
  uint64_t begin = 0;  // ns
  uint64_t end = 0;
  bool overlaps = false;
  std::map<std::string, uint64_t> args;
};

// Every line must be JSON.
inline std::vector<JsonValue> trace_lines(const std::string& path) {
  std::vector<JsonValue> lines;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    auto value = JsonValue::parse(line);
    EXPECT_TRUE(value.ok()) << line;
    if (value.ok()) lines.push_back(std::move(value).value());
  }
  return lines;
}

// In the order of the file.
inline std::vector<ReadSpan> trace_spans(const std::string& path) {
  std::map<uint64_t, std::string> tracks;
  std::vector<ReadSpan> spans;
  for (const JsonValue& line : trace_lines(path)) {
    if (line.find("track") == nullptr) continue;
    std::string& track = tracks[line.find("track")->whole_number().value()];
    if (line.find("begin") == nullptr) {
      track = line.find("name")->text;
      continue;
    }
    ReadSpan span{.track = track,
                  .name = line.find("name")->text,
                  .begin = line.find("begin")->whole_number().value(),
                  .end = line.find("end")->whole_number().value(),
                  .overlaps = line.find("id") != nullptr,
                  .args = {}};
    for (const auto& [name, value] : line.find("args")->members) {
      span.args[name] = value.whole_number().value();
    }
    spans.push_back(std::move(span));
  }
  return spans;
}

}  // namespace ballast::testing
