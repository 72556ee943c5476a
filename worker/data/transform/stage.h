// Stage: one transform of a chain, applied to a tile of rows: some rows of one column, together
// small enough for the first cache. A tile's values are whole numbers (`ints`) or floats (`out`); a
// stage takes one kind and leaves one. Pure: random stages are functions of the job's seed, how
// often the row was taken before (its pass: the epoch, where an epoch takes each row once), its
// number in the data set and the transform's place in the file, so a row has the same bits for
// whoever gathers it, and new ones each time it is taken.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

struct Tile {
  size_t rows = 0;
  uint32_t width = 0;       // values a row
  int64_t* ints = nullptr;  // [rows, width], dense
  float* out = nullptr;     // [rows, width], `stride` floats from row to row
  uint64_t stride = 0;
  float* spare = nullptr;         // [width]: one row, for stages that move values
  const uint64_t* ids = nullptr;  // [rows], of the data set
  uint64_t epoch = 0;
  const uint32_t* passes = nullptr;  // [rows]; null: the epoch, for all

  [[nodiscard]] uint64_t pass(size_t i) const { return passes == nullptr ? epoch : passes[i]; }
  [[nodiscard]] float* row(size_t i) const { return out + i * stride; }
  [[nodiscard]] int64_t* int_row(size_t i) const { return ints + i * width; }
};

using Stage = std::function<void(const Tile&)>;

// What stands at a place of a chain, before anything is read.
struct ChainState {
  ColumnSpec spec;
  uint32_t width = 0;    // values a row
  bool integer = false;  // in Tile::ints, else in Tile::out
  // integer: the least and the largest value there can be; unknown: as stored, whatever that is.
  bool known = false;
  int64_t least = 0;
  int64_t most = 0;
};

// "data.transform clip of column "x": " and what is wrong with it. kInvalidInput.
[[nodiscard]] Status refused(const TransformConfig& transform, const std::string& what);

// Whether 64 bits of a whole number hold it as a double does.
[[nodiscard]] bool is_whole(double value);
// Whether it is done to training rows alone.
[[nodiscard]] bool is_random(TransformKind kind);
// Whether it works on whole numbers where it finds them; all others turn them into floats first.
[[nodiscard]] bool takes_integers(const TransformConfig& transform);

// The stage of data.transform[index], and what `state` is behind it. kInvalidInput: it does not fit
// what stands before it. Not for one_hot, multi_hot, pad, cross and filter, which change what a row
// is.
[[nodiscard]] Result<Stage> make_stage(const TransformConfig& transform, uint64_t index,
                                       uint64_t seed, ChainState& state);

// 0 where the value of `ints` is not, 1 where it is; `classes` floats a row. width 1.
[[nodiscard]] Stage one_hot_stage(uint32_t classes);
[[nodiscard]] Stage to_float_stage();

// XXH3-64 with `seed` of the numbers as 8 little-endian bytes each, modulo `buckets`.
[[nodiscard]] int64_t hash_bucket(std::span<const int64_t> numbers, uint64_t seed,
                                  uint64_t buckets);

// Of a row and a random transform: what all of its randomness follows from.
[[nodiscard]] uint64_t row_key(uint64_t seed, uint64_t pass, uint64_t row, uint64_t transform);

}  // namespace ballast
