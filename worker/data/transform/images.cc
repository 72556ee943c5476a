#include "worker/data/transform/images.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/base/random.h"

namespace ballast {
namespace {

// [H, W], [H, W, C] or, with layout chw, [C, H, W]: as stated, else the column's own.
Result<Picture> picture_of(const TransformConfig& transform, const ChainState& state) {
  std::vector<uint64_t> shape(transform.shape.begin(), transform.shape.end());
  if (shape.empty()) shape.assign(state.spec.shape.begin(), state.spec.shape.end());
  if (shape.size() != 2 && shape.size() != 3) {
    return refused(transform, fmt::format("shape [height, width] or three numbers with channels "
                                          "expected, [{}] found",
                                          fmt::join(shape, ", ")));
  }
  Picture picture{.layout = transform.layout};
  const size_t first = shape.size() == 3 && transform.layout == PixelLayout::kChw ? 1 : 0;
  picture.height = static_cast<uint32_t>(shape[first]);
  picture.width = static_cast<uint32_t>(shape[first + 1]);
  if (shape.size() == 3) picture.channels = static_cast<uint32_t>(shape[first == 1 ? 0 : 2]);
  if (picture.size() == state.width && state.width > 0) return picture;
  return refused(transform, fmt::format("shape [{}] is {} values, but the column has {} a row",
                                        fmt::join(shape, ", "), picture.size(), state.width));
}

void flip(const Picture& picture, float* row) {
  for (uint32_t y = 0; y < picture.height; ++y) {
    for (uint32_t x = 0; x < picture.width / 2; ++x) {
      for (uint32_t c = 0; c < picture.channels; ++c) {
        std::swap(row[picture.at(y, x, c)], row[picture.at(y, picture.width - 1 - x, c)]);
      }
    }
  }
}

// row(y, x) = from(y + down, x + right), `fill` where that is outside.
void move_whole(const Picture& picture, const float* from, int64_t down, int64_t right, float fill,
                float* row) {
  for (uint32_t y = 0; y < picture.height; ++y) {
    for (uint32_t x = 0; x < picture.width; ++x) {
      const int64_t fy = y + down, fx = x + right;
      const bool inside = fy >= 0 && fy < picture.height && fx >= 0 && fx < picture.width;
      for (uint32_t c = 0; c < picture.channels; ++c) {
        row[picture.at(y, x, c)] =
            inside ? from[picture.at(static_cast<uint32_t>(fy), static_cast<uint32_t>(fx), c)]
                   : fill;
      }
    }
  }
}

// Between four pixels, each as much as it is near; outside there is `fill`.
float between(const Picture& picture, const float* from, double y, double x, uint32_t c,
              float fill) {
  const double top = std::floor(y), left = std::floor(x);
  const auto pixel = [&](double py, double px) {
    const bool inside = py >= 0 && py < picture.height && px >= 0 && px < picture.width;
    return inside ? from[picture.at(static_cast<uint32_t>(py), static_cast<uint32_t>(px), c)]
                  : fill;
  };
  const double down = y - top, right = x - left;
  const double upper = pixel(top, left) * (1 - right) + pixel(top, left + 1) * right;
  const double lower = pixel(top + 1, left) * (1 - right) + pixel(top + 1, left + 1) * right;
  return static_cast<float>(upper * (1 - down) + lower * down);
}

// Turned by `radians` about the middle, then moved.
void resample(const Picture& picture, const float* from, double radians, double down, double right,
              float fill, float* row) {
  const double cosine = std::cos(radians), sine = std::sin(radians);
  const double middle_y = (picture.height - 1) / 2.0, middle_x = (picture.width - 1) / 2.0;
  for (uint32_t y = 0; y < picture.height; ++y) {
    for (uint32_t x = 0; x < picture.width; ++x) {
      const double dy = y - middle_y - down, dx = x - middle_x - right;
      const double from_y = middle_y + cosine * dy - sine * dx;
      const double from_x = middle_x + sine * dy + cosine * dx;
      for (uint32_t c = 0; c < picture.channels; ++c) {
        row[picture.at(y, x, c)] = between(picture, from, from_y, from_x, c, fill);
      }
    }
  }
}

// Uniform in [-limit, limit).
double swing(Random& random, double limit) {
  return (2 * random.uniform() - 1) * limit;
}

// change(random, from, row): `from` is a copy of the row.
template <typename Change>
Stage each_picture(uint64_t index, uint64_t seed, const Change& change) {
  return [=](const Tile& tile) {
    for (size_t r = 0; r < tile.rows; ++r) {
      Random random(row_key(seed, tile.pass(r), tile.ids[r], index));
      std::copy_n(tile.row(r), tile.width, tile.spare);
      change(random, tile.spare, tile.row(r));
    }
  };
}

}  // namespace

Result<Stage> image_stage(const TransformConfig& transform, uint64_t index, uint64_t seed,
                          const ChainState& state) {
  BALLAST_ASSIGN(const Picture picture, picture_of(transform, state));
  const auto fill = static_cast<float>(transform.fill);
  if (transform.kind == TransformKind::kRandomCrop) {
    const int64_t padding = transform.padding;
    return each_picture(index, seed, [=](Random& random, const float* from, float* row) {
      const int64_t down = random.between(-padding, padding);
      move_whole(picture, from, down, random.between(-padding, padding), fill, row);
    });
  }
  if (transform.kind == TransformKind::kRandomFlip) {
    const double probability = transform.probability;
    return Stage([=](const Tile& tile) {
      for (size_t r = 0; r < tile.rows; ++r) {
        const uint64_t key = row_key(seed, tile.pass(r), tile.ids[r], index);
        if (unit_double(key) < probability) flip(picture, tile.row(r));
      }
    });
  }
  if (transform.kind == TransformKind::kRandomRotate) {
    const double limit = transform.degrees * std::numbers::pi / 180;
    return each_picture(index, seed, [=](Random& random, const float* from, float* row) {
      resample(picture, from, swing(random, limit), 0, 0, fill, row);
    });
  }
  const double limit = transform.pixels;
  return each_picture(index, seed, [=](Random& random, const float* from, float* row) {
    const double down = swing(random, limit);
    resample(picture, from, 0, down, swing(random, limit), fill, row);
  });
}

}  // namespace ballast
