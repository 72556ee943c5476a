// ballast-tool: everything that is done with one process and without a cluster. A dispatcher; each
// command is a file in worker/tool. One thread, but for what a command says of itself.
#include <fmt/format.h>

#include <csignal>
#include <cstdio>
#include <string>
#include <vector>

#include "common/base/log.h"
#include "common/base/status.h"
#include "common/config/nearest.h"
#include "worker/tool/command.h"
#include "worker/tool/data_command.h"
#include "worker/tool/evaluate_command.h"
#include "worker/tool/export_command.h"
#include "worker/tool/job_command.h"
#include "worker/tool/predict_command.h"

namespace ballast {

namespace {

constexpr AddCommand kCommands[] = {
    add_data_command,    add_resolve_command,  add_doctor_command, add_keys_command,
    add_predict_command, add_evaluate_command, add_export_command,
};

// The innermost line last: the end of the scroll is the answer.
void print_failure(const Status& status) {
  const auto& chain = status.chain();
  for (auto line = chain.rbegin(); line != chain.rend(); ++line) {
    fmt::print(stderr, "ballast-tool: {}\n", *line);
  }
}

// An unset variable of a shell, as a rule; as a path it would be the folder one is in, or the
// default of its option.
Status check_no_empty(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    if (*argv[i] != '\0') continue;
    return Status(Code::kInvalidInput,
                  fmt::format("empty argument after {}: a value expected; is a variable of the "
                              "shell not set?",
                              i == 1 ? "ballast-tool" : argv[i - 1]));
  }
  return {};
}

// Where a command that has commands of its own is not followed by one of them CLI11 would say only
// that one is required.
Status check_commands(const CLI::App& tool, int argc, char** argv) {
  const CLI::App* at = &tool;
  std::string said = "ballast-tool";
  for (int i = 1; i < argc && *argv[i] != '-'; ++i) {
    const CLI::App* found = nullptr;
    std::vector<std::string> names;
    for (const CLI::App* command : at->get_subcommands([](const CLI::App*) { return true; })) {
      names.push_back(command->get_name());
      if (names.back() == argv[i]) found = command;
    }
    if (names.empty()) return {};
    if (found == nullptr) {
      return Status(Code::kInvalidInput,
                    fmt::format("{}: no command \"{}\"{}; it has: {}", said, argv[i],
                                did_you_mean(argv[i], names), fmt::join(names, ", ")));
    }
    said = found->get_name();
    at = found;
  }
  return {};
}

// What a command waits for, and for how long, is said on stderr.
void open_log() {
  const Status status = log::open("", "ballast-tool", log::Level::kWarning);
  if (!status.ok()) print_failure(status);
}

int run(int argc, char** argv) {
  open_log();
  if (const Status status = check_no_empty(argc, argv); !status.ok()) {
    print_failure(status);
    return exit_code(status);
  }
  CLI::App tool("Works with data sets and trained models", "ballast-tool");
  tool.require_subcommand(1);
  Status outcome;
  for (AddCommand add : kCommands) add(tool, outcome);
  if (const Status status = check_commands(tool, argc, argv); !status.ok()) {
    print_failure(status);
    return exit_code(status);
  }
  try {
    tool.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return tool.exit(error) == 0 ? 0 : 2;  // 0: --help
  }
  if (!outcome.ok()) print_failure(outcome);
  return exit_code(outcome);
}

}  // namespace

}  // namespace ballast

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a write beyond `ulimit -f` is an error like a full disk
  return ballast::run(argc, argv);
}
