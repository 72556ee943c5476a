#include "common/metrics/area_under_curve.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "common/base/check.h"

namespace ballast {
namespace {

// Twice the number of pairs passes 64 bits from 3e9 samples of each kind on.
__extension__ using Wide = unsigned __int128;

bool before(const ScoredLabel& a, const ScoredLabel& b) {
  return a.score < b.score || (a.score == b.score && a.label < b.label);
}

}  // namespace

ScoreRun make_run(std::span<const float> scores, std::span<const float> labels) {
  BALLAST_CHECK(scores.size() == labels.size());
  ScoreRun run(scores.size());
  for (size_t i = 0; i < run.size(); ++i) run[i] = {scores[i], labels[i]};
  std::sort(run.begin(), run.end(), before);
  return run;
}

ScoreRun merge_runs(std::span<const ScoredLabel> a, std::span<const ScoredLabel> b) {
  ScoreRun run(a.size() + b.size());
  std::merge(a.begin(), a.end(), b.begin(), b.end(), run.begin(), before);
  return run;
}

void RunCollector::add(ScoreRun run) {
  while (!runs_.empty() && runs_.back().size() < 2 * run.size()) {
    run = merge_runs(runs_.back(), run);
    runs_.pop_back();
  }
  if (!run.empty()) runs_.push_back(std::move(run));
}

ScoreRun RunCollector::take() {
  ScoreRun all;
  for (; !runs_.empty(); runs_.pop_back()) all = merge_runs(runs_.back(), all);
  return all;
}

std::optional<double> area_under_curve(std::span<const ScoredLabel> run) {
  uint64_t positives = 0;
  uint64_t negatives = 0;
  Wide twice_won = 0;  // pairs won count 2, ties 1
  for (size_t i = 0; i < run.size();) {
    uint64_t tied_positives = 0;
    uint64_t tied_negatives = 0;
    const float score = run[i].score;
    for (; i < run.size() && run[i].score == score; ++i) {
      ++(run[i].label > 0.5f ? tied_positives : tied_negatives);
    }
    if (tied_positives + tied_negatives == 0) return std::nullopt;  // NaN, from another process
    twice_won += static_cast<Wide>(tied_positives) * (2 * negatives + tied_negatives);
    positives += tied_positives;
    negatives += tied_negatives;
  }
  if (positives == 0 || negatives == 0) return std::nullopt;
  const double pairs = static_cast<double>(positives) * static_cast<double>(negatives);
  return static_cast<double>(twice_won) / 2 / pairs;
}

}  // namespace ballast
