#include "worker/feed/portion_rows.h"

#include <fmt/format.h>

#include <cstring>

#include "common/base/hash.h"

namespace ballast {
namespace {

// Of one row in each array.
struct ArrayBytes {
  explicit ArrayBytes(const PortionShape& shape)
      : features(shape.feature_bytes), labels(sizeof(float) * shape.label_width) {}

  uint64_t ids = sizeof(uint64_t);
  uint64_t features;
  uint64_t labels;
  uint64_t weights = sizeof(float);
};

void copy_array(void* to, const Buffer& from, uint64_t first, uint64_t count, uint64_t row_bytes) {
  if (row_bytes > 0) std::memcpy(to, from.data() + first * row_bytes, count * row_bytes);
}

}  // namespace

// Features last: as they are stored they may end anywhere.
void lay_out(wire::FeedAnswer& answer, const PortionShape& shape, uint32_t rows, Buffer memory) {
  const ArrayBytes bytes(shape);
  uint64_t at = 0;
  const auto next = [&](uint64_t row_bytes) {
    Buffer array = memory.slice(at, rows * row_bytes);
    at += rows * row_bytes;
    return array;
  };
  answer.ids = next(bytes.ids);
  answer.labels = next(bytes.labels);
  answer.weights = next(bytes.weights);
  answer.features = next(bytes.features);
}

RowRoom room_of(wire::FeedAnswer& answer) {
  return {{reinterpret_cast<uint64_t*>(answer.ids.data()), answer.ids.size() / sizeof(uint64_t)},
          answer.features.data(),
          reinterpret_cast<float*>(answer.labels.data()),
          reinterpret_cast<float*>(answer.weights.data()),
          nullptr};
}

uint64_t hash_of(const wire::FeedAnswer& answer) {
  Hasher hasher;
  for (const Buffer* array : {&answer.ids, &answer.features, &answer.labels, &answer.weights}) {
    hasher.add(array->bytes());
  }
  return hasher.digest();
}

std::string fault_of(const wire::FeedAnswer& answer, const PortionShape& shape) {
  const ArrayBytes bytes(shape);
  const auto size_of = [&](const char* name, const Buffer& array, uint64_t row_bytes) {
    const uint64_t expected = answer.run.rows * row_bytes;
    return array.size() == expected
               ? std::string()
               : fmt::format("{}: {} bytes expected, {} found", name, expected, array.size());
  };
  std::string fault = size_of("ids", answer.ids, bytes.ids);
  if (fault.empty()) fault = size_of("features", answer.features, bytes.features);
  if (fault.empty()) fault = size_of("labels", answer.labels, bytes.labels);
  if (fault.empty()) fault = size_of("weights", answer.weights, bytes.weights);
  if (!fault.empty()) return fault;
  const uint64_t found = hash_of(answer);
  if (found == answer.xxh3) return {};
  return fmt::format("xxh3 {} expected, {} found", hex64(answer.xxh3), hex64(found));
}

void copy_rows(const wire::FeedAnswer& answer, const PortionShape& shape, uint64_t first,
               const RowRoom& room) {
  const ArrayBytes bytes(shape);
  const uint64_t count = room.ids.size();
  copy_array(room.ids.data(), answer.ids, first, count, bytes.ids);
  copy_array(room.features, answer.features, first, count, bytes.features);
  copy_array(room.labels, answer.labels, first, count, bytes.labels);
  copy_array(room.weights, answer.weights, first, count, bytes.weights);
}

}  // namespace ballast
