#include "common/config/key_reference.h"

#include <fmt/format.h>

#include "common/config/key_table.h"

namespace ballast {
namespace {

constexpr size_t kWidth = 100;

// `text` in lines of at most kWidth columns, each begun with `indent`.
std::string wrapped(std::string_view text, const std::string& indent) {
  std::string lines, line = indent;
  while (!text.empty()) {
    const size_t space = text.find(' ');
    const std::string_view word = text.substr(0, space);
    if (line.size() > indent.size() && line.size() + 1 + word.size() > kWidth) {
      lines += line;
      lines += '\n';
      line = indent;
    }
    if (line.size() > indent.size()) line += ' ';
    line += word;
    text = space == std::string_view::npos ? "" : text.substr(space + 1);
  }
  lines += line;
  lines += '\n';
  return lines;
}

// A job in which a table of the section exists and has this kind (empty: its default).
JobConfig sample_job(const Section& section, const std::string& kind) {
  JobConfig job;
  if (section.repeated) section.append(job);
  if (!kind.empty()) section.find("kind")->set(job, 0, kind);
  return job;
}

std::string default_text(const Section& section, const Key& key) {
  if (key.required) return "required";
  return fmt::format("default {}", to_toml(key.get(sample_job(section, ""), 0)));
}

std::string kinds_text(const Key& key) {
  return key.kinds.empty() ? "" : fmt::format(" (kind {})", fmt::join(key.kinds, ", "));
}

std::string header(const Section& section) {
  return fmt::format(fmt::runtime(section.repeated ? "[[{}]]" : "[{}]"), section.name);
}

// "# integer, 1 to 64 processes: processes that hold the weights", then the assignment.
std::string commented_key(const Section& section, const Key& key, const JobConfig& job) {
  const std::string value = key.example.empty() ? to_toml(key.get(job, 0)) : key.example;
  const bool live = key.belongs_to(section.kind_of(job, 0));
  const std::string comment = fmt::format("{}; {}{}. {}", key.allowed(), default_text(section, key),
                                          kinds_text(key), key.text);
  return wrapped(comment, "# ") + fmt::format("{}{} = {}\n", live ? "" : "# ", key.name, value);
}

std::string commented_table(const Section& section, const std::string& kind) {
  const JobConfig job = sample_job(section, kind);
  std::string text = header(section);
  text += '\n';
  for (const Key& key : section.keys) {
    if (section.repeated && !key.belongs_to(kind)) continue;  // another table shows it
    text += commented_key(section, key, job);
  }
  return text;
}

}  // namespace

std::string key_reference() {
  std::string text;
  for (const Section& section : key_table()) {
    text += fmt::format("{}{}  {}\n", text.empty() ? "" : "\n", header(section), section.text);
    for (const Key& key : section.keys) {
      text += fmt::format("  {}.{}\n", section.name, key.name);
      text += wrapped(
          fmt::format("{}; {}{}", key.allowed(), default_text(section, key), kinds_text(key)),
          "      ");
      text += wrapped(key.text, "      ");
    }
  }
  return text;
}

std::string reference_toml() {
  std::string text =
      "# Every key of a job file with its type, range, default and meaning; printed by\n"
      "# `ballast-tool keys --toml`. A page to look things up in, not a job to run: it names "
      "columns\n"
      "# that no bundled data set has, and one table of each kind. Jobs to run are beside it;\n"
      "# digits.toml needs nothing but launch/quickstart.\n";
  for (const Section& section : key_table()) {
    if (section.by_tool) continue;
    text += '\n';
    text += wrapped(section.text, "# ");
    if (!section.repeated) text += commented_table(section, "");
    for (size_t i = 0; i < section.example_kinds.size(); ++i) {
      if (i > 0) text += '\n';
      text += commented_table(section, section.example_kinds[i]);
    }
  }
  return text;
}

}  // namespace ballast
