#include "worker/tool/evaluate_command.h"

#include <fmt/format.h>

#include <iostream>
#include <memory>

#include "common/base/json_writer.h"
#include "worker/evaluate_slice.h"
#include "worker/tool/row_counter.h"
#include "worker/tool/trained_model.h"

namespace ballast {
namespace {

using Metrics = std::vector<std::pair<std::string, double>>;

Result<SliceResult> add_slices(TrainedModel& model, EvalLoader& data) {
  RowCounter counter;
  SliceResult whole;
  RunCollector runs;
  for (uint32_t lane = 0; lane < model.job.train.lanes; ++lane) {
    BALLAST_ASSIGN(SliceResult slice,
                   evaluate_slice(*model.step, data, model.job.model.loss, LaneId(lane)));
    whole.sums.add(slice.sums);
    runs.add(std::move(slice.run));
    counter(whole.sums.rows);
  }
  whole.run = runs.take();
  return whole;
}

Status check_weight(const DataConfig& job, const std::string& folder, const MetricSums& sums) {
  if (sums.weight_sum > 0) return {};
  const std::string column =
      job.weight.empty() ? "" : fmt::format(" (data.weight = \"{}\")", job.weight);
  return Status(Code::kInvalidInput,
                fmt::format("evaluate: data set {}: rows that weigh more than 0 together expected, "
                            "{} rows of weight 0 found{}: there is nothing to measure; give other "
                            "rows or weights",
                            folder, sums.rows, column));
}

std::string as_json(uint64_t rows, const Metrics& metrics, const std::string& weights_xxh3) {
  JsonWriter json;
  json.open().key("rows").value(rows).key("metrics").open();
  for (const auto& [name, value] : metrics) json.key(name).value(value);
  json.close().key("weights_xxh3").value(weights_xxh3).close();
  return json.text() + "\n";
}

std::string as_text(uint64_t rows, const Metrics& metrics, const std::string& weights_xxh3) {
  std::string text = fmt::format("{:<12} {}\n", "rows", rows);
  for (const auto& [name, value] : metrics) text += fmt::format("{:<12} {}\n", name, value);
  return text + fmt::format("{:<12} {}\n", "weights_xxh3", weights_xxh3);
}

}  // namespace

Status run_evaluate(const EvaluateOptions& options, std::ostream& out) {
  BALLAST_ASSIGN(TrainedModel model, TrainedModel::open(options.run_dir));
  BALLAST_ASSIGN(const std::unique_ptr<EvalLoader> data,
                 model.open_data(options.data, model.job.train.lanes));
  BALLAST_ASSIGN(const SliceResult whole, add_slices(model, *data));
  BALLAST_RETURN_IF_ERROR(check_weight(model.job.data, options.data, whole.sums));
  const Metrics metrics = metrics_of(model.job.model.loss, whole.sums, whole.run);
  out << (options.json ? as_json(whole.sums.rows, metrics, model.weights_xxh3)
                       : as_text(whole.sums.rows, metrics, model.weights_xxh3));
  return Status();
}

void add_evaluate_command(CLI::App& tool, Status& outcome) {
  const auto options = std::make_shared<EvaluateOptions>();  // shared: lives with the callback
  CLI::App* command =
      tool.add_subcommand("evaluate", "Prints the metrics of a trained model on a data set");
  command->add_option("run_dir", options->run_dir, "the run directory")->required();
  command->add_option("data", options->data, "a data set made by `data convert`")->required();
  command->add_flag("--json", options->json, "as one JSON object");
  command->final_callback([options, &outcome] { outcome = run_evaluate(*options, std::cout); });
}

}  // namespace ballast
