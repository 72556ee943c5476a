#include "worker/tool/predict_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <iostream>
#include <iterator>
#include <memory>
#include <span>
#include <vector>

#include "common/storage/durable_file.h"
#include "worker/tool/output_file.h"
#include "worker/tool/row_counter.h"
#include "worker/tool/trained_model.h"

namespace ballast {
namespace {

// Takes the next bytes of the result.
using Sink = std::function<Status(std::string_view)>;

struct Shape {
  uint64_t rows = 0;
  uint32_t outputs = 0;
  bool classes = false;  // softmax
};

// numpy's format 1.0: magic, u16 header bytes, a Python literal padded so that data begins at 64.
std::string npy_header(const Shape& shape) {
  constexpr size_t kPrelude = 10;
  constexpr size_t kAlignment = 64;
  std::string literal = fmt::format(
      "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", shape.rows, shape.outputs);
  const size_t end = kPrelude + literal.size() + 1;
  literal.append((kAlignment - end % kAlignment) % kAlignment, ' ');
  literal += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(literal.size() & 0xff);
  header += static_cast<char>(literal.size() >> 8);
  return header + literal;
}

std::string csv_header(const Shape& shape) {
  std::string line = shape.classes ? "class," : "";
  for (uint32_t k = 0; k < shape.outputs; ++k) {
    line += fmt::format("{}{}{}", k == 0 ? "" : ",", shape.classes ? "p" : "y", k);
  }
  return line + "\n";
}

std::string csv_rows(const Shape& shape, std::span<const float> predictions) {
  std::string text;
  for (size_t first = 0; first < predictions.size(); first += shape.outputs) {
    const auto row = predictions.subspan(first, shape.outputs);
    if (shape.classes) {
      fmt::format_to(std::back_inserter(text), "{},", std::ranges::max_element(row) - row.begin());
    }
    for (size_t k = 0; k < row.size(); ++k) {
      fmt::format_to(std::back_inserter(text), "{}{}", k == 0 ? "" : ",", row[k]);
    }
    text += '\n';
  }
  return text;
}

std::string_view as_text(std::span<const float> values) {
  return {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

Status predict_rows(TrainedModel& model, EvalLoader& data, bool npy, const Sink& sink) {
  const Shape shape{data.rows(), model.step->output_width(),
                    model.job.model.loss == LossKind::kSoftmaxCrossEntropy};
  BALLAST_RETURN_IF_ERROR(sink(npy ? npy_header(shape) : csv_header(shape)));
  constexpr LaneId kWhole(0);
  RowCounter counter;
  uint64_t rows = 0;
  std::vector<float> predictions;
  for (uint64_t index = 0; index < data.batches(kWhole); ++index) {
    const Batch batch = data.take(kWhole, index);
    predictions.resize(size_t{batch.rows} * shape.outputs);
    BALLAST_RETURN_IF_ERROR(model.step->predict(batch.features, batch.rows, predictions));
    BALLAST_RETURN_IF_ERROR(npy ? sink(as_text(predictions)) : sink(csv_rows(shape, predictions)));
    counter(rows += batch.rows);
  }
  return Status();
}

Status to_stream(std::ostream& out, std::string_view text) {
  if (out.write(text.data(), static_cast<std::streamsize>(text.size()))) return Status();
  return Status(Code::kUnavailable, "predict: the output cannot be written to; use --out FILE");
}

Result<bool> wants_npy(const PredictOptions& options) {
  const bool npy = options.format.empty() ? options.out.ends_with(".npy") : options.format == "npy";
  if (npy && options.out.empty()) {
    return Status(Code::kInvalidInput, "predict --format npy: --out FILE expected");
  }
  return npy;
}

}  // namespace

Status run_predict(const PredictOptions& options, std::ostream& out) {
  BALLAST_ASSIGN(const bool npy, wants_npy(options));
  if (!options.out.empty()) BALLAST_RETURN_IF_ERROR(check_output_file("predict", options.out));
  BALLAST_ASSIGN(TrainedModel model, TrainedModel::open(options.run_dir));
  BALLAST_ASSIGN(const std::unique_ptr<EvalLoader> data, model.open_features(options.data));
  if (options.out.empty()) {
    return predict_rows(model, *data, npy, [&](auto text) { return to_stream(out, text); });
  }
  BALLAST_ASSIGN(DurableFile file, DurableFile::create(options.out));
  Status written = predict_rows(
      model, *data, npy, [&](auto text) { return file.append(std::as_bytes(std::span(text))); });
  if (written.ok()) written = file.commit();
  if (written.code() != Code::kExhausted) return written;
  return std::move(written).because(fmt::format(
      "predict: nothing of {} is kept; name a file on another disk with --out", options.out));
}

void add_predict_command(CLI::App& tool, Status& outcome) {
  const auto options = std::make_shared<PredictOptions>();  // shared: lives with the callback
  CLI::App* command =
      tool.add_subcommand("predict", "Writes what a trained model says of each row of a data set");
  command->add_option("run_dir", options->run_dir, "the run directory")->required();
  command->add_option("data", options->data, "a data set made by `data convert`")->required();
  command->add_option("--out", options->out, "file to write; default: standard output");
  command
      ->add_option("--format", options->format,
                   "csv, or npy: float32 [rows, outputs]; default: npy if --out ends so, else csv")
      ->check(CLI::IsMember({"csv", "npy"}));
  command->final_callback([options, &outcome] { outcome = run_predict(*options, std::cout); });
}

}  // namespace ballast
