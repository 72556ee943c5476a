// SectionBuilder: declares the keys of one section over the struct that holds their values. Used by
// key_table.cc alone. Pure; any thread.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/config/choices.h"
#include "common/config/key.h"

namespace ballast {

// The modifiers (required, of,
// ...) speak of the key declared last.
template <typename Owner>
class SectionBuilder {
 public:
  using Locate = Owner& (*)(JobConfig&, size_t);

  SectionBuilder(std::string name, bool fixes_result, Locate locate, std::string text)
      : locate_(locate), fixes_result_(fixes_result) {
    section_.name = std::move(name);
    section_.text = std::move(text);
  }

  template <typename Int>
  SectionBuilder& integer(std::string name, Int Owner::*field, KeyRange range, std::string unit,
                          std::string text) {
    Key& key = add(std::move(name), KeyType::kInteger, std::move(text));
    key.range = range;
    key.unit = std::move(unit);
    bind<int64_t>(key, field);
    return *this;
  }
  SectionBuilder& number(std::string name, double Owner::*field, KeyRange range, std::string unit,
                         std::string text) {
    Key& key = add(std::move(name), KeyType::kNumber, std::move(text));
    key.range = range;
    key.unit = std::move(unit);
    bind<double>(key, field);
    return *this;
  }
  SectionBuilder& boolean(std::string name, bool Owner::*field, std::string text) {
    bind<bool>(add(std::move(name), KeyType::kBoolean, std::move(text)), field);
    return *this;
  }
  SectionBuilder& text(std::string name, std::string Owner::*field, std::string text) {
    bind<std::string>(add(std::move(name), KeyType::kText, std::move(text)), field);
    return *this;
  }
  SectionBuilder& texts(std::string name, std::vector<std::string> Owner::*field,
                        std::string text) {
    bind<std::vector<std::string>>(add(std::move(name), KeyType::kTextList, std::move(text)),
                                   field);
    return *this;
  }
  SectionBuilder& numbers(std::string name, std::vector<double> Owner::*field, KeyRange range,
                          std::string text) {
    Key& key = add(std::move(name), KeyType::kNumberList, std::move(text));
    key.range = range;
    bind<std::vector<double>>(key, field);
    return *this;
  }
  template <typename Enum>
  SectionBuilder& choice(std::string name, Enum Owner::*field, std::string text) {
    Key& key = add(std::move(name), KeyType::kChoice, std::move(text));
    for (std::string_view word : choice_names<Enum>()) key.choices.emplace_back(word);
    key.get = [locate = locate_, field](const JobConfig& job, size_t index) -> KeyValue {
      return std::string(name_of(read(locate, job, index).*field));
    };
    key.set = [locate = locate_, field](JobConfig& job, size_t index, const KeyValue& value) {
      const auto names = choice_names<Enum>();
      const auto found = std::find(names.begin(), names.end(), std::get<std::string>(value));
      BALLAST_CHECK(found != names.end());
      locate(job, index).*field = static_cast<Enum>(found - names.begin());
    };
    return *this;
  }

  SectionBuilder& required() {
    section_.keys.back().required = true;
    return *this;
  }
  SectionBuilder& example(std::string toml) {
    section_.keys.back().example = std::move(toml);
    return *this;
  }
  SectionBuilder& of(std::vector<std::string> kinds) {
    section_.keys.back().kinds = std::move(kinds);
    return *this;
  }
  SectionBuilder& fixes_result(bool fixes) {
    section_.keys.back().fixes_result = fixes;
    return *this;
  }
  SectionBuilder& by_tool() {
    section_.by_tool = true;
    return *this;
  }
  template <typename Tables>
  SectionBuilder& repeated(Tables tables, std::vector<std::string> example_kinds) {
    section_.repeated = true;
    section_.example_kinds = std::move(example_kinds);
    section_.count = [tables](const JobConfig& job) {
      return tables(const_cast<JobConfig&>(job)).size();  // only read here
    };
    section_.append = [tables](JobConfig& job) { tables(job).emplace_back(); };
    return *this;
  }

  Section take() { return std::move(section_); }

 private:
  static const Owner& read(Locate locate, const JobConfig& job, size_t index) {
    return locate(const_cast<JobConfig&>(job), index);  // only read by the callers
  }

  Key& add(std::string name, KeyType type, std::string text) {
    Key& key = section_.keys.emplace_back();
    key.name = std::move(name);
    key.type = type;
    key.text = std::move(text);
    key.fixes_result = fixes_result_;
    return key;
  }

  // `Stored` is the alternative of KeyValue; the field may be a narrower integer.
  template <typename Stored, typename Field>
  void bind(Key& key, Field Owner::*field) {
    key.get = [locate = locate_, field](const JobConfig& job, size_t index) -> KeyValue {
      return static_cast<Stored>(read(locate, job, index).*field);
    };
    key.set = [locate = locate_, field](JobConfig& job, size_t index, const KeyValue& value) {
      locate(job, index).*field = static_cast<Field>(std::get<Stored>(value));
    };
  }

  Locate locate_;
  bool fixes_result_;
  Section section_;
};

}  // namespace ballast
