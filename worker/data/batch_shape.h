// How a batch lies in its buffer: features, labels, weights, row ids, each at a multiple of 64
// bytes. Pure.
#pragma once

#include <cstdint>

#include "common/base/buffer.h"
#include "worker/data/batch.h"

namespace ballast {

struct BatchShape {
  uint32_t rows = 0;
  uint32_t width = 0;
  uint32_t label_width = 0;
  // Of a row's features that stay as they are stored; 0: they are floats.
  uint64_t stored_bytes = 0;

  [[nodiscard]] uint64_t feature_bytes() const {  // of a row
    return stored_bytes > 0 ? stored_bytes : uint64_t{width} * 4;
  }
  [[nodiscard]] uint64_t labels_offset() const { return padded(rows * feature_bytes()); }
  [[nodiscard]] uint64_t weights_offset() const {
    return labels_offset() + padded(uint64_t{rows} * label_width * 4);
  }
  [[nodiscard]] uint64_t ids_offset() const {
    return weights_offset() + padded(uint64_t{rows} * 4);
  }
  [[nodiscard]] uint64_t bytes() const { return ids_offset() + padded(uint64_t{rows} * 8); }

  // The arrays of `batch` inside `memory`, which has at least bytes().
  struct Arrays {
    std::byte* features;
    float* labels;
    float* weights;
    uint64_t* ids;
  };
  [[nodiscard]] Arrays lay_out(Buffer memory, Batch& batch) const {
    batch.rows = rows;
    batch.width = width;
    batch.label_width = label_width;
    std::byte* base = memory.data();
    const Arrays arrays{base, reinterpret_cast<float*>(base + labels_offset()),
                        reinterpret_cast<float*>(base + weights_offset()),
                        reinterpret_cast<uint64_t*>(base + ids_offset())};
    if (stored_bytes > 0) {
      batch.stored_features = {base, rows * stored_bytes};
    } else {
      batch.features = {reinterpret_cast<const float*>(base), uint64_t{rows} * width};
    }
    batch.labels = {arrays.labels, uint64_t{rows} * label_width};
    batch.weights = {arrays.weights, rows};
    batch.row_ids = {arrays.ids, rows};
    batch.memory = std::move(memory);
    return arrays;
  }

 private:
  [[nodiscard]] static uint64_t padded(uint64_t bytes) { return (bytes + 63) / 64 * 64; }
};

}  // namespace ballast
