// Key and Section: what one key of a job file may hold, and which keys stand in one table.
// Immutable values; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "common/config/job_config.h"

namespace ballast {

enum class KeyType { kInteger, kNumber, kText, kBoolean, kChoice, kTextList, kNumberList };

// The value of a key without its place: integer, number, text (also a choice), and so on.
using KeyValue =
    std::variant<bool, int64_t, double, std::string, std::vector<std::string>, std::vector<double>>;

// Of integers, numbers, and each number of a list. Infinity (or the largest int64): no limit.
struct KeyRange {
  double low = -std::numeric_limits<double>::infinity();
  double high = std::numeric_limits<double>::infinity();
  bool low_excluded = false;
  bool high_excluded = false;

  [[nodiscard]] bool contains(double value) const;
  [[nodiscard]] std::string to_string() const;  // "1 to 64", "at least 0 and below 1", "any"
};

struct Key {
  std::string name;  // within its section
  KeyType type = KeyType::kText;
  KeyRange range;
  std::string unit;  // "ms", "samples"; empty: none
  std::string text;  // one sentence for people
  std::vector<std::string> choices;
  std::vector<std::string> kinds;  // the values of the section's `kind` it belongs to; empty: all
  bool required = false;
  std::string example;       // TOML text of the commented example; empty: the default
  bool fixes_result = true;  // part of the job hash: may not change when a job is resumed

  // `index` counts the tables of a repeated section; 0 elsewhere. The value fits the key's type.
  std::function<KeyValue(const JobConfig&, size_t index)> get;
  std::function<void(JobConfig&, size_t index, const KeyValue&)> set;

  [[nodiscard]] bool belongs_to(std::string_view kind) const;
  [[nodiscard]] std::string allowed() const;  // "integer, 1 to 64 samples", "sync, ssp or async"
};

struct Section {
  std::string name;  // "train.optimizer"
  std::string text;
  bool repeated = false;  // [[layer]]
  bool by_tool = false;   // written by `ballast-tool resolve`, not by people
  std::vector<Key> keys;
  std::vector<std::string> example_kinds;  // one table of the commented example each

  std::function<size_t(const JobConfig&)> count;  // repeated only
  std::function<void(JobConfig&)> append;         // repeated only

  [[nodiscard]] const Key* find(std::string_view key) const;
  [[nodiscard]] size_t table_count(const JobConfig& job) const { return repeated ? count(job) : 1; }
  // The value of its key `kind`; empty when it has none.
  [[nodiscard]] std::string kind_of(const JobConfig& job, size_t index) const;
  // "layer[2].units", "train.batch".
  [[nodiscard]] std::string path(std::string_view key, size_t index) const;
};

// A value as TOML; numbers in the shortest form that reads back to the same bits.
[[nodiscard]] std::string to_toml(const KeyValue& value);

}  // namespace ballast
