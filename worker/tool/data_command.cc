#include "worker/tool/data_command.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "worker/data/convert/csv.h"
#include "worker/data/convert/idx.h"
#include "worker/data/dataset.h"
#include "worker/data/examine.h"
#include "worker/tool/replay_command.h"
#include "worker/tool/row_counter.h"

namespace ballast {

namespace {

struct ConvertArguments {
  std::string format;
  std::vector<std::string> sources;
  std::string out;
  std::optional<std::string> features;
  std::optional<std::string> features_type;
  std::optional<std::string> label;
  std::optional<std::string> label_type;
  std::vector<std::string> own_columns;
  uint64_t block_kib = 2048;
  uint64_t chunk_mib = 32;
  std::string separator = ",";
  CsvOptions csv;
};

// "country:i32" or "3": a column that is not joined with the others.
Result<OwnColumn> parse_own_column(const std::string& text) {
  const size_t colon = text.rfind(':');
  OwnColumn own{text.substr(0, colon)};
  if (colon == std::string::npos) return own;
  BALLAST_ASSIGN(own.type, parse_column_type(text.substr(colon + 1)));
  return own;
}

Result<uint64_t> convert_csv_files(ConvertArguments& arguments, const ConvertProgress& progress) {
  CsvOptions& csv = arguments.csv;
  BALLAST_ASSIGN(csv.features_type, parse_column_type(arguments.features_type.value_or("f32")));
  BALLAST_ASSIGN(csv.label_type, parse_column_type(arguments.label_type.value_or("i32")));
  csv.features = arguments.features.value_or("features");
  csv.label = arguments.label.value_or("-1");
  csv.separator = arguments.separator == "tab" ? '\t' : arguments.separator[0];
  for (const std::string& text : arguments.own_columns) {
    BALLAST_ASSIGN(OwnColumn own, parse_own_column(text));
    csv.own_columns.push_back(std::move(own));
  }
  return convert_csv(arguments.sources, arguments.out, csv, progress);
}

Result<uint64_t> convert_idx_files(const ConvertArguments& arguments,
                                   const ConvertProgress& progress) {
  if (arguments.sources.size() != 2) {
    return Status(Code::kInvalidInput,
                  fmt::format("data convert --format idx: the images' file and the labels' file "
                              "expected, {} files found",
                              arguments.sources.size()));
  }
  if (arguments.features_type) {
    return Status(Code::kInvalidInput,
                  "data convert --format idx: the features keep the type they have in the file; "
                  "leave out --features-type");
  }
  IdxOptions idx;
  idx.writer = arguments.csv.writer;
  idx.features = arguments.features.value_or(idx.features);
  idx.label = arguments.label.value_or(idx.label);
  if (arguments.label_type) {
    BALLAST_ASSIGN(idx.label_type, parse_column_type(*arguments.label_type));
  }
  return convert_idx(arguments.sources[0], arguments.sources[1], arguments.out, idx, progress);
}

Status convert(ConvertArguments& arguments) {
  arguments.csv.writer.block_bytes = arguments.block_kib << 10;
  arguments.csv.writer.chunk_bytes = arguments.chunk_mib << 20;
  uint64_t rows = 0;
  {
    RowCounter counter;
    const ConvertProgress progress = [&](uint64_t done) { counter(done); };
    BALLAST_ASSIGN(rows, arguments.format == "csv" ? convert_csv_files(arguments, progress)
                                                   : convert_idx_files(arguments, progress));
  }
  fmt::print("{}: {} rows\n", arguments.out, rows);
  return {};
}

void add_convert(CLI::App& data, Status& outcome) {
  auto arguments = std::make_shared<ConvertArguments>();  // shared: lives as long as the callback
  CLI::App* command = data.add_subcommand("convert", "turn files into a data set");
  command
      ->add_option(
          "sources", arguments->sources,
          "csv: any number of files of one layout; idx: the images' file, the labels' file")
      ->required();
  command->add_option("--format", arguments->format, "csv or idx; gzip is unpacked")
      ->required()
      ->check(CLI::IsMember({"csv", "idx"}));
  command->add_option("--out", arguments->out, "folder of the data set")->required();
  CsvOptions& csv = arguments->csv;
  command->add_flag("--overwrite", csv.writer.overwrite, "replace a data set that is there");
  command->add_option("--features", arguments->features,
                      "name of the feature column (csv: features, idx: pixels)");
  command->add_option("--features-type", arguments->features_type,
                      "csv: u8, i32, i64, f16 or f32 (f32)");
  command->add_option("--label", arguments->label,
                      "csv: the label's name, or number from 0, negative from the end (-1); idx: "
                      "name of the label column (label)");
  command->add_option("--label-type", arguments->label_type, "csv: i32; idx: as in the file");
  command->add_option("--shape", csv.shape, "csv: shape of the features, such as 8,8")
      ->delimiter(',');
  command->add_flag("--header", csv.header, "csv: the first line names the columns");
  command
      ->add_option("--column", arguments->own_columns,
                   "csv: NAME[:TYPE], a column that stays by itself (i32); may be repeated")
      ->allow_extra_args(false);
  command->add_option("--separator", arguments->separator, "csv: one character, or tab")
      ->check([](const std::string& text) {
        return text.size() == 1 || text == "tab" ? "" : "one character or tab expected";
      });
  command->add_flag("--allow-nonfinite", csv.allow_nonfinite,
                    "csv: keep NaN and Inf, which training refuses");
  command->add_option("--block-kib", arguments->block_kib, "size of a block")
      ->check(CLI::Range(uint64_t{4}, uint64_t{1} << 20));
  command->add_option("--chunk-mib", arguments->chunk_mib, "size of a chunk")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 16));
  command->callback([arguments, &outcome] { outcome = convert(*arguments); });
}

// A folder's path, shared with the callback that uses it.
std::shared_ptr<std::string> add_folder(CLI::App& command) {
  auto folder = std::make_shared<std::string>();  // shared: lives as long as the callback
  command.add_option("folder", *folder, "a data set made by `data convert`")->required();
  return folder;
}

Status inspect(const std::string& folder) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  BALLAST_ASSIGN(const std::vector<LabelCount> labels, count_labels(*dataset));
  uint64_t bytes = 0;
  for (const ManifestChunk& chunk : dataset->manifest().chunks) bytes += chunk.bytes;
  fmt::print("data set      {}\nmanifest xxh3 {}\nrows          {}\n", folder,
             hex64(dataset->manifest_xxh3()), dataset->rows());
  fmt::print("stored        {} bytes in {} chunks, {} blocks\n", bytes,
             dataset->manifest().chunks.size(), dataset->block_count());
  for (const ColumnSpec& column : dataset->columns()) {
    fmt::print("column        {}, {} bytes a row\n", column.to_string(), column.row_bytes());
  }
  for (const LabelCount& label : labels) {
    fmt::print("label         {} = {}: {} rows\n", dataset->manifest().label, label.label,
               label.count);
  }
  return {};
}

// All problems are shown; the first decides the exit code.
Status verify(const std::string& folder) {
  const std::vector<Status> problems = verify_dataset(folder);
  for (size_t i = 1; i < problems.size(); ++i) {
    fmt::print(stderr, "ballast-tool: {}\n", problems[i].to_string());
  }
  if (!problems.empty()) return problems.front();
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  fmt::print("{}: {} rows in {} blocks verified\n", folder, dataset->rows(),
             dataset->block_count());
  return {};
}

Status print_head(const std::string& folder, uint64_t rows) {
  constexpr uint64_t kValuesMax = 64;
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  BALLAST_ASSIGN(const std::string text, head_text(*dataset, rows, kValuesMax));
  fmt::print("{}", text);
  return {};
}

Status print_statistics(const std::string& folder, std::optional<bool> per_value) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  BALLAST_ASSIGN(const std::vector<ColumnStatistics> columns, measure_columns(*dataset));
  fmt::print("# {}: {} rows\n{}", folder, dataset->rows(),
             statistics_text(columns, dataset->manifest().label, per_value));
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
  command->callback([folder = add_folder(*command), each, whole, &outcome] {
    std::optional<bool> per_value;
    if (*each || *whole) per_value = bool(*each);
    outcome = print_statistics(*folder, per_value);
  });
}

void add_examiners(CLI::App& data, Status& outcome) {
  CLI::App* inspecting = data.add_subcommand("inspect", "columns, sizes and labels");
  inspecting->callback(
      [folder = add_folder(*inspecting), &outcome] { outcome = inspect(*folder); });

  CLI::App* verifying = data.add_subcommand("verify", "read every byte, compare every hash");
  verifying->callback([folder = add_folder(*verifying), &outcome] { outcome = verify(*folder); });

  CLI::App* heading = data.add_subcommand("head", "the first rows as text");
  auto rows = std::make_shared<uint64_t>(5);  // shared: lives as long as the callback
  heading->add_option("-n,--rows", *rows, "how many (5)")->check(no_minus);
  heading->callback(
      [folder = add_folder(*heading), rows, &outcome] { outcome = print_head(*folder, *rows); });
}

}  // namespace

void add_data_command(CLI::App& tool, Status& outcome) {
  CLI::App* data = tool.add_subcommand("data", "make and examine data sets");
  data->require_subcommand(1);
  add_convert(*data, outcome);
  add_examiners(*data, outcome);
  add_statistics(*data, outcome);
  add_replay_command(*data, outcome);
}

}  // namespace ballast
