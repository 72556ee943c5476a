#include "common/config/job_dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "common/base/hash.h"
#include "common/config/key_table.h"

namespace ballast {
namespace {

// Calls visit(section, index, key) for every key that has a meaning for the job, in table order.
template <typename Visit>
void for_each_key(const JobConfig& job, Visit&& visit) {
  for (const Section& section : key_table()) {
    for (size_t index = 0; index < section.table_count(job); ++index) {
      const std::string kind = section.kind_of(job, index);
      for (const Key& key : section.keys) {
        if (key.belongs_to(kind)) visit(section, index, key);
      }
    }
  }
}

// Path and TOML value of every key that fixes the result.
std::vector<std::pair<std::string, std::string>> result_keys(const JobConfig& job) {
  std::vector<std::pair<std::string, std::string>> keys;
  for_each_key(job, [&](const Section& section, size_t index, const Key& key) {
    if (!key.fixes_result) return;
    keys.emplace_back(section.path(key.name, index), to_toml(key.get(job, index)));
  });
  return keys;
}

}  // namespace

std::string dump_job(const JobConfig& job) {
  std::string text;
  const Section* open_section = nullptr;
  size_t open_index = 0;
  for_each_key(job, [&](const Section& section, size_t index, const Key& key) {
    if (&section != open_section || index != open_index) {
      if (open_section != nullptr) text += '\n';
      text += fmt::format(fmt::runtime(section.repeated ? "[[{}]]\n" : "[{}]\n"), section.name);
      open_section = &section;
      open_index = index;
    }
    text += fmt::format("{} = {}\n", key.name, to_toml(key.get(job, index)));
  });
  return text;
}

std::string job_hash(const JobConfig& job) {
  Hasher hasher;
  for (const auto& [path, value] : result_keys(job)) {
    hasher.add(fmt::format("{} = {}\n", path, value));
  }
  return hex64(hasher.digest());
}

uint64_t run_number(const JobConfig& job) {
  return xxh3(job_hash(job) + " " + job.resolved.run);
}

std::vector<std::string> changed_result_keys(const JobConfig& from, const JobConfig& to) {
  const auto old_keys = result_keys(from);
  const auto new_keys = result_keys(to);
  const std::map<std::string, std::string> old_values(old_keys.begin(), old_keys.end());
  const std::map<std::string, std::string> new_values(new_keys.begin(), new_keys.end());
  std::vector<std::string> changes;
  for (const auto& [path, value] : old_keys) {
    const auto found = new_values.find(path);
    const std::string now = found == new_values.end() ? "gone" : found->second;
    if (now != value) changes.push_back(fmt::format("{}: {} -> {}", path, value, now));
  }
  for (const auto& [path, value] : new_keys) {
    if (!old_values.contains(path)) changes.push_back(fmt::format("{}: new, {}", path, value));
  }
  return changes;
}

}  // namespace ballast
