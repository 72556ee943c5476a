#include "worker/data/transform/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/random.h"
#include "common/config/choices.h"
#include "worker/data/transform/images.h"

namespace ballast {
namespace {

// Calls change(value) on each float of the tile.
template <typename Change>
Stage each_float(Change change) {
  return [change](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      float* row = tile.row(r);
      for (uint32_t k = 0; k < tile.width; ++k) row[k] = change(row[k]);
    }
  };
}

template <typename Change>
Stage each_int(Change change) {
  return [change](const Tile& tile) {
    const size_t count = tile.rows * tile.width;
    for (size_t i = 0; i < count; ++i) tile.ints[i] = change(tile.ints[i]);
  };
}

Stage scale_stage(const TransformConfig& transform) {
  const auto factor = static_cast<float>(transform.factor);
  const auto shift = static_cast<float>(transform.shift);
  return each_float([=](float x) { return x * factor + shift; });
}

Result<Stage> standardize_stage(const TransformConfig& transform, const ChainState& state) {
  for (const auto* values : {&transform.mean, &transform.std}) {
    if (values->size() == 1 || values->size() == state.width) continue;
    return refused(transform,
                   fmt::format("1 or {} values of {} expected, {} found", state.width,
                               values == &transform.mean ? "mean" : "std", values->size()));
  }
  std::vector<float> mean, factor;
  for (uint32_t k = 0; k < state.width; ++k) {
    const double std = transform.std[transform.std.size() == 1 ? 0 : k];
    if (!(std > 0)) {
      return refused(transform, fmt::format("std[{}] > 0 expected, {} found; use 1 for a feature "
                                            "that never changes",
                                            k, std));
    }
    mean.push_back(static_cast<float>(transform.mean[transform.mean.size() == 1 ? 0 : k]));
    factor.push_back(static_cast<float>(1 / std));
  }
  return Stage([mean, factor](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      float* row = tile.row(r);
      for (uint32_t k = 0; k < tile.width; ++k) row[k] = (row[k] - mean[k]) * factor[k];
    }
  });
}

Result<Stage> clip_stage(const TransformConfig& transform, ChainState& state) {
  if (!(transform.low <= transform.high)) {
    return refused(transform, fmt::format("low <= high expected, {} and {} found", transform.low,
                                          transform.high));
  }
  if (!state.integer) {
    const auto low = static_cast<float>(transform.low), high = static_cast<float>(transform.high);
    return each_float([=](float x) { return std::clamp(x, low, high); });
  }
  const auto low = static_cast<int64_t>(transform.low);
  const auto high = static_cast<int64_t>(transform.high);
  state.least = state.known ? std::clamp(state.least, low, high) : low;
  state.most = state.known ? std::clamp(state.most, low, high) : high;
  state.known = true;
  return each_int([=](int64_t x) { return std::clamp(x, low, high); });
}

Result<Stage> bucketize_stage(const TransformConfig& transform, ChainState& state) {
  const std::vector<double>& cuts = transform.boundaries;
  if (cuts.empty() || !std::is_sorted(cuts.begin(), cuts.end(), std::less_equal<>())) {
    return refused(transform, "boundaries that rise from one to the next expected");
  }
  const bool from_ints = state.integer;
  state.integer = state.known = true;
  state.least = 0;
  state.most = static_cast<int64_t>(cuts.size());
  return Stage([cuts, from_ints](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      for (uint32_t k = 0; k < tile.width; ++k) {
        int64_t& value = tile.int_row(r)[k];
        const double x = from_ints ? static_cast<double>(value) : double{tile.row(r)[k]};
        value = std::upper_bound(cuts.begin(), cuts.end(), x) - cuts.begin();
      }
    }
  });
}

Result<Stage> hash_stage(const TransformConfig& transform, ChainState& state) {
  if (!state.integer) {
    return refused(transform, "whole numbers expected, floats found; bucketize makes some of them");
  }
  const uint64_t buckets = transform.buckets, seed = transform.hash_seed;
  if (buckets == 0) return refused(transform, "buckets >= 1 expected, 0 found");
  state.known = true;
  state.least = 0;
  state.most = static_cast<int64_t>(buckets) - 1;
  return each_int([=](int64_t x) { return hash_bucket({&x, 1}, seed, buckets); });
}

Result<Stage> token_dropout_stage(const TransformConfig& transform, uint64_t index, uint64_t seed,
                                  ChainState& state) {
  if (!state.integer) return refused(transform, "whole numbers expected, floats found");
  if (state.known) {
    state.least = std::min(state.least, transform.unknown);
    state.most = std::max(state.most, transform.unknown);
  }
  const double rate = transform.rate;
  const int64_t unknown = transform.unknown;
  return Stage([=](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      const uint64_t key = row_key(seed, tile.pass(r), tile.ids[r], index);
      int64_t* row = tile.int_row(r);
      for (uint32_t k = 0; k < tile.width; ++k) {
        if (unit_double(mix64(key + k)) < rate) row[k] = unknown;
      }
    }
  });
}

Stage noise_stage(const TransformConfig& transform, uint64_t index, uint64_t seed) {
  const double sigma = transform.sigma;
  return [=](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      Random random(row_key(seed, tile.pass(r), tile.ids[r], index));
      float* row = tile.row(r);
      for (uint32_t k = 0; k < tile.width; ++k) {
        row[k] += static_cast<float>(sigma * random.normal());
      }
    }
  };
}

}  // namespace

Status refused(const TransformConfig& transform, const std::string& what) {
  return Status(Code::kInvalidInput, fmt::format("data.transform {} of column \"{}\": {}",
                                                 name_of(transform.kind), transform.column, what));
}

bool is_whole(double value) {
  return value == std::floor(value) && std::abs(value) <= 0x1.0p53;
}

bool is_random(TransformKind kind) {
  switch (kind) {
    case TransformKind::kRandomCrop:
    case TransformKind::kRandomFlip:
    case TransformKind::kRandomRotate:
    case TransformKind::kRandomShift:
    case TransformKind::kNoise:
    case TransformKind::kTokenDropout:
      return true;
    default:
      return false;
  }
}

bool takes_integers(const TransformConfig& transform) {
  switch (transform.kind) {
    case TransformKind::kClip:  // with other bounds the results are not whole
      return is_whole(transform.low) && is_whole(transform.high);
    case TransformKind::kBucketize:
    case TransformKind::kHash:
    case TransformKind::kOneHot:
    case TransformKind::kTokenDropout:
      return true;
    default:
      return false;
  }
}

Result<Stage> make_stage(const TransformConfig& transform, uint64_t index, uint64_t seed,
                         ChainState& state) {
  switch (transform.kind) {
    case TransformKind::kScale:
      return scale_stage(transform);
    case TransformKind::kStandardize:
      return standardize_stage(transform, state);
    case TransformKind::kLog1p:
      return each_float([](float x) { return std::copysign(std::log1p(std::abs(x)), x); });
    case TransformKind::kClip:
      return clip_stage(transform, state);
    case TransformKind::kBucketize:
      return bucketize_stage(transform, state);
    case TransformKind::kHash:
      return hash_stage(transform, state);
    case TransformKind::kTokenDropout:
      return token_dropout_stage(transform, index, seed, state);
    case TransformKind::kNoise:
      return noise_stage(transform, index, seed);
    case TransformKind::kRandomCrop:
    case TransformKind::kRandomFlip:
    case TransformKind::kRandomRotate:
    case TransformKind::kRandomShift:
      return image_stage(transform, index, seed, state);
    case TransformKind::kOneHot:
    case TransformKind::kMultiHot:
    case TransformKind::kPad:
    case TransformKind::kCross:
    case TransformKind::kFilter:
      break;
  }
  BALLAST_CHECK_MSG(false, "not a stage");
}

Stage one_hot_stage(uint32_t classes) {
  return [classes](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      std::fill_n(tile.row(r), classes, 0.0f);
      tile.row(r)[tile.ints[r]] = 1.0f;  // in range: known from the chain, or checked when read
    }
  };
}

Stage to_float_stage() {
  return [](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      const int64_t* from = tile.int_row(r);
      float* row = tile.row(r);
      for (uint32_t k = 0; k < tile.width; ++k) row[k] = static_cast<float>(from[k]);
    }
  };
}

int64_t hash_bucket(std::span<const int64_t> numbers, uint64_t seed, uint64_t buckets) {
  return static_cast<int64_t>(xxh3(std::as_bytes(numbers), seed) % buckets);
}

uint64_t row_key(uint64_t seed, uint64_t pass, uint64_t row, uint64_t transform) {
  constexpr uint64_t kTransforms = 0x7472616e73;  // "trans": apart from order and dropout
  return hash_numbers({seed, kTransforms, pass, row, transform});
}

}  // namespace ballast
