#include "common/config/nearest.h"

#include <algorithm>

namespace ballast {
namespace {

std::string_view last_part(std::string_view path) {
  const size_t dot = path.rfind('.');
  return dot == std::string_view::npos ? path : path.substr(dot + 1);
}

size_t distance_max(std::string_view word) {
  return std::max<size_t>(1, (word.size() + 2) / 3);
}

std::string nearest_within(std::string_view word, const std::vector<std::string>& candidates,
                           size_t limit) {
  std::string best;
  size_t best_distance = limit + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = edit_distance(word, candidate);
    if (distance >= best_distance) continue;
    best_distance = distance;
    best = candidate;
  }
  return best;
}

}  // namespace

size_t edit_distance(std::string_view a, std::string_view b) {
  // Three rows of the table: two before, before, now.
  std::vector<size_t> older(b.size() + 1), old(b.size() + 1), now(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) old[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    now[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t change = old[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      now[j] = std::min({old[j] + 1, now[j - 1] + 1, change});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) now[j] = std::min(now[j], older[j - 2] + 1);
    }
    std::swap(older, old);
    std::swap(old, now);
  }
  return old[b.size()];
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& candidates) {
  return nearest_within(word, candidates, distance_max(word));
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& candidates) {
  const std::string near = nearest_word(word, candidates);
  return near.empty() ? "" : "; did you mean \"" + near + "\"?";
}

std::string nearest_path(std::string_view path, const std::vector<std::string>& candidates) {
  const std::string_view name = last_part(path);
  const std::string near = nearest_within(path, candidates, distance_max(name));
  if (!near.empty()) return near;
  for (const std::string& candidate : candidates) {
    if (last_part(candidate) == name) return candidate;
  }
  return "";
}

}  // namespace ballast
