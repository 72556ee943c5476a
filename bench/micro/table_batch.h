// TableBatch: which rows of its tables a batch asks for, one key a field, skewed as those of click
// data: the first field has one key, which is in every row, each next one twice as many, up to as
// many as there are rows. Owner thread: main.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/base/random.h"
#include "common/compute/segments.h"

namespace ballast::bench {

struct TableBatch {
  using Numbers = std::vector<uint32_t>;

  TableBatch(uint32_t batch, uint32_t fields) : bags(batch * fields) {
    constexpr uint32_t kNone = 0xffffffffu;
    rows.resize(bags);
    for (uint32_t f = 0; f < fields; ++f) {
      const uint32_t keys = std::min(batch, 1u << std::min(f, 31u));
      Numbers row_of(keys, kNone);
      for (uint32_t r = 0; r < batch; ++r) {
        uint32_t& row = row_of[hash_numbers({f, r}) % keys];
        if (row == kNone) row = distinct++;
        rows[size_t{r} * fields + f] = row;
      }
    }
    starts.resize(size_t{bags} + 1);
    for (uint32_t s = 0; s <= bags; ++s) starts[s] = s;
    bags_by_row.resize(bags);
    starts_by_row.resize(size_t{distinct} + 1);
    turn_segments({rows, starts, {}}, {bags_by_row, starts_by_row, {}});
  }

  uint32_t bags;                       // one item each
  uint32_t distinct = 0;               // rows, each of which is asked for
  Numbers rows, starts;                // forward: bag by bag
  Numbers bags_by_row, starts_by_row;  // their gradient
};

}  // namespace ballast::bench
