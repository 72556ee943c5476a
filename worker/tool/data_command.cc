#include "worker/tool/data_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "worker/data/convert/csv.h"

namespace ballast {

namespace {

// "\r12000 rows" on stderr while a person looks on; nothing in a log.
class RowCounter {
 public:
  ~RowCounter() {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }
  void operator()(uint64_t rows) {
    if (!isatty(STDERR_FILENO)) return;
    fmt::print(stderr, "\r{} rows", rows);
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  bool shown_ = false;
};

struct ConvertArguments {
  std::string format;
  std::vector<std::string> sources;
  std::string out;
  std::string dtype;
  std::string label_dtype;
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
  BALLAST_ASSIGN(csv.features_type,
                 parse_column_type(arguments.dtype.empty() ? "f32" : arguments.dtype));
  BALLAST_ASSIGN(csv.label_type,
                 parse_column_type(arguments.label_dtype.empty() ? "i32" : arguments.label_dtype));
  csv.separator = arguments.separator == "tab" ? '\t' : arguments.separator[0];
  for (const std::string& text : arguments.own_columns) {
    BALLAST_ASSIGN(OwnColumn own, parse_own_column(text));
    csv.own_columns.push_back(std::move(own));
  }
  return convert_csv(arguments.sources, arguments.out, csv, progress);
}

Status convert(ConvertArguments& arguments) {
  arguments.csv.writer.block_bytes = arguments.block_kib << 10;
  arguments.csv.writer.chunk_bytes = arguments.chunk_mib << 20;
  RowCounter counter;
  BALLAST_ASSIGN(const uint64_t rows,
                 convert_csv_files(arguments, [&](uint64_t done) { counter(done); }));
  fmt::print("{}: {} rows\n", arguments.out, rows);
  return {};
}

void add_convert(CLI::App& data, Status& outcome) {
  auto arguments = std::make_shared<ConvertArguments>();  // shared: lives as long as the callback
  CLI::App* command = data.add_subcommand("convert", "turn files into a data set");
  command->add_option("sources", arguments->sources, "CSV: any number of files of one layout")
      ->required();
  command->add_option("--format", arguments->format, "csv")
      ->required()
      ->check(CLI::IsMember({"csv"}));
  command->add_option("--out", arguments->out, "folder of the data set")->required();
  CsvOptions& csv = arguments->csv;
  command->add_flag("--overwrite", csv.writer.overwrite, "replace a data set that is there");
  command->add_option("--dtype", arguments->dtype, "type of the features: u8, i32, i64, f16, f32");
  command->add_option("--label-dtype", arguments->label_dtype, "type of the label");
  command->add_option("--features", csv.features, "name of the joined feature column");
  command->add_option("--shape", csv.shape, "its shape, such as 8,8")->delimiter(',');
  command->add_flag("--header", csv.header, "CSV: the first line names the columns");
  command->add_option("--label", csv.label,
                      "CSV: the label's name or number from 0; negative counts from the end");
  command->add_option("--column", arguments->own_columns,
                      "CSV: NAME[:TYPE], a column that stays by itself (i32); may be repeated");
  command->add_option("--separator", arguments->separator, "CSV: one character, or tab")
      ->check([](const std::string& text) {
        return text.size() == 1 || text == "tab" ? "" : "one character or tab expected";
      });
  command->add_flag("--allow-nonfinite", csv.allow_nonfinite,
                    "CSV: keep NaN and Inf, which training refuses");
  command->add_option("--block-kib", arguments->block_kib, "size of a block")
      ->check(CLI::Range(uint64_t{4}, uint64_t{1} << 20));
  command->add_option("--chunk-mib", arguments->chunk_mib, "size of a chunk")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 16));
  command->callback([arguments, &outcome] { outcome = convert(*arguments); });
}

}  // namespace

void add_data_command(CLI::App& tool, Status& outcome) {
  CLI::App* data = tool.add_subcommand("data", "make and examine data sets");
  data->require_subcommand(1);
  add_convert(*data, outcome);
}

}  // namespace ballast
