#include "worker/tool/data_command.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "worker/data/dataset.h"
#include "worker/data/examine.h"
#include "worker/data/repair.h"
#include "worker/data/resolve_shapes.h"
#include "worker/tool/convert_command.h"
#include "worker/tool/data_plan.h"
#include "worker/tool/replay_command.h"
#include "worker/tool/schema_command.h"
#include "worker/tool/smote_command.h"

namespace ballast {

namespace {

std::string above_zero(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = error == std::errc() && end == text.data() + text.size();
  if (whole && std::isfinite(number) && number > 0) return "";
  return "a finite number above 0 expected, " + text + " found";
}

// A data set, and how it is reached.
struct Place {
  std::string folder;
  Access access;
};

// Shared with the callback that uses it. The options are the keys of a job file.
std::shared_ptr<Place> add_place(CLI::App& command) {
  auto place = std::make_shared<Place>();  // shared: lives as long as the callback
  command
      .add_option("folder", place->folder,
                  "a data set made by `data convert`: a folder, http(s)://... or s3://...")
      ->required();
  place->access = first_access_of({});
  command.add_option("--ca-file", place->access.http.ca_file, "as the key data.ca_file");
  command.add_option("--proxy", place->access.http.proxy, "as data.proxy");
  command.add_option("--s3-endpoint", place->access.s3.endpoint, "as data.s3.endpoint");
  command.add_option("--s3-region", place->access.s3.region, "as data.s3.region");
  command.add_option("--s3-profile", place->access.s3.profile, "as data.s3.profile");
  return place;
}

// "pixels u8 [8, 8], 64 bytes a row, zstd to 31 %".
std::string storage_text(const ColumnSpec& column, const StoredColumn& stored,
                         const Dataset& dataset) {
  std::string text = column.to_string();
  if (!column.variable) {
    text += fmt::format(", {} bytes a row", column.row_bytes());
  } else if (stored.rows > 0) {
    text += fmt::format(", {:.1f} bytes a row",
                        static_cast<double>(stored.raw_bytes) / static_cast<double>(stored.rows));
  }
  std::vector<std::string_view> codecs;
  for (Codec codec : stored.codecs) {
    if (codec != Codec::kNone) codecs.push_back(codec_name(codec));
  }
  if (!codecs.empty()) {
    text += fmt::format(
        ", {} to {:.0f} %", fmt::join(codecs, " and "),
        100.0 * static_cast<double>(stored.stored_bytes) / static_cast<double>(stored.raw_bytes));
  }
  if (stored.rows == dataset.rows()) return text;
  return text + fmt::format(", {} in {} rows",
                            column.variable ? "empty" : fmt::format("{}", column.default_value),
                            dataset.rows() - stored.rows);
}

Status inspect(const Place& place) {
  const std::string& folder = place.folder;
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset,
                 Dataset::open(place.folder, place.access));
  BALLAST_ASSIGN(const std::vector<LabelCount> labels, count_labels(*dataset));
  uint64_t bytes = 0;
  for (const ManifestChunk& chunk : dataset->manifest().chunks) bytes += chunk.bytes;
  fmt::print("data set      {}\nmanifest xxh3 {}\nrows          {}\n", folder,
             hex64(dataset->manifest_xxh3()), dataset->rows());
  fmt::print("stored        {} bytes in {} chunks, {} blocks\n", bytes,
             dataset->manifest().chunks.size(), dataset->block_count());
  BALLAST_ASSIGN(const std::vector<StoredColumn> storage, measure_storage(*dataset));
  for (size_t i = 0; i < storage.size(); ++i) {
    fmt::print("column        {}\n", storage_text(dataset->columns()[i], storage[i], *dataset));
  }
  for (const LabelCount& label : labels) {
    fmt::print("label         {} = {}: {} rows\n", dataset->manifest().label, label.label,
               label.count);
  }
  return {};
}

// All problems are shown; the first decides the exit code.
Status show(const std::vector<Status>& problems) {
  for (size_t i = 1; i < problems.size(); ++i) {
    fmt::print(stderr, "ballast-tool: {}\n", problems[i].to_string());
  }
  return problems.empty() ? Status() : problems.front();
}

Status show_whole(const Place& place) {
  const std::string& folder = place.folder;
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset,
                 Dataset::open(place.folder, place.access));
  fmt::print("{}: {} rows in {} blocks verified\n", folder, dataset->rows(),
             dataset->block_count());
  for (const std::string& name : unnamed_files(*dataset)) {
    fmt::print("note: {}/{} is no part of the data set\n", folder, name);
  }
  return {};
}

Status verify(const Place& place) {
  BALLAST_ASSIGN(const auto dataset, Dataset::open(place.folder, place.access));
  const Status damage = show(verify_dataset(place.folder, place.access));
  if (damage.ok()) return show_whole(place);
  const bool is_gone = damage.code() == Code::kNotFound;
  return is_gone ? damage.because(way_out_of_damage(*dataset)) : with_way_out(damage, *dataset);
}

void print_lost(const LostChunk& chunk) {
  if (!chunk.why_not_fetched.ok()) {
    fmt::print(stderr, "ballast-tool: {}\n", chunk.why_not_fetched.to_string());
  }
  fmt::print(
      "lost: rows {} to {} in {}{}\n", chunk.first_row, chunk.first_row + chunk.rows - 1,
      chunk.name,
      chunk.set_aside.empty() ? ", which is gone" : ", whose file is now " + chunk.set_aside);
}

Status repair(const Place& place, RepairOptions options) {
  options.access = place.access;
  const std::string& folder = place.folder;
  BALLAST_ASSIGN(const RepairReport report, repair_dataset(folder, options));
  for (const Status& problem : report.problems) {
    fmt::print(stderr, "ballast-tool: {}\n", problem.to_string());
  }
  for (const std::string& name : report.restored) {
    fmt::print("restored: {} from {}\n", name, options.from);
  }
  for (const LostChunk& chunk : report.lost) print_lost(chunk);
  if (report.is_whole()) return show_whole(place);
  return Status(Code::kDataLoss,
                fmt::format("{}: {} chunks are lost; repair it with --from and the place of a "
                            "copy, convert the sources again, or leave their rows out with --drop",
                            folder, report.lost.size()));
}

Status print_head(const Place& place, uint64_t rows) {
  constexpr uint64_t kValuesMax = 64;
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset,
                 Dataset::open(place.folder, place.access));
  const Result<std::string> text = head_text(*dataset, rows, kValuesMax);
  if (!text.ok()) return with_way_out(text.status(), *dataset);
  fmt::print("{}", *text);
  return {};
}

// The lines of `text` that are no comments: what a job file takes.
std::string without_comments(const std::string& text) {
  std::istringstream lines(text);
  std::string kept;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with('#')) kept += line + "\n";
  }
  return kept;
}

Status print_statistics(const Place& place, std::optional<bool> per_value, bool toml_only) {
  const std::string& folder = place.folder;
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset,
                 Dataset::open(place.folder, place.access));
  const auto measured = measure_columns(*dataset);
  if (!measured.ok()) return with_way_out(measured.status(), *dataset);
  const std::vector<ColumnStatistics>& columns = *measured;
  const std::string text =
      fmt::format("# {}: {} rows\n{}", folder, dataset->rows(),
                  statistics_text(columns, dataset->manifest().label, per_value));
  fmt::print("{}", toml_only ? without_comments(text) : text);
  for (const ColumnStatistics& column : columns) {
    if (!column.spec.variable) continue;
    fmt::print(
        "# {}: lists, which are not standardized; a job takes them by a transform of "
        "kind pad or multi_hot\n",
        column.spec.name);
  }
  return {};
}

void add_statistics(CLI::App& data, Status& outcome) {
  CLI::App* command =
      data.add_subcommand("stats", "mean, std, min and max of each column; lines for a job file");
  const auto text = [](const char* what, const char* bound) {
    return fmt::format("{}; the default {} {} values a row", what, bound, kPerValueMax);
  };
  const std::string each_text = text("each value of a row by itself", "up to");
  const std::string whole_text = text("all values of a column together", "over");
  CLI::Option* each = command->add_flag("--per-value", each_text);
  CLI::Option* whole = command->add_flag("--whole", whole_text);
  whole->excludes(each);
  const std::string toml_text = "only the [[data.transform]] tables, for a job file";
  CLI::Option* toml = command->add_flag("--toml", toml_text);
  command->callback([place = add_place(*command), each, whole, toml, &outcome] {
    std::optional<bool> per_value;
    if (*each || *whole) per_value = bool(*each);
    outcome = print_statistics(*place, per_value, bool(*toml));
  });
}

struct PlanArguments {
  ResolveOptions job;
  double samples_per_second = 0;
  std::string run_dir;
};

Status print_plan(const PlanArguments& arguments) {
  double rate = arguments.samples_per_second;
  if (!arguments.run_dir.empty()) {
    BALLAST_ASSIGN(rate, measured_rate(arguments.run_dir));
  }
  return run_data_plan(arguments.job, resolve_shapes, rate, std::cout);
}

void add_plan(CLI::App& data, Status& outcome) {
  CLI::App* command =
      data.add_subcommand("plan", "memory, disk, requests and MB/s of a job, before it starts");
  auto arguments = std::make_shared<PlanArguments>();  // shared: lives as long as the callback
  command->add_option("job", arguments->job.job_path, "the job file, in TOML")->required();
  command
      ->add_option("--set", arguments->job.overrides,
                   "key=value in place of the job file's; repeatable")
      ->allow_extra_args(false);
  CLI::Option* rate = command
                          ->add_option("--samples-per-second", arguments->samples_per_second,
                                       "what the job is to train")
                          ->check(above_zero);
  command->add_option("--run", arguments->run_dir, "a run that has ended, whose rate is taken")
      ->excludes(rate);
  command->callback([arguments, &outcome] { outcome = print_plan(*arguments); });
}

void add_verify(CLI::App& data, Status& outcome) {
  CLI::App* command = data.add_subcommand("verify", "read every byte, compare every hash");
  auto options = std::make_shared<RepairOptions>();  // shared: lives as long as the callback
  const std::string text =
      "fetch what is damaged or gone again, or set it aside and say what is lost";
  CLI::Option* repairs = command->add_flag("--repair", text);
  command->add_option("--from", options->from, "a copy of the data set: folder or address")
      ->needs(repairs);
  command->add_flag("--drop", options->drop, "leave the rows that stay lost out of the data set")
      ->needs(repairs);
  command->callback([place = add_place(*command), options, repairs, &outcome] {
    outcome = *repairs ? repair(*place, *options) : verify(*place);
  });
}

void add_examiners(CLI::App& data, Status& outcome) {
  CLI::App* inspecting = data.add_subcommand("inspect", "columns, sizes and labels");
  inspecting->callback([place = add_place(*inspecting), &outcome] { outcome = inspect(*place); });

  CLI::App* heading = data.add_subcommand("head", "the first rows as text");
  auto rows = std::make_shared<uint64_t>(5);  // shared: lives as long as the callback
  heading->add_option("-n,--rows", *rows, "how many (5)")->check(no_minus);
  heading->callback(
      [place = add_place(*heading), rows, &outcome] { outcome = print_head(*place, *rows); });
}

}  // namespace

void add_data_command(CLI::App& tool, Status& outcome) {
  CLI::App* data = tool.add_subcommand("data", "make and examine data sets");
  data->require_subcommand(1);
  add_convert_command(*data, outcome);
  add_examiners(*data, outcome);
  add_verify(*data, outcome);
  add_plan(*data, outcome);
  add_statistics(*data, outcome);
  add_replay_command(*data, outcome);
  add_schema_commands(*data, outcome);
  add_smote_command(*data, outcome);
}

}  // namespace ballast
