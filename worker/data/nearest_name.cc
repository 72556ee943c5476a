#include "worker/data/nearest_name.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

namespace ballast {

namespace {

// Levenshtein's distance, one row of the table at a time.
size_t edits(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view wanted, std::span<const std::string> names) {
  std::string nearest;
  size_t fewest = std::numeric_limits<size_t>::max();
  for (const std::string& name : names) {
    const size_t distance = edits(wanted, name);
    if (distance >= fewest) continue;
    fewest = distance;
    nearest = name;
  }
  return nearest;
}

}  // namespace ballast
