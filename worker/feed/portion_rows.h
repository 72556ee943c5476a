// The rows of a portion as they travel: arrays of ids, labels, weights and features in one run of
// memory, with a hash over all. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "common/base/buffer.h"
#include "common/wire/feed_messages.h"
#include "worker/data/row_source.h"

namespace ballast {

struct PortionShape {
  uint64_t feature_bytes = 0;  // of a row: floats, or as stored (RowPlan::stored)
  uint32_t label_width = 0;    // values of a label

  [[nodiscard]] uint64_t row_bytes() const {
    return sizeof(uint64_t) + feature_bytes +
           sizeof(float) * (uint64_t{label_width} + 1 /* weight */);
  }
};

// The arrays of an answer for `rows` rows inside `memory`, which has rows * row_bytes() or more.
void lay_out(wire::FeedAnswer& answer, const PortionShape& shape, uint32_t rows, Buffer memory);
// Where the answer's rows go.
[[nodiscard]] RowRoom room_of(wire::FeedAnswer& answer);
[[nodiscard]] uint64_t hash_of(const wire::FeedAnswer& answer);
// What is wrong with the arrays: "features: 400 bytes expected, 396 found". Empty: nothing.
[[nodiscard]] std::string fault_of(const wire::FeedAnswer& answer, const PortionShape& shape);

// Rows [first, first + count) of the answer, count = places of `room`.
void copy_rows(const wire::FeedAnswer& answer, const PortionShape& shape, uint64_t first,
               const RowRoom& room);

}  // namespace ballast
