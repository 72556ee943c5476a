#include "common/config/job_file.h"

#include <fmt/format.h>
#include <toml++/toml.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <limits>
#include <map>
#include <set>

#include "common/base/check.h"
#include "common/config/job_check.h"
#include "common/config/job_text.h"
#include "common/config/key_table.h"
#include "common/config/lane_choice.h"
#include "common/config/nearest.h"
#include "common/config/toml_value.h"

namespace ballast {
namespace {

constexpr uint32_t kNoLine = std::numeric_limits<uint32_t>::max() - 1;  // after all lines
constexpr uint32_t kOverride = std::numeric_limits<uint32_t>::max();    // after the whole file

// Where a value was given; orders the problems.
struct Place {
  uint32_t line = kNoLine;
  std::string text;  // "digits.toml:14", "--set train.batch=0"
};

struct Problem {
  Place place;
  std::string text;
};

// "layer[2]", "train": a section as messages name one of its tables.
std::string table_path(const Section& section, size_t index) {
  return section.repeated ? fmt::format("{}[{}]", section.name, index) : section.name;
}

std::string header(const Section& section) {
  return fmt::format(fmt::runtime(section.repeated ? "[[{}]]" : "[{}]"), section.name);
}

// What a section should have been where something else was found.
std::string table_wanted(const Section& section) {
  return section.repeated
             ? fmt::format("a list of tables: {} above the keys of each", header(section))
             : fmt::format("one table: {} above its keys", header(section));
}

// Paths of all keys people may write, and the names of all sections with them.
std::vector<std::string> known_paths() {
  std::vector<std::string> paths;
  for (const Section& section : key_table()) {
    if (section.by_tool) continue;
    for (const Key& key : section.keys) paths.push_back(section.name + "." + key.name);
  }
  return paths;
}

std::vector<std::string> known_sections() {
  std::vector<std::string> names;
  for (const Section& section : key_table()) {
    if (!section.by_tool) names.push_back(section.name);
  }
  return names;
}

// Fills a JobConfig from a file and overrides and collects what is wrong on the way.
class JobReader {
 public:
  explicit JobReader(std::string name) : name_(std::move(name)) {}

  void read(std::string_view text);
  void override_key(const std::string& assignment);
  Result<JobConfig> finish();

 private:
  Place place_of(const toml::source_region& source) const {
    return {source.begin.line, fmt::format("{}:{}", name_, source.begin.line)};
  }
  void add_problem(Place place, std::string text) {
    problems_.push_back({std::move(place), std::move(text)});
  }

  void walk(const toml::table& table, const Section* section, size_t index);
  void open_section(const Section& section, const toml::node& node, const Place& place);
  void read_key(const Section& section, size_t index, const Key& key, const toml::node& node,
                const Place& place);
  void add_unknown(const Section* section, size_t index, const std::string& name,
                   const toml::node* node, const Place& place);
  bool is_table(std::string path, const Place& place);
  void store(const Key& key, const std::string& path, size_t index, Result<KeyValue> value,
             const Place& place);

  void check_tables();
  void check_table(const Section& section, size_t index);
  void check_rules();
  [[nodiscard]] bool spoiled(const std::string& path) const;
  [[nodiscard]] Place place_of_rule(const JobProblem& problem) const;
  [[nodiscard]] Place place_of_table(const std::string& table) const;

  std::string name_;
  JobConfig job_;
  std::vector<Problem> problems_;
  std::map<std::string, Place> given_;   // key paths with a value
  std::map<std::string, Place> tables_;  // tables that were opened
  std::set<std::string> spoiled_;        // key and table paths with a problem already
};

void JobReader::read(std::string_view text) {
  try {
    const toml::table root = toml::parse(text, name_);
    walk(root, nullptr, 0);
  } catch (const toml::parse_error& error) {
    const std::string what(error.description());
    const bool twice = what.find("redefine") != std::string::npos;
    const char* kind = twice ? "duplicate" : "not TOML";
    const char* hint = twice ? "; keep one of the two" : "";
    add_problem(place_of(error.source()), fmt::format("{}: {}{}", kind, what, hint));
    spoiled_.insert("");
  }
}

void JobReader::walk(const toml::table& table, const Section* section, size_t index) {
  for (const auto& [toml_key, node] : table) {
    const std::string name(toml_key.str());
    const Place place = place_of(toml_key.source());
    const std::string child = section == nullptr ? name : section->name + "." + name;
    if (const Section* inner = find_section(child)) {
      open_section(*inner, node, place);
      continue;
    }
    const Key* key = section == nullptr ? nullptr : section->find(name);
    if (key != nullptr) {
      read_key(*section, index, *key, node, place);
    } else {
      add_unknown(section, index, name, &node, place);
    }
  }
}

void JobReader::open_section(const Section& section, const toml::node& node, const Place& place) {
  const auto* array = node.as_array();
  const bool tables = array != nullptr && (array->empty() || array->is_homogeneous<toml::table>());
  if (section.repeated && tables) {
    given_[section.name] = place;
    for (const toml::node& item : *array) {
      const size_t index = section.count(job_);
      section.append(job_);
      tables_[table_path(section, index)] = place_of(item.source());
      walk(*item.as_table(), &section, index);
    }
    return;
  }
  if (!section.repeated && node.is_table()) {
    tables_[section.name] = place;
    walk(*node.as_table(), &section, 0);
    return;
  }
  spoiled_.insert(section.name);
  const std::string found = tables && !array->empty() ? "repeated" : describe_type(node);
  add_problem(place,
              fmt::format("{} is {}; expected {}", section.name, found, table_wanted(section)));
}

void JobReader::read_key(const Section& section, size_t index, const Key& key,
                         const toml::node& node, const Place& place) {
  const std::string path = section.path(key.name, index);
  store(key, path, index, key_value(key, path, node), place);
}

void JobReader::store(const Key& key, const std::string& path, size_t index, Result<KeyValue> value,
                      const Place& place) {
  given_[path] = place;
  if (!value.ok()) {
    spoiled_.insert(path);
    add_problem(place, value.status().to_string());
    return;
  }
  key.set(job_, index, *value);
}

// `node` is null for an override.
void JobReader::add_unknown(const Section* section, size_t index, const std::string& name,
                            const toml::node* node, const Place& place) {
  const std::string path = section == nullptr ? name : section->path(name, index);
  const std::string plain = section == nullptr ? name : section->name + "." + name;
  if (node != nullptr && (node->is_table() || node->is_array_of_tables())) {
    const std::string near = nearest_path(plain, known_sections());
    const std::string hint =
        near.empty() ? fmt::format("known tables: {}", fmt::join(known_sections(), ", "))
                     : fmt::format("did you mean {}?", header(*find_section(near)));
    spoiled_.insert(near);
    add_problem(place, fmt::format("unknown table {}; {}", path, hint));
    return;
  }
  std::string near = nearest_path(plain, known_paths());
  if (section != nullptr && near.starts_with(section->name + ".")) {
    const std::string last = near.substr(section->name.size() + 1);
    if (section->find(last) != nullptr) near = section->path(last, index);
  }
  std::vector<std::string> siblings;
  if (section != nullptr) {
    for (const Key& key : section->keys) siblings.push_back(key.name);
  }
  const std::string hint =
      !near.empty() ? fmt::format("did you mean {}?", near)
      : section != nullptr
          ? fmt::format("keys of {}: {}", header(*section), fmt::join(siblings, ", "))
          : fmt::format("known tables: {}", fmt::join(known_sections(), ", "));
  spoiled_.insert(near);
  add_problem(place, fmt::format("unknown key {}; {}", path, hint));
}

// "layer[2]" -> 2; kNoLine: no number in brackets at the end.
size_t index_of(std::string& table) {
  const size_t open = table.find('[');
  if (open == std::string::npos || table.back() != ']') return kNoLine;
  size_t index = 0;
  const char* last = table.data() + table.size() - 1;
  const auto [end, error] = std::from_chars(table.data() + open + 1, last, index);
  if (error != std::errc() || end != last) return kNoLine;
  table.resize(open);
  return index;
}

// Whether an override names a whole table; then it is said.
bool JobReader::is_table(std::string path, const Place& place) {
  index_of(path);
  const Section* section = find_section(path);
  if (section == nullptr || section->by_tool) return false;
  add_problem(place, fmt::format("{} is a table; expected one of its keys, such as {}", path,
                                 section->path(section->keys.front().name, 0)));
  return true;
}

void JobReader::override_key(const std::string& assignment) {
  const Place place{kOverride, "--set " + assignment};
  const size_t equals = assignment.find('=');
  const std::string path = assignment.substr(0, equals);
  const size_t dot = path.rfind('.');
  if (equals == std::string::npos || equals == 0) {
    add_problem(place, "expected key=value, as in train.batch=64");
    return;
  }
  std::string table = dot == std::string::npos ? "" : path.substr(0, dot);
  const std::string name = dot == std::string::npos ? path : path.substr(dot + 1);
  const size_t index = index_of(table);
  const Section* section = find_section(table);
  if (section != nullptr && section->by_tool) {
    add_problem(place, fmt::format("{} is read from the data and cannot be set", path));
    return;
  }
  if (is_table(path, place)) return;
  const Key* key = section == nullptr ? nullptr : section->find(name);
  if (key == nullptr) {
    add_unknown(section, index == kNoLine ? 0 : index, section == nullptr ? path : name, nullptr,
                place);
    return;
  }
  const size_t count = section->table_count(job_);
  if (section->repeated && index >= count) {
    add_problem(place, fmt::format("the job has {} {}; expected {}[i].{} with i below {}", count,
                                   header(*section), section->name, name, count));
    return;
  }
  if (!section->repeated && index != kNoLine) {
    add_problem(place, fmt::format("{} is not repeated; expected {}.{}", table, table, name));
    return;
  }
  const size_t row = section->repeated ? index : 0;
  store(*key, section->path(name, row), row,
        key_value(*key, section->path(name, row), assignment.substr(equals + 1)), place);
}

bool JobReader::spoiled(const std::string& path) const {
  // A syntax error spoils all; a section or one of its tables spoils its keys.
  if (spoiled_.contains("") || spoiled_.contains(path)) return true;
  const std::string table = path.substr(0, path.rfind('.'));
  return spoiled_.contains(table) || spoiled_.contains(table.substr(0, table.find('[')));
}

Place JobReader::place_of_table(const std::string& table) const {
  const auto found = tables_.find(table);
  return found == tables_.end() ? Place{kNoLine, name_} : found->second;
}

// Keys that are missing, and keys that mean nothing for the table's kind.
void JobReader::check_table(const Section& section, size_t index) {
  const std::string table = table_path(section, index);
  const std::string kind_path = section.path("kind", index);
  const Key* kind_key = section.find("kind");
  const bool kind_missing =
      kind_key != nullptr && kind_key->required && !given_.contains(kind_path);
  if (kind_missing || spoiled(kind_path)) spoiled_.insert(table);
  const std::string kind = section.kind_of(job_, index);
  for (const Key& key : section.keys) {
    const std::string path = section.path(key.name, index);
    const bool given = given_.contains(path);
    if (&key == kind_key ? !kind_missing : spoiled(path)) continue;
    if (!given && key.required && key.belongs_to(kind)) {
      spoiled_.insert(path);
      add_problem(place_of_table(table),
                  fmt::format("{} is missing; expected {}: {}", path, key.allowed(), key.text));
    }
    if (given && !key.belongs_to(kind)) {
      add_problem(given_.at(path),
                  fmt::format("{} has no meaning for {} = \"{}\"; it belongs to {}", path,
                              kind_path, kind, fmt::join(key.kinds, ", ")));
    }
  }
}

void JobReader::check_tables() {
  for (const Section& section : key_table()) {
    if (section.by_tool || spoiled_.contains("")) continue;
    for (size_t index = 0; index < section.table_count(job_); ++index) check_table(section, index);
  }
}

// An override is the likelier cause, then the first key named.
Place JobReader::place_of_rule(const JobProblem& problem) const {
  Place best{kNoLine, name_};
  for (const std::string& key : problem.keys) {
    const auto found = given_.find(key);
    if (found == given_.end()) continue;
    if (found->second.line == kOverride) return found->second;
    if (best.line == kNoLine) best = found->second;
  }
  return best;
}

void JobReader::check_rules() {
  for (const JobProblem& problem : find_problems(job_)) {
    const auto is_spoiled = [this](const std::string& key) { return spoiled(key); };
    if (std::any_of(problem.keys.begin(), problem.keys.end(), is_spoiled)) continue;
    add_problem(place_of_rule(problem), problem.text);
  }
}

Result<JobConfig> JobReader::finish() {
  check_tables();
  check_rules();
  if (!problems_.empty()) {
    std::stable_sort(problems_.begin(), problems_.end(), [](const Problem& a, const Problem& b) {
      return a.place.line < b.place.line;
    });
    std::string text;
    for (const Problem& problem : problems_) {
      text += fmt::format("{}{}: {}", text.empty() ? "" : "\n", problem.place.text, problem.text);
    }
    return Status(Code::kInvalidInput, text);
  }
  if (job_.train.lanes == 0) {
    BALLAST_ASSIGN(job_.train.lanes,
                   default_lanes(job_.train.mode, job_.train.batch, job_.cluster.workers));
  }
  return std::move(job_);
}

// Folders become absolute; URLs stay.
void make_absolute(std::string& path) {
  if (path.empty() || path.find("://") != std::string::npos) return;
  path = std::filesystem::absolute(path).lexically_normal().string();
}

}  // namespace

Result<JobConfig> parse_job(std::string_view text, const std::string& name,
                            const std::vector<std::string>& overrides) {
  JobReader reader(name);
  reader.read(text);
  for (const std::string& assignment : overrides) reader.override_key(assignment);
  return reader.finish();
}

Result<JobConfig> load_job(const std::string& path, const std::vector<std::string>& overrides) {
  BALLAST_ASSIGN(const std::string text, read_job_text(path));
  BALLAST_ASSIGN(JobConfig job, parse_job(text, path, overrides));
  make_absolute(job.data.train);
  for (MixConfig& set : job.data.mix) make_absolute(set.train);
  make_absolute(job.data.test);
  make_absolute(job.data.cache);
  make_absolute(job.data.ca_file);
  return job;
}

}  // namespace ballast
