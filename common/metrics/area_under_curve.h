// The exact area under the ROC curve: the share of (positive, negative) pairs in which the positive
// scores higher, ties counting half (Hanley and McNeil, Radiology 1982). Computed from sorted runs
// of (score, label), which are merged like any sorted lists; the result is counted in whole
// numbers, so it depends neither on how the data was cut nor on the order of merging. Pure; any
// thread.
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace ballast {

// Plain: goes over the wire as two floats. label: 0 or 1. score: not NaN.
struct ScoredLabel {
  float score = 0;
  float label = 0;
  bool operator==(const ScoredLabel&) const = default;
};

// Ascending by score, then by label.
using ScoreRun = std::vector<ScoredLabel>;

// scores and labels: equal lengths, element by element.
[[nodiscard]] ScoreRun make_run(std::span<const float> scores, std::span<const float> labels);
[[nodiscard]] ScoreRun merge_runs(std::span<const ScoredLabel> a, std::span<const ScoredLabel> b);

// Takes many runs and gives one. Merges runs of like size first, so that n pairs in k runs cost
// n log k moves, not n k.
class RunCollector {
 public:
  void add(ScoreRun run);
  [[nodiscard]] ScoreRun take();  // everything added; empty again afterwards

 private:
  std::vector<ScoreRun> runs_;  // each at least twice as long as the next
};

// Of a sorted run. Nothing: all labels are the same, so there is no pair; or a score is NaN.
[[nodiscard]] std::optional<double> area_under_curve(std::span<const ScoredLabel> run);

}  // namespace ballast
