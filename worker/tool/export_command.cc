#include "worker/tool/export_command.h"

#include <fmt/format.h>

#include <filesystem>
#include <iostream>
#include <memory>

#include "common/storage/checkpoint.h"
#include "common/weights/model_weights.h"
#include "worker/client/cluster_reader.h"
#include "worker/tool/output_file.h"
#include "worker/tool/trained_model.h"

namespace ballast {
namespace {

constexpr Duration kLivePatience = 10s;

Result<CheckpointManifest> choose_checkpoint(const ExportOptions& options) {
  if (options.checkpoint) {
    Result<CheckpointManifest> chosen = read_manifest(options.run_dir, *options.checkpoint);
    if (chosen.status().code() != Code::kNotFound) return chosen;
  }
  BALLAST_ASSIGN(NewestCheckpoint newest, newest_checkpoint(options.run_dir));
  if (options.checkpoint) {
    return Status(Code::kNotFound,
                  fmt::format("{}: no checkpoint {}; the newest is {}", options.run_dir,
                              *options.checkpoint, newest.manifest.id));
  }
  for (const Status& rejected : newest.rejected) {
    fmt::print(stderr, "ballast-tool: passed over a damaged checkpoint: {}\n",
               rejected.to_string());
  }
  return std::move(newest.manifest);
}

std::string target(const ExportOptions& options) {
  if (!options.out.empty()) return options.out;
  const std::string name =
      options.checkpoint ? fmt::format("model-{}.safetensors", *options.checkpoint) : kModelFile;
  return (std::filesystem::path(options.run_dir) / name).string();
}

Status export_live(const ExportOptions& options, const JobConfig& job, std::ostream& out) {
  if (options.out.empty() || options.checkpoint) {
    return Status(Code::kInvalidInput, "export --live: --out FILE expected, and no --checkpoint");
  }
  BALLAST_RETURN_IF_ERROR(check_output_file("export", options.out));
  BALLAST_ASSIGN(const std::unique_ptr<ClusterReader> reader,
                 ClusterReader::open(options.run_dir, job));
  ModelWeights weights = blank_weights(job);
  BALLAST_ASSIGN(const ClusterReader::Versions versions,
                 reader->pull_model(kLivePatience, weights));
  const std::string version = versions.least == versions.highest
                                  ? std::to_string(versions.least)
                                  : fmt::format("{} to {}", versions.least, versions.highest);
  BALLAST_RETURN_IF_ERROR(write_model(options.out, job, weights, {{"version", version}}));
  out << fmt::format("{}: version {}, weights_xxh3 {}\n", options.out, version, weights.xxh3());
  return Status();
}

}  // namespace

Status run_export(const ExportOptions& options, std::ostream& out) {
  BALLAST_ASSIGN(const JobConfig job, load_run(options.run_dir));
  if (options.live) return export_live(options, job, out);
  const std::string path = target(options);
  BALLAST_RETURN_IF_ERROR(check_output_file("export", path));
  BALLAST_ASSIGN(const CheckpointManifest manifest, choose_checkpoint(options));
  BALLAST_ASSIGN(const ModelWeights weights, weights_of_checkpoint(job, options.run_dir, manifest));
  BALLAST_RETURN_IF_ERROR(
      write_model(path, job, weights, {{"checkpoint", std::to_string(manifest.id)}}));
  out << fmt::format("{}: checkpoint {} at step {}, weights_xxh3 {}\n", path, manifest.id,
                     manifest.clock, weights.xxh3());
  return Status();
}

void add_export_command(CLI::App& tool, Status& outcome) {
  const auto options = std::make_shared<ExportOptions>();  // shared: lives with the callback
  CLI::App* command = tool.add_subcommand(
      "export", "Writes the weights of a checkpoint as safetensors, also after a crash");
  command->add_option("run_dir", options->run_dir, "the run directory")->required();
  command->add_option("--out", options->out,
                      "file to write; default: model.safetensors, or model-ID.safetensors with "
                      "--checkpoint, in the run directory");
  command->add_option("--checkpoint", options->checkpoint, "its id; default: the newest")
      ->check(no_minus);
  command->add_flag("--live", options->live,
                    "what the servers of the running job hold now; sync: all of one version");
  command->final_callback([options, &outcome] { outcome = run_export(*options, std::cout); });
}

}  // namespace ballast
