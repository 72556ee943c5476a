#include "worker/tool/schema_command.h"

#include <fmt/format.h>

#include <memory>
#include <string>

#include "worker/data/convert/csv.h"
#include "worker/data/dataset.h"
#include "worker/data/manifest_edit.h"

namespace ballast {

namespace {

struct SchemaArguments {
  std::string folder;
  std::string type = "f32";
  ColumnSpec column;
};

Status print_columns(const std::string& folder) {
  BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
  for (const ColumnSpec& column : dataset->columns()) {
    fmt::print("column        {}\n", column.to_string());
  }
  return {};
}

Status add(SchemaArguments& arguments) {
  BALLAST_ASSIGN(arguments.column.type, parse_column_type(arguments.type));
  BALLAST_RETURN_IF_ERROR(add_column(arguments.folder, arguments.column));
  return print_columns(arguments.folder);
}

Status drop(const SchemaArguments& arguments) {
  BALLAST_RETURN_IF_ERROR(drop_column(arguments.folder, arguments.column.name));
  return print_columns(arguments.folder);
}

void add_names(CLI::App& command, SchemaArguments& arguments) {
  command.add_option("folder", arguments.folder, "a data set made by `data convert`")->required();
  command.add_option("name", arguments.column.name, "of the column")->required();
}

}  // namespace

void add_schema_commands(CLI::App& data, Status& outcome) {
  // Both shared: they live as long as the callbacks.
  auto added = std::make_shared<SchemaArguments>();
  CLI::App* adding = data.add_subcommand(
      "add-column",
      "give a data set a column that its chunks lack: all its values are the default");
  add_names(*adding, *added);
  adding->add_option("--type", added->type, "u8, i32, i64, f16 or f32 (f32)");
  adding->add_option("--shape", added->column.shape, "of a row, such as 8,8; none: one value")
      ->delimiter(',');
  adding->add_flag("--lists", added->column.variable,
                   "rows are lists of values of the shape, empty where chunks lack them");
  adding->add_option("--default", added->column.default_value, "every value in the chunks (0)");
  adding->callback([added, &outcome] { outcome = add(*added); });

  auto dropped = std::make_shared<SchemaArguments>();
  CLI::App* dropping =
      data.add_subcommand("drop-column", "hide a column of a data set; the chunks keep its bytes");
  add_names(*dropping, *dropped);
  dropping->callback([dropped, &outcome] { outcome = drop(*dropped); });
}

}  // namespace ballast
