// Unit images for tests, made from numbers, and what it means that two are the same.
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "common/base/random.h"
#include "common/storage/unit_image.h"

namespace ballast {

inline Buffer random_floats(uint64_t seed, size_t count) {
  Buffer buffer = Buffer::allocate(count * sizeof(float));
  Random random(seed);
  for (float& value : buffer.floats()) value = unit_float(random.next()) - 0.5f;
  return buffer;
}

// A unit of `elements` floats with two state tensors; its content is a function of unit and
// version.
inline UnitImage make_image(uint32_t unit, Version version, size_t elements) {
  const uint64_t seed = hash_numbers({unit, version});
  UnitImage image;
  image.unit = UnitId(unit);
  image.version = version;
  image.updates = version + 1;
  image.samples_applied = 32.0 * static_cast<double>(version);
  image.weight_applied = 20.5 * static_cast<double>(version);
  image.marks = {version, version + 1, kNever};
  image.ledger = {seed + 3, seed + 4, seed + 5};
  image.weights = random_floats(seed, elements);
  image.state = {random_floats(seed + 1, elements), random_floats(seed + 2, elements)};
  return image;
}

inline bool same_bytes(const Buffer& a, const Buffer& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size()) == 0);
}

inline bool same_image(const UnitImage& a, const UnitImage& b) {
  if (a.unit != b.unit || a.version != b.version || a.updates != b.updates ||
      a.samples_applied != b.samples_applied || a.weight_applied != b.weight_applied ||
      a.marks != b.marks || a.ledger != b.ledger || a.state.size() != b.state.size() ||
      !same_bytes(a.weights, b.weights)) {
    return false;
  }
  for (size_t index = 0; index < a.state.size(); ++index) {
    if (!same_bytes(a.state[index], b.state[index])) return false;
  }
  return true;
}

}  // namespace ballast
