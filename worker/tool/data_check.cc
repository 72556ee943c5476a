#include "worker/tool/data_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <span>
#include <string>

#include "worker/data/dataset.h"
#include "worker/data/eval_loader.h"
#include "worker/data/examine.h"
#include "worker/data/repair.h"
#include "worker/data/train_sets.h"
#include "worker/model/model_check.h"
#include "worker/tool/memory_sum.h"

namespace ballast {
namespace {

constexpr size_t kProblemsMax = 8;  // of one data set: a lost disk needs no list of all its files
constexpr size_t kLabelsShown = 8;
constexpr uint32_t kRowsAtOnce = 4096;

void add_problems(const std::vector<Status>& problems, const Dataset& dataset, Findings& out) {
  const std::string& folder = dataset.folder();
  if (!problems.empty()) out.push_back({false, way_out_of_damage(dataset)});
  for (size_t i = 0; i < std::min(problems.size(), kProblemsMax); ++i) {
    out.push_back({true, problems[i].to_string()});
  }
  if (problems.size() <= kProblemsMax) return;
  out.push_back({true, fmt::format("data set {}: {} more; `ballast data verify {}` lists them",
                                   folder, problems.size() - kProblemsMax, folder)});
}

uint64_t stored_bytes(const Dataset& dataset) {
  uint64_t bytes = 0;
  for (const ManifestChunk& chunk : dataset.manifest().chunks) bytes += chunk.bytes;
  return bytes;
}

// Something between the stored labels and those that the model gets.
bool labels_change(const DataConfig& data) {
  return std::any_of(data.transforms.begin(), data.transforms.end(), [&](const auto& transform) {
    return transform.kind == TransformKind::kFilter || transform.column == data.label;
  });
}

// "5, 6, 7 and 4 more".
std::string list_text(const std::vector<int64_t>& labels) {
  const auto shown = std::span(labels).first(std::min(labels.size(), kLabelsShown));
  std::string text = fmt::format("{}", fmt::join(shown, ", "));
  if (shown.size() < labels.size()) {
    text += fmt::format(" and {} more", labels.size() - shown.size());
  }
  return text;
}

// From the counts in the footers. False: they do not tell.
bool judge_label_counts(const JobConfig& job, const Dataset& dataset, Findings& out) {
  if (dataset.manifest().label != job.data.label || job.resolved.label_width != 1) return false;
  if (labels_change(job.data)) return false;
  const auto counts = count_labels(dataset);
  if (!counts.ok()) return false;  // told as damage before
  const uint32_t units = output_width(job.model, job.resolved.input_width);
  uint64_t counted = 0, wrong_rows = 0;
  std::vector<int64_t> wrong;
  Status first;
  for (const LabelCount& label : *counts) {
    counted += label.count;
    const std::array value = {static_cast<float>(label.label)};
    const Status status = check_labels(job.model.loss, units, value, 1);
    if (status.ok()) continue;
    wrong_rows += label.count;
    wrong.push_back(label.label);
    if (first.ok()) first = status;
  }
  if (!first.ok()) {
    out.push_back(
        {true, fmt::format("data set {}: {} rows have label {} = {}: {}", dataset.folder(),
                           wrong_rows, job.data.label, list_text(wrong), first.to_string())});
  }
  return counted == dataset.rows();
}

// As a worker does it: all hashes, all values of the columns used, all labels.
void judge_every_row(const JobConfig& job, const Dataset& dataset, bool labels, Findings& out) {
  const std::vector<Status> damage = verify_dataset(dataset.folder(), access_of(job.data));
  add_problems(damage, dataset, out);
  if (!damage.empty()) return;
  const auto loader = EvalLoader::open(job, dataset.folder(), 1, kRowsAtOnce);
  if (!loader.ok()) {
    out.push_back({true, loader.status().to_string()});
    return;
  }
  const uint32_t units = output_width(job.model, job.resolved.input_width);
  for (uint64_t index = 0; labels && index < (*loader)->batches(LaneId(0)); ++index) {
    const Batch batch = (*loader)->take(LaneId(0), index);
    for (uint32_t row = 0; row < batch.rows; ++row) {
      const auto values =
          batch.labels.subspan(size_t{row} * (*loader)->label_width(), (*loader)->label_width());
      const Status status = check_labels(job.model.loss, units, values, 1);
      if (status.ok()) continue;
      out.push_back(
          {true, fmt::format("{}: {}", dataset.row_name(batch.row_ids[row]), status.to_string())});
      return;  // the first names the place; the counts of all are what `data inspect` shows
    }
  }
}

void judge_dataset(const JobConfig& job, const std::string& folder, uint64_t read_whole_bytes_max,
                   Findings& out) {
  const auto dataset = Dataset::open(folder, access_of(job.data));
  if (!dataset.ok()) {
    out.push_back({true, dataset.status().to_string()});
    return;
  }
  const std::vector<Status> damage = verify_chunks(**dataset);
  add_problems(damage, **dataset, out);
  if (!damage.empty()) return;
  const size_t known = out.size();
  const bool labels_told = judge_label_counts(job, **dataset, out);
  if (out.size() > known) return;
  const uint64_t bytes = stored_bytes(**dataset);
  if (bytes <= read_whole_bytes_max) {
    judge_every_row(job, **dataset, !labels_told, out);
    return;
  }
  out.push_back({false, fmt::format("data set {}: only sizes and footers were verified{}; "
                                    "`doctor --verify` reads all {}",
                                    folder, labels_told ? "" : ", labels were not checked",
                                    bytes_text(bytes))});
}

}  // namespace

Findings judge_data(const JobConfig& job, bool every_byte, uint64_t read_whole_bytes_max) {
  if (every_byte) read_whole_bytes_max = std::numeric_limits<uint64_t>::max();
  Findings findings;
  for (const TrainSet& set : train_sets(job.data)) {
    judge_dataset(job, set.location, read_whole_bytes_max, findings);
  }
  if (!job.data.test.empty()) judge_dataset(job, job.data.test, read_whole_bytes_max, findings);
  return findings;
}

}  // namespace ballast
