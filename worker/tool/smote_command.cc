#include "worker/tool/smote_command.h"

#include <fmt/format.h>

#include <memory>
#include <string>
#include <vector>

#include "worker/data/smote.h"
#include "worker/tool/row_counter.h"

namespace ballast {
namespace {

struct SmoteArguments {
  std::string source;
  std::string out;
  SmoteOptions options;
};

Status add_rows(const SmoteArguments& arguments) {
  std::vector<SmoteClass> classes;
  {
    RowCounter counter;
    BALLAST_ASSIGN(classes, smote(arguments.source, arguments.out, arguments.options,
                                  [&](uint64_t made) { counter(made); }));
  }
  for (const SmoteClass& each : classes) {
    fmt::print("{}: class {}: {} rows and {} made\n", arguments.out, each.label, each.rows,
               each.made);
  }
  return {};
}

}  // namespace

void add_smote_command(CLI::App& data, Status& outcome) {
  auto arguments = std::make_shared<SmoteArguments>();  // shared: lives as long as the callback
  SmoteOptions& options = arguments->options;
  CLI::App* command = data.add_subcommand(
      "smote", "add rows between neighbours of small classes, until all are as large");
  command->add_option("source", arguments->source, "a data set with a label of whole numbers")
      ->required();
  command->add_option("--out", arguments->out, "folder of the new data set")->required();
  command->add_option("--neighbours", options.neighbours, "of each row, of its class")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  command->add_option("--seed", options.seed, "of all that is drawn")
      ->check(no_minus)
      ->capture_default_str();
  command
      ->add_option("--copy", options.copied,
                   "a column that is copied from a row, not interpolated: categories; may be "
                   "repeated")
      ->allow_extra_args(false);
  command->add_option("--memory-mib", options.memory_mib, "for the rows, all at once")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 24))
      ->capture_default_str();
  command->add_flag("--overwrite", options.overwrite, "replace a data set that is there");
  command->callback([arguments, &outcome] { outcome = add_rows(*arguments); });
}

}  // namespace ballast
