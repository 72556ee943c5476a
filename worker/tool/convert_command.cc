#include "worker/tool/convert_command.h"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "common/base/system_cores.h"
#include "worker/data/convert/convert.h"
#include "worker/data/convert/criteo.h"
#include "worker/data/convert/csv.h"
#include "worker/data/convert/ffm.h"
#include "worker/data/convert/idx.h"
#include "worker/data/convert/mds.h"
#include "worker/data/convert/npy.h"
#include "worker/data/convert/svm.h"
#include "worker/data/dataset.h"
#include "worker/tool/status_line.h"

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
  std::vector<std::string> columns;
  uint64_t block_kib = 2048;
  uint64_t chunk_mib = 32;
  std::string separator = ",";
  std::optional<std::string> categories_type;
  std::optional<std::string> ids_type;
  std::vector<std::string> codecs;
  CsvOptions csv;
  CriteoOptions criteo;
  SvmOptions svm;
  ConvertOptions convert;
};

// Leaves `type` as it is where the option was not given.
Status take_type(const std::optional<std::string>& option, ColumnType& type) {
  if (!option) return {};
  BALLAST_ASSIGN(type, parse_column_type(*option));
  return {};
}

// "country:i32" or "3": a column that is not joined with the others.
Result<OwnColumn> parse_own_column(const std::string& text) {
  const size_t colon = text.rfind(':');
  OwnColumn own{text.substr(0, colon)};
  if (colon == std::string::npos) return own;
  BALLAST_ASSIGN(own.type, parse_column_type(text.substr(colon + 1)));
  return own;
}

Result<std::unique_ptr<Format>> open_csv_files(ConvertArguments& arguments) {
  CsvOptions& csv = arguments.csv;
  BALLAST_ASSIGN(csv.features_type, parse_column_type(arguments.features_type.value_or("f32")));
  BALLAST_ASSIGN(csv.label_type, parse_column_type(arguments.label_type.value_or("i32")));
  csv.features = arguments.features.value_or("features");
  csv.label = arguments.label.value_or("-1");
  const bool tabs = arguments.format == "tsv" || arguments.separator == "tab";
  csv.separator = tabs ? '\t' : arguments.separator[0];
  for (const std::string& text : arguments.columns) {
    BALLAST_ASSIGN(OwnColumn own, parse_own_column(text));
    csv.own_columns.push_back(std::move(own));
  }
  return open_csv(arguments.sources, csv);
}

Result<std::unique_ptr<Format>> open_idx_files(ConvertArguments& arguments) {
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
  idx.features = arguments.features.value_or(idx.features);
  idx.label = arguments.label.value_or(idx.label);
  if (arguments.label_type) {
    BALLAST_ASSIGN(idx.label_type, parse_column_type(*arguments.label_type));
  }
  return open_idx(arguments.sources[0], arguments.sources[1], idx);
}

Result<CriteoOptions> criteo_options(const ConvertArguments& arguments) {
  CriteoOptions criteo = arguments.criteo;
  criteo.features = arguments.features.value_or(criteo.features);
  criteo.label = arguments.label.value_or(criteo.label);
  BALLAST_RETURN_IF_ERROR(take_type(arguments.features_type, criteo.features_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.categories_type, criteo.categories_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.label_type, criteo.label_type));
  return criteo;
}

Result<std::unique_ptr<Format>> open_criteo_tsv_files(ConvertArguments& arguments) {
  BALLAST_ASSIGN(const CriteoOptions criteo, criteo_options(arguments));
  return open_criteo_tsv(arguments.sources, criteo);
}

Result<std::unique_ptr<Format>> open_criteo_bin_files(ConvertArguments& arguments) {
  BALLAST_ASSIGN(const CriteoOptions criteo, criteo_options(arguments));
  return open_criteo_bin(arguments.sources, criteo);
}

// "pixels=x_train.npy".
Result<NpyColumn> parse_npy_column(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && equals > 0) {
    return NpyColumn{text.substr(0, equals), text.substr(equals + 1)};
  }
  return Status(Code::kInvalidInput,
                "data convert --format npy --column " + text + ": NAME=FILE.npy expected");
}

Result<std::unique_ptr<Format>> open_npy_files(ConvertArguments& arguments) {
  if (!arguments.sources.empty()) {
    return Status(Code::kInvalidInput, "data convert --format npy: " + arguments.sources[0] +
                                           ": give each array as --column NAME=FILE.npy");
  }
  NpyOptions npy;
  npy.allow_nonfinite = arguments.csv.allow_nonfinite;
  for (const std::string& text : arguments.columns) {
    BALLAST_ASSIGN(NpyColumn column, parse_npy_column(text));
    if (column.name == "label") npy.label = "label";
    npy.columns.push_back(std::move(column));
  }
  npy.label = arguments.label.value_or(npy.label);
  return open_npy(npy);
}

Result<std::unique_ptr<Format>> open_libsvm_files(ConvertArguments& arguments) {
  SvmOptions& svm = arguments.svm;
  svm.features = arguments.features.value_or(svm.features);
  svm.label = arguments.label.value_or(svm.label);
  svm.allow_nonfinite = arguments.csv.allow_nonfinite;
  if (arguments.features) {
    svm.ids = *arguments.features + "_ids";
    svm.values = *arguments.features + "_values";
  }
  BALLAST_RETURN_IF_ERROR(take_type(arguments.features_type, svm.features_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.ids_type, svm.ids_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.label_type, svm.label_type));
  return open_libsvm(arguments.sources, svm);
}

Result<std::unique_ptr<Format>> open_libffm_files(ConvertArguments& arguments) {
  FfmOptions ffm;
  ffm.width = arguments.svm.width;
  ffm.label = arguments.label.value_or(ffm.label);
  ffm.allow_nonfinite = arguments.csv.allow_nonfinite;
  if (arguments.features) {
    ffm.fields = *arguments.features + "_fields";
    ffm.ids = *arguments.features + "_ids";
    ffm.values = *arguments.features + "_values";
  }
  BALLAST_RETURN_IF_ERROR(take_type(arguments.features_type, ffm.values_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.ids_type, ffm.ids_type));
  BALLAST_RETURN_IF_ERROR(take_type(arguments.label_type, ffm.label_type));
  return open_libffm(arguments.sources, ffm);
}

Result<std::unique_ptr<Format>> open_mds_folder(ConvertArguments& arguments) {
  if (arguments.sources.size() != 1) {
    return Status(Code::kInvalidInput,
                  fmt::format("data convert --format mds: one folder with index.json expected, {} "
                              "found",
                              arguments.sources.size()));
  }
  MdsOptions mds;
  mds.label = arguments.label.value_or(mds.label);
  mds.allow_nonfinite = arguments.csv.allow_nonfinite;
  return open_mds(arguments.sources[0], mds);
}

using OpenFormat = Result<std::unique_ptr<Format>> (*)(ConvertArguments& arguments);

// Every format there is, by the name that --format takes.
const std::map<std::string, OpenFormat>& formats() {
  static const std::map<std::string, OpenFormat> all = {{"csv", open_csv_files},
                                                        {"tsv", open_csv_files},
                                                        {"idx", open_idx_files},
                                                        {"criteo-tsv", open_criteo_tsv_files},
                                                        {"criteo-bin", open_criteo_bin_files},
                                                        {"mds", open_mds_folder},
                                                        {"npy", open_npy_files},
                                                        {"libffm", open_libffm_files},
                                                        {"libsvm", open_libsvm_files}};
  return all;
}

Status convert_files(ConvertArguments& arguments) {
  ConvertOptions& options = arguments.convert;
  options.writer.block_bytes = arguments.block_kib << 10;
  options.writer.chunk_bytes = arguments.chunk_mib << 20;
  for (const std::string& text : arguments.codecs) {
    BALLAST_ASSIGN(ColumnCodec codec, parse_column_codec(text));
    options.writer.codecs.push_back(std::move(codec));
  }
  if (arguments.sources.empty() && arguments.format != "npy") {
    return Status(Code::kInvalidInput,
                  fmt::format("data convert --format {}: files to convert expected, none found",
                              arguments.format));
  }
  BALLAST_ASSIGN(const std::unique_ptr<Format> format, formats().at(arguments.format)(arguments));
  uint64_t rows = 0;
  {
    StatusLine line;
    options.progress = [&](const ConvertProgress& progress) { line.show(progress_text(progress)); };
    options.note = [&](const std::string& text) { line.note(text); };
    line.show(fmt::format("{} threads, at most {} MiB", options.threads,
                          convert_memory_bytes(*format, options) >> 20));
    BALLAST_ASSIGN(rows, convert(*format, arguments.out, options));
  }
  if (!options.writer.append) {
    fmt::print("{}: {} rows\n", arguments.out, rows);
    return {};
  }
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> whole, Dataset::open(arguments.out));
  fmt::print("{}: {} rows added, {} now\n", arguments.out, rows, whole->rows());
  return {};
}

// What fixes the result, as text: every option that was given but those that do not.
std::string settings_of(const CLI::App& command) {
  std::string text;
  for (const CLI::Option* option : command.get_options()) {
    const std::string name = option->get_single_name();
    if (option->empty() || name == "sources" || name == "out" || name == "threads" ||
        name == "overwrite") {
      continue;
    }
    text += fmt::format("{}={} ", name, fmt::join(option->results(), ","));
  }
  return text;
}

void add_layout_options(CLI::App& command, ConvertArguments& arguments) {
  CsvOptions& csv = arguments.csv;
  command.add_option("--features", arguments.features,
                     "name of the feature column (features; idx: pixels; criteo: dense); what "
                     "libsvm --sparse and libffm put before _ids and _values");
  command.add_option("--features-type", arguments.features_type,
                     "u8, i32, i64, f16 or f32 (f32); idx, npy, mds: as in the file");
  command.add_option("--label", arguments.label,
                     "csv, tsv: the label's name, or number from 0, negative from the end (-1); "
                     "npy, mds: which column it is; others: name of the label column (label)");
  command.add_option("--label-type", arguments.label_type, "i32; idx, npy, mds: as in the file");
  command.add_option("--shape", csv.shape, "csv, tsv: shape of the features, such as 8,8")
      ->delimiter(',');
  command.add_flag("--header", csv.header, "csv, tsv: the first line names the columns");
  command
      .add_option(
          "--column", arguments.columns,
          "csv, tsv: NAME[:TYPE], a column that stays by itself (i32); npy: NAME=FILE.npy; may be "
          "repeated")
      ->allow_extra_args(false);
  command.add_option("--separator", arguments.separator, "csv: one character, or tab")
      ->check([](const std::string& text) {
        return text.size() == 1 || text == "tab" ? "" : "one character or tab expected";
      });
  command.add_flag("--allow-nonfinite", csv.allow_nonfinite,
                   "keep NaN and Inf, which training refuses");
}

void add_sparse_options(CLI::App& command, ConvertArguments& arguments) {
  command.add_option("--categories-type", arguments.categories_type,
                     "criteo: i32 keeps the 32 bits as they are, i64 has no negative ids (i32)");
  command.add_option("--missing", arguments.criteo.missing,
                     "criteo-tsv: in place of an empty whole number (0)");
  command
      .add_option("--missing-category", arguments.criteo.missing_category,
                  "criteo-tsv: in place of an empty category (0)")
      ->check(no_minus);
  command
      .add_option("--width", arguments.svm.width,
                  "libsvm: how many features a row has; with --sparse and in libffm how many "
                  "there are, ids beyond are refused (as many as the type holds)")
      ->check(no_minus);
  command.add_flag("--sparse", arguments.svm.sparse,
                   "libsvm: lists of ids and of values in place of one column of --width");
  command.add_option("--ids-type", arguments.ids_type, "libsvm --sparse, libffm: i32 or i64 (i32)");
  command.add_flag("--zero-based", arguments.svm.zero_based, "libsvm: indices count from 0, not 1");
  command.add_flag("--qid", arguments.svm.qid, "libsvm: keep qid as a column, i64");
}

void add_writer_options(CLI::App& command, ConvertArguments& arguments) {
  ConvertOptions& convert = arguments.convert;
  CLI::Option* overwrite =
      command.add_flag("--overwrite", convert.writer.overwrite, "replace a data set that is there");
  command.add_flag("--append", convert.writer.append, "add the rows to the data set that is there")
      ->excludes(overwrite);
  command
      .add_option("--codec", arguments.codecs,
                  "none, lz4 or zstd; COLUMN=CODEC for one column; may be repeated (none)")
      ->allow_extra_args(false);
  convert.threads = usable_cores();
  command.add_option("--threads", convert.threads, "how many convert (the cores there are)")
      ->check(CLI::Range(1u, 1024u));
  command.add_option("--block-kib", arguments.block_kib, "size of a block")
      ->check(CLI::Range(uint64_t{4}, uint64_t{1} << 20));
  command.add_option("--chunk-mib", arguments.chunk_mib, "size of a chunk")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 16));
}

}  // namespace

void add_convert_command(CLI::App& data, Status& outcome) {
  auto arguments = std::make_shared<ConvertArguments>();  // shared: lives as long as the callback
  CLI::App* command = data.add_subcommand(
      "convert", "turn files into a data set; cut short, the same command goes on");
  command->add_option("sources", arguments->sources,
                      "any number of files of one layout; idx: the images' file, the labels' file; "
                      "mds: the folder; npy: none. gzip is unpacked");
  std::vector<std::string> names;
  for (const auto& [name, open] : formats()) names.push_back(name);
  command
      ->add_option("--format", arguments->format,
                   fmt::format("{}; parquet is the launcher's: `ballast data convert --format "
                               "parquet --help`",
                               fmt::join(names, ", ")))
      ->required()
      ->check(CLI::IsMember(names));
  command->add_option("--out", arguments->out, "folder of the data set")->required();
  add_layout_options(*command, *arguments);
  add_sparse_options(*command, *arguments);
  add_writer_options(*command, *arguments);
  command->callback([arguments, command, &outcome] {
    arguments->convert.settings = settings_of(*command);
    outcome = convert_files(*arguments);
  });
}

}  // namespace ballast
