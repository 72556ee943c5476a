#include "worker/tool/job_command.h"

#include <iostream>
#include <memory>

#include "common/config/key_reference.h"
#include "worker/data/resolve_shapes.h"
#include "worker/tool/data_check.h"
#include "worker/tool/doctor_command.h"
#include "worker/tool/resolve_command.h"

namespace ballast {
namespace {

// shared_ptr: the callback that CLI11 copies is the owner.
using Options = std::shared_ptr<ResolveOptions>;

void add_job_options(CLI::App& command, const Options& options) {
  command.add_option("job", options->job_path, "the job file, in TOML");
  command.add_option("--resume", options->resume,
                     "go on with this run directory and the job in it");
  command.add_option("--run-dir", options->run_dir, "where the run is, or will be");
  command
      .add_option("--set", options->overrides, "key=value in place of the job file's; repeatable")
      ->allow_extra_args(false);
}

}  // namespace

void add_resolve_command(CLI::App& tool, Status& outcome) {
  const auto options = std::make_shared<ResolveOptions>();
  CLI::App* command =
      tool.add_subcommand("resolve", "Checks a job against its data and writes what will run");
  add_job_options(*command, options);
  command->add_flag("--dry-run", options->dry_run, "print the plan, write nothing");
  command->final_callback(
      [options, &outcome] { outcome = run_resolve(*options, resolve_shapes, std::cout); });
}

void add_doctor_command(CLI::App& tool, Status& outcome) {
  const auto options = std::make_shared<ResolveOptions>();
  const auto every_byte = std::make_shared<bool>(false);
  CLI::App* command =
      tool.add_subcommand("doctor", "Says what would keep a job from running, one line each");
  add_job_options(*command, options);
  command->add_flag("--verify", *every_byte,
                    "read every byte of the data, however large; small data is read in any case");
  command->final_callback([options, every_byte, &outcome] {
    const DataJudge judge = [&](const JobConfig& job) { return judge_data(job, *every_byte); };
    outcome = run_doctor(*options, resolve_shapes, judge, std::cout);
  });
}

void add_keys_command(CLI::App& tool, Status& outcome) {
  const auto toml = std::make_shared<bool>(false);
  CLI::App* command = tool.add_subcommand("keys", "Prints every key that a job file may hold");
  command->add_flag("--toml", *toml, "as a commented job file");
  command->final_callback([toml, &outcome] {
    std::cout << (*toml ? reference_toml() : key_reference());
    outcome = Status();
  });
}

}  // namespace ballast
