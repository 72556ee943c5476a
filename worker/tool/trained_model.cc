#include "worker/tool/trained_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "common/base/log.h"
#include "common/config/job_file.h"
#include "common/weights/model_weights.h"
#include "worker/data/dataset.h"
#include "worker/data/source/access.h"
#include "worker/evaluate_slice.h"

namespace ballast {
namespace {

namespace fs = std::filesystem;

Status no_model(const std::string& run_dir) {
  return Status(Code::kNotFound,
                fmt::format("{}: no {} in it: the run has not ended well; `ballast export {}` "
                            "writes one from its newest checkpoint",
                            run_dir, kModelFile, run_dir));
}

Status check_shapes(const JobConfig& job, const std::string& folder, const EvalLoader& data) {
  const ResolvedConfig& expected = job.resolved;
  const uint32_t labels = job.data.label.empty() ? 0 : expected.label_width;
  if (data.width() == expected.input_width && data.label_width() == labels) return {};
  const auto a_row = [](uint32_t features, uint32_t label_values) {
    return fmt::format("{} features{}", features,
                       label_values > 0 ? fmt::format(" and {} label values", label_values) : "");
  };
  return Status(
      Code::kInvalidInput,
      fmt::format("data set {}: {} a row found, the model was trained on {}", folder,
                  a_row(data.width(), data.label_width()), a_row(expected.input_width, labels)));
}

// The job as predictions need it: its features and what is done to them.
JobConfig without_label(JobConfig job) {
  const auto is_feature = [&](const std::string& column) {
    return std::ranges::find(job.data.features, column) != job.data.features.end();
  };
  std::erase_if(job.data.transforms, [&](const TransformConfig& transform) {
    return transform.kind == TransformKind::kFilter ||
           (transform.column == job.data.label && !is_feature(transform.column));
  });
  job.data.label.clear();
  job.data.weight.clear();
  return job;
}

Result<std::unique_ptr<EvalLoader>> open_rows(const JobConfig& job, const std::string& folder,
                                              uint32_t lanes) {
  std::error_code ignored;
  if (fs::is_regular_file(folder, ignored)) {
    return Status(Code::kInvalidInput,
                  fmt::format("{}: a file; the folder of a data set expected: make one with "
                              "`ballast data convert --format csv|idx {} --out FOLDER`",
                              folder, folder));
  }
  // An address that nobody answers at is told soon.
  BALLAST_RETURN_IF_ERROR(Dataset::open(folder, first_access_of(job.data)).status());
  BALLAST_ASSIGN(std::unique_ptr<EvalLoader> data,
                 EvalLoader::open(job, folder, lanes, kEvaluationRows));
  BALLAST_RETURN_IF_ERROR(check_shapes(job, folder, *data));
  return data;
}

// A model may be used where the device it was trained on is not, or where there are fewer of them.
Device device_at_hand(Device trained) {
  const Status there = check_device(trained);
  if (there.ok()) return trained;
  log::warn("computed on the cpu: {}", there.to_string());
  return Device::kCpu;
}

}  // namespace

Result<JobConfig> load_run(const std::string& run_dir) {
  const fs::path config = fs::path(run_dir) / "config.toml";
  std::error_code error;
  if (!fs::is_directory(run_dir, error)) {
    return Status(Code::kNotFound, fmt::format("{}: no such run directory", run_dir));
  }
  if (!fs::exists(config, error)) {
    if (error) {  // there may be one, but not for this user
      return Status(Code::kInvalidInput,
                    fmt::format("{}: cannot be read: {}; check its owner and permissions",
                                config.string(), error.message()));
    }
    return Status(Code::kNotFound,
                  fmt::format("{}: no config.toml in it; a run directory of `ballast run` expected",
                              run_dir));
  }
  return load_job(config.string());
}

Result<TrainedModel> TrainedModel::open(const std::string& run_dir) {
  TrainedModel model;
  BALLAST_ASSIGN(model.job, load_run(run_dir));
  const fs::path path = fs::path(run_dir) / kModelFile;
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return no_model(run_dir);
  BALLAST_ASSIGN(const ModelWeights weights, read_model(path.string(), model.job));
  model.weights_xxh3 = weights.xxh3();
  const Device device = device_at_hand(model.job.cluster.device);
  // Alone on the first device, however many workers and devices the job had.
  BALLAST_ASSIGN(model.backend,
                 make_backend(device, {.threads = model.job.cluster.threads_per_worker,
                                       .precision = model.job.train.precision}));
  BALLAST_ASSIGN(model.step, TrainStep::create(model.job.model, model.job.resolved.input_width,
                                               model.job.resolved.label_width, kEvaluationRows,
                                               *model.backend));
  for (uint32_t i = 0; i < weights.values.size(); ++i) {
    std::ranges::copy(weights.values[i], model.step->weights(i).begin());
  }
  return model;
}

Result<std::unique_ptr<EvalLoader>> TrainedModel::open_data(const std::string& folder,
                                                            uint32_t lanes) const {
  return open_rows(job, folder, lanes);
}

Result<std::unique_ptr<EvalLoader>> TrainedModel::open_features(const std::string& folder) const {
  return open_rows(without_label(job), folder, 1);
}

}  // namespace ballast
