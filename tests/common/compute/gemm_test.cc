// What Gemm promises beyond the back end's contract: the bits of an element follow from the length
// of its sum alone. (Values: tests/contract/backend/dense_test.cc.)
#include "common/compute/cpu/gemm.h"

#include <gtest/gtest.h>

#include <vector>

#include "common/base/random.h"

namespace ballast::cpu {
namespace {

using Floats = std::vector<float>;

Floats random_floats(size_t count, uint64_t seed) {
  Floats values(count);
  for (size_t i = 0; i < count; ++i) {
    values[i] = static_cast<float>(2 * unit_double(hash_numbers({seed, i})) - 1);
  }
  return values;
}

struct Shape {
  uint32_t rows, inner, columns;
};
// Inside one block and over several of each dimension, with and without ragged edges.
constexpr Shape kShapes[] = {{9, 3, 5},       {25, 784, 40},  {64, 400, 64},
                             {300, 401, 300}, {257, 833, 33}, {520, 32, 1}};

Floats multiply(const Floats& a, const Floats& b, const Shape& s, uint32_t threads = 1) {
  Floats out(size_t{s.rows} * s.columns);
  Gemm(threads).multiply({a.data(), s.rows, s.inner}, {b.data(), s.inner, s.columns},
                         {out.data(), s.rows, s.columns});
  return out;
}

TEST(Gemm, GivesARowTheSameBitsAloneAndAmongOthers) {
  for (const Shape& s : kShapes) {
    const Floats a = random_floats(size_t{s.rows} * s.inner, 1);
    const Floats b = random_floats(size_t{s.inner} * s.columns, 2);
    const Floats whole = multiply(a, b, s);
    for (const uint32_t row : {0u, 7u, s.rows - 1}) {
      const Floats alone_a(a.begin() + size_t{row} * s.inner,
                           a.begin() + size_t{row + 1} * s.inner);

      const Floats alone = multiply(alone_a, b, {1, s.inner, s.columns});

      const Floats expected(whole.begin() + size_t{row} * s.columns,
                            whole.begin() + size_t{row + 1} * s.columns);
      EXPECT_EQ(alone, expected) << s.rows << "x" << s.inner << "x" << s.columns << " row " << row;
    }
  }
}

TEST(Gemm, GivesAColumnTheSameBitsAloneAndAmongOthers) {
  for (const Shape& s : kShapes) {
    const Floats a = random_floats(size_t{s.rows} * s.inner, 1);
    const Floats b = random_floats(size_t{s.inner} * s.columns, 2);
    const Floats whole = multiply(a, b, s);
    const uint32_t column = s.columns / 2;
    Floats alone_b(s.inner);
    for (uint32_t k = 0; k < s.inner; ++k) alone_b[k] = b[size_t{k} * s.columns + column];

    const Floats alone = multiply(a, alone_b, {s.rows, s.inner, 1});

    for (uint32_t r = 0; r < s.rows; ++r) {
      ASSERT_EQ(alone[r], whole[size_t{r} * s.columns + column]) << "row " << r;
    }
  }
}

TEST(Gemm, GivesTheSameBitsWithAnyNumberOfThreads) {
  const Shape s{301, 420, 275};
  const Floats a = random_floats(size_t{s.rows} * s.inner, 3);
  const Floats b = random_floats(size_t{s.inner} * s.columns, 4);
  const Floats one = multiply(a, b, s, 1);

  EXPECT_EQ(multiply(a, b, s, 2), one);
  EXPECT_EQ(multiply(a, b, s, 5), one);
}

TEST(Gemm, GivesTheSameBitsHoweverTheOperandsLie) {
  for (const Shape& s : kShapes) {
    const Floats a = random_floats(size_t{s.rows} * s.inner, 5);
    const Floats b = random_floats(size_t{s.inner} * s.columns, 6);
    Floats a_turned(a.size()), b_turned(b.size());
    for (uint32_t r = 0; r < s.rows; ++r) {
      for (uint32_t k = 0; k < s.inner; ++k) {
        a_turned[size_t{k} * s.rows + r] = a[size_t{r} * s.inner + k];
      }
    }
    for (uint32_t k = 0; k < s.inner; ++k) {
      for (uint32_t c = 0; c < s.columns; ++c) {
        b_turned[size_t{c} * s.inner + k] = b[size_t{k} * s.columns + c];
      }
    }
    Gemm gemm(1);
    Floats from_at(size_t{s.rows} * s.columns), from_bt(from_at.size());

    gemm.multiply_at_b({a_turned.data(), s.inner, s.rows}, {b.data(), s.inner, s.columns},
                       {from_at.data(), s.rows, s.columns});
    gemm.multiply_a_bt({a.data(), s.rows, s.inner}, {b_turned.data(), s.columns, s.inner},
                       {from_bt.data(), s.rows, s.columns});

    const Floats expected = multiply(a, b, s);
    EXPECT_EQ(from_at, expected);
    EXPECT_EQ(from_bt, expected);
  }
}

}  // namespace
}  // namespace ballast::cpu
