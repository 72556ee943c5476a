// The word a person most likely meant. Pure; any thread.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ballast {

// Insertions, deletions, changes and swaps of neighbours from `a` to `b` (optimal string alignment;
// Damerau, CACM 1964).
[[nodiscard]] size_t edit_distance(std::string_view a, std::string_view b);

// The candidate with the least distance, the first of equals; empty when none is within a third of
// the word's length (at least 1).
[[nodiscard]] std::string nearest_word(std::string_view word,
                                       const std::vector<std::string>& candidates);

// `; did you mean "sync"?`, to go behind what is wrong with the word; empty when nothing is near.
[[nodiscard]] std::string did_you_mean(std::string_view word,
                                       const std::vector<std::string>& candidates);

// nearest_word() for key paths ("train.bacth"): first within their last parts and distances of the
// whole, then a key of exactly that last name in another section ("train.workers":
// "cluster.workers").
[[nodiscard]] std::string nearest_path(std::string_view path,
                                       const std::vector<std::string>& candidates);

}  // namespace ballast
