#include <gmock/gmock.h>

#include <numeric>

#include "common/compute/segments.h"
#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using testing::Floats;
using Numbers = std::vector<uint32_t>;

constexpr uint32_t kRows = 50;  // of x, unless a test says otherwise

// Segments of the given numbers of items, whose rows are drawn.
struct Bags {
  Numbers rows, starts{0};
  Floats scales;  // or none

  [[nodiscard]] uint32_t count() const { return static_cast<uint32_t>(starts.size() - 1); }
  [[nodiscard]] ConstSegments segments() const { return {rows, starts, scales}; }
  [[nodiscard]] uint32_t items_of(uint32_t s) const { return starts[s + 1] - starts[s]; }

  // Turned round: by row of a matrix of `count` rows.
  [[nodiscard]] Bags turned(uint32_t count) const {
    Bags by_row{Numbers(rows.size()), Numbers(count + 1), Floats(scales.size())};
    turn_segments(segments(), {by_row.rows, by_row.starts, by_row.scales});
    return by_row;
  }
};

class BackendTables : public testing::BackendContract {
 protected:
  Indices put_numbers(const Numbers& numbers) {
    auto memory = backend_->allocate(numbers.size());
    EXPECT_TRUE(memory.ok());
    memory_.push_back(std::move(memory).value());
    const Indices indices = memory_.back().indices(numbers.size());
    backend_->upload(stream_, numbers, indices);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return indices;
  }

  // The same values at an address that is a multiple of 4 bytes and no more.
  Matrix put_apart(const Floats& values, uint32_t rows, uint32_t columns) {
    const Matrix whole = room(1, rows * columns + 1);
    const Matrix matrix{whole.device_data + 1, rows, columns};
    backend_->upload(stream_, values, matrix);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return matrix;
  }

  Bags bags(const Numbers& items, bool scaled, uint32_t rows = kRows) {
    Bags drawn;
    for (uint32_t count : items) {
      for (uint32_t k = 0; k < count; ++k) {
        drawn.rows.push_back(static_cast<uint32_t>(random_.below(rows)));
      }
      drawn.starts.push_back(static_cast<uint32_t>(drawn.rows.size()));
    }
    if (scaled) drawn.scales = random_floats(drawn.rows.size());
    return drawn;
  }

  void sum(ConstMatrix x, const Bags& bags, Matrix y) {
    const ConstMatrix scales = bags.scales.empty()
                                   ? ConstMatrix()
                                   : put(bags.scales, 1, static_cast<uint32_t>(bags.rows.size()));
    backend_->segment_sum(stream_, x, put_numbers(bags.rows), put_numbers(bags.starts), scales, y);
  }
  Floats sums(ConstMatrix x, const Bags& bags) {
    const Matrix y = room(bags.count(), x.columns);
    sum(x, bags, y);
    return get(y);
  }

  static std::vector<double> expected_sum(const Floats& x, uint32_t d, const Bags& bags,
                                          uint32_t s) {
    std::vector<double> sum(d);
    for (uint32_t k = bags.starts[s]; k < bags.starts[s + 1]; ++k) {
      const double scale = bags.scales.empty() ? 1.0 : bags.scales[k];
      for (uint32_t c = 0; c < d; ++c) sum[c] += scale * x[size_t{bags.rows[k]} * d + c];
    }
    return sum;
  }

  void expect_sums(const Floats& x, uint32_t d, const Bags& bags, const Floats& found) {
    ASSERT_EQ(found.size(), size_t{bags.count()} * d);
    for (uint32_t s = 0; s < bags.count(); ++s) {
      SCOPED_TRACE(::testing::Message() << "segment " << s << " of d " << d);
      const auto row = found.begin() + static_cast<ptrdiff_t>(size_t{s} * d);
      expect_close(Floats(row, row + d), expected_sum(x, d, bags, s),
                   bags.items_of(s) / 3.0);  // errors of many items even out: one lost shows
      if (HasFatalFailure()) return;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, BackendTables, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

constexpr uint32_t kWidths[] = {1, 3, 4, 16, 128, 130, 300};

TEST_P(BackendTables, NumbersComeToTheDeviceAsTheyAre) {
  // Read as floats, these are no number, below the least normal one, and one.
  const Numbers numbers = {0xffffffffu, 1u, 0x3f800000u};
  const Indices indices = put_numbers(numbers);

  Floats found(3);
  backend_->download(stream_, {reinterpret_cast<const float*>(indices.device_data), 1, 3}, found);
  ASSERT_TRUE(backend_->synchronize(stream_).ok());

  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(std::bit_cast<uint32_t>(found[i]), numbers[i]);
}

TEST_P(BackendTables, AnExampleByHand) {
  const Matrix x = put({1, 2, 10, 20, 100, 200}, 3, 2);
  const Bags bags{{2, 0, 0, 1}, {0, 1, 1, 4}, {3, 1, 5, -1}};

  EXPECT_THAT(sums(x, bags), ElementsAre(300, 600, 0, 0, -4, -8));
  EXPECT_THAT(sums(x, {bags.rows, bags.starts, {}}), ElementsAre(100, 200, 0, 0, 12, 24));
}

TEST_P(BackendTables, SumsBagsOfAnyLengthAlsoEmptyOnes) {
  // Also at the ends, also as long as what a device may cut into pieces.
  Numbers items = {0,  0,  1, 2, 3,   0,   5,   31,  32,  33,  63,
                   64, 65, 0, 0, 127, 128, 129, 191, 192, 1000};
  for (int i = 0; i < 300; ++i) items.push_back(static_cast<uint32_t>(random_.below(4)));
  items.push_back(0);
  for (const uint32_t d : kWidths) {
    for (const bool scaled : {false, true}) {
      const Floats x = random_floats(size_t{kRows} * d);
      const Bags drawn = bags(items, scaled);
      expect_sums(x, d, drawn, sums(put(x, kRows, d), drawn));
    }
  }
}

TEST_P(BackendTables, SumsSegmentsOfVeryUnequalLengths) {
  constexpr uint32_t kMany = 1000;  // of x
  for (const uint32_t d : kWidths) {
    Numbers items(200, 2);
    items[0] = 300;
    items[70] = 20'000;
    items[71] = 4'097;
    items[199] = 777;
    const Floats x = random_floats(size_t{kMany} * d);
    const Bags drawn = bags(items, true, kMany);
    expect_sums(x, d, drawn, sums(put(x, kMany, d), drawn));
  }
}

TEST_P(BackendTables, ASumOfNothingIsZeros) {
  const Matrix x = put(random_floats(4 * 8), 4, 8);
  EXPECT_THAT(sums(x, {{}, {0, 0, 0, 0}, {}}), Each(0.0f));
  EXPECT_THAT(sums(room(0, 8), {{}, {0, 0}, {}}), Each(0.0f));
  EXPECT_TRUE(sums(x, {{}, {0}, {}}).empty());
}

TEST_P(BackendTables, ASegmentsBitsAreItsOwn) {
  for (const uint32_t d : {3u, 16u, 128u, 130u}) {
    const Matrix x = put(random_floats(size_t{kRows} * d), kRows, d);
    for (const uint32_t items : {1u, 3u, 63u, 64u, 100u, 128u, 1'000u, 20'000u}) {
      const Bags alone = bags({items}, true);
      const Floats expected = sums(x, alone);
      for (const Numbers& before : {Numbers{0, 37}, Numbers{1, 500, 0, 64}}) {
        Bags beside = bags(before, true);
        const auto place = static_cast<ptrdiff_t>(beside.count());
        for (const Numbers& group : {Numbers(alone.rows), Numbers(90, 7)}) {
          beside.rows.insert(beside.rows.end(), group.begin(), group.end());
          beside.starts.push_back(static_cast<uint32_t>(beside.rows.size()));
        }
        beside.scales.insert(beside.scales.end(), alone.scales.begin(), alone.scales.end());
        beside.scales.resize(beside.rows.size(), 0.5f);

        const Floats found = sums(x, beside);

        const auto row = found.begin() + place * d;
        EXPECT_EQ(Floats(row, row + d), expected) << items << " items of " << d;
      }
    }
  }
}

TEST_P(BackendTables, SumsHaveTheSameBitsAtAnyAddressAndWithScalesOfOne) {
  for (const uint32_t d : {4u, 5u, 128u}) {
    const Floats values = random_floats(size_t{kRows} * d);
    Bags drawn = bags({2, 0, 3, 70, 1'500}, false);
    const Floats expected = sums(put(values, kRows, d), drawn);

    EXPECT_EQ(sums(put_apart(values, kRows, d), drawn), expected);
    const Matrix y = put_apart(Floats(5 * d, 9.0f), 5, d);
    sum(put(values, kRows, d), drawn, y);
    EXPECT_EQ(get(y), expected);
    drawn.scales.assign(drawn.rows.size(), 1.0f);
    EXPECT_EQ(sums(put(values, kRows, d), drawn), expected);
  }
}

// <sum(x), g> = <x, sum with the segments turned round(g)>: what makes it a table's gradient.
TEST_P(BackendTables, TheGradientIsTheSumTurnedRound) {
  Numbers items = {0, 1, 2, 300, 0, 7, 70};
  for (int i = 0; i < 100; ++i) items.push_back(static_cast<uint32_t>(random_.below(5)));
  for (const uint32_t d : kWidths) {
    for (const bool scaled : {false, true}) {
      Bags drawn = bags(items, scaled);
      for (size_t k = 0; k < drawn.rows.size(); k += 2) drawn.rows[k] = 3;  // a key of many rows
      const Bags by_row = drawn.turned(kRows);
      const Floats x = random_floats(size_t{kRows} * d),
                   g = random_floats(size_t{drawn.count()} * d);

      const Floats y = sums(put(x, kRows, d), drawn);
      const Floats dx = sums(put(g, drawn.count(), d), by_row);

      expect_sums(g, d, by_row, dx);
      const double forward = std::inner_product(y.begin(), y.end(), g.begin(), 0.0);
      const double backward = std::inner_product(x.begin(), x.end(), dx.begin(), 0.0);
      const double size = std::sqrt(std::inner_product(y.begin(), y.end(), y.begin(), 0.0) *
                                    std::inner_product(g.begin(), g.end(), g.begin(), 0.0));
      EXPECT_NEAR(forward, backward, 1e-5 * size) << "d " << d;
    }
  }
}

TEST_P(BackendTables, SumsOfTwoStreamsDoNotMeet) {
  const StreamId second = backend_->create_stream();
  const Floats values = random_floats(size_t{kRows} * 64);
  const Matrix x = put(values, kRows, 64);
  const Bags one = bags({5'000, 3'000}, false), other = bags({2'000, 6'000}, false);
  const Indices one_rows = put_numbers(one.rows), one_starts = put_numbers(one.starts);
  const Indices other_rows = put_numbers(other.rows), other_starts = put_numbers(other.starts);
  const Matrix one_y = room(2, 64), other_y = room(2, 64);

  for (int i = 0; i < 20; ++i) {
    backend_->segment_sum(stream_, x, one_rows, one_starts, {}, one_y);
    backend_->segment_sum(second, x, other_rows, other_starts, {}, other_y);
  }
  ASSERT_TRUE(backend_->synchronize(second).ok());

  expect_sums(values, 64, one, get(one_y));
  expect_sums(values, 64, other, get(other_y));
}

// ---------------------------------------------------------------- dot interaction

struct Vectors {
  uint32_t rows, count, d;
  Floats x;

  [[nodiscard]] uint32_t pairs() const { return count * (count - 1) / 2; }
  [[nodiscard]] uint32_t columns() const { return count * d; }
  [[nodiscard]] double at(uint32_t row, uint32_t i, uint32_t c) const {
    return x[(size_t{row} * count + i) * d + c];
  }
};

std::vector<double> expected_dots(const Vectors& v) {
  std::vector<double> y;
  for (uint32_t r = 0; r < v.rows; ++r) {
    for (uint32_t i = 0; i < v.count; ++i) {
      for (uint32_t j = 0; j < i; ++j) {
        double dot = 0;
        for (uint32_t c = 0; c < v.d; ++c) dot += v.at(r, i, c) * v.at(r, j, c);
        y.push_back(dot);
      }
    }
  }
  return y;
}

std::vector<double> expected_gradient(const Vectors& v, const Floats& dy) {
  std::vector<double> dx(v.x.size());
  size_t pair = 0;
  for (uint32_t r = 0; r < v.rows; ++r) {
    for (uint32_t i = 0; i < v.count; ++i) {
      for (uint32_t j = 0; j < i; ++j, ++pair) {
        for (uint32_t c = 0; c < v.d; ++c) {
          dx[(size_t{r} * v.count + i) * v.d + c] += dy[pair] * v.at(r, j, c);
          dx[(size_t{r} * v.count + j) * v.d + c] += dy[pair] * v.at(r, i, c);
        }
      }
    }
  }
  return dx;
}

TEST_P(BackendTables, PairsOfAnInteractionComeInTheirOrder) {
  // Vectors of one number: its products name the pair.
  const Matrix x = put({2, 3, 5, 7, 1, 10, 100, 1000}, 2, 4), y = room(2, 6), dx = room(2, 4);

  backend_->dot_interaction_forward(stream_, x, 4, y);
  const Matrix dy = put({0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 2, 6);
  backend_->dot_interaction_backward(stream_, x, 4, dy, dx);

  // (1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)
  EXPECT_THAT(get(y), ElementsAre(6, 10, 15, 14, 21, 35, 10, 100, 1000, 1000, 10'000, 100'000));
  EXPECT_THAT(get(dx), ElementsAre(0, 5, 3, 0, 1000, 0, 0, 1));
}

TEST_P(BackendTables, InteractionsFollowTheEquations) {
  std::vector<std::pair<uint32_t, uint32_t>> shapes = {{70, 200}, {300, 9}, {4, 2'000}};
  for (const uint32_t count : {1u, 2u, 3u, 4u, 27u, 40u}) {
    for (const uint32_t d : {1u, 2u, 5u, 8u, 16u, 33u, 128u}) shapes.emplace_back(count, d);
  }
  for (const auto& [count, d] : shapes) {
    for (const uint32_t rows : {1u, 11u}) {
      SCOPED_TRACE(::testing::Message() << rows << " of " << count << " vectors of " << d);
      const Vectors v{rows, count, d, random_floats(size_t{rows} * count * d)};
      const Floats dy = random_floats(size_t{rows} * v.pairs());
      const Matrix x = put(v.x, rows, v.columns()), y = room(rows, v.pairs()),
                   dx = room(rows, v.columns());

      backend_->dot_interaction_forward(stream_, x, count, y);
      backend_->dot_interaction_backward(stream_, x, count, put(dy, rows, v.pairs()), dx);

      expect_close(get(y), expected_dots(v), d);
      expect_close(get(dx), expected_gradient(v, dy), count);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(BackendTables, AnInteractionOfManyRowsAndOfNone) {
  const Vectors v{3'001, 5, 12, random_floats(3'001 * 5 * 12)};
  const Matrix x = put(v.x, v.rows, v.columns()), y = room(v.rows, v.pairs()),
               dx = room(v.rows, v.columns());
  const Floats dy = random_floats(size_t{v.rows} * v.pairs());

  backend_->dot_interaction_forward(stream_, x, 5, y);
  backend_->dot_interaction_backward(stream_, x, 5, put(dy, v.rows, v.pairs()), dx);
  backend_->dot_interaction_forward(stream_, room(0, 60), 5, room(0, 10));
  backend_->dot_interaction_backward(stream_, room(0, 60), 5, room(0, 10), room(0, 60));

  expect_close(get(y), expected_dots(v), v.d);
  expect_close(get(dx), expected_gradient(v, dy), v.count);
}

TEST_P(BackendTables, AnInteractionHasTheSameBitsAtAnyAddress) {
  for (const uint32_t d : {16u, 128u}) {
    const Vectors v{7, 27, d, random_floats(size_t{7} * 27 * d)};
    const Floats dy = random_floats(size_t{7} * v.pairs());
    const Matrix x = put(v.x, 7, v.columns()), apart = put_apart(v.x, 7, v.columns());
    const Matrix device_dy = put(dy, 7, v.pairs()), y = room(7, v.pairs()),
                 y_of = room(7, v.pairs());
    const Matrix dx = room(7, v.columns()), dx_of = put_apart(v.x, 7, v.columns());

    backend_->dot_interaction_forward(stream_, x, 27, y);
    backend_->dot_interaction_forward(stream_, apart, 27, y_of);
    backend_->dot_interaction_backward(stream_, x, 27, device_dy, dx);
    backend_->dot_interaction_backward(stream_, apart, 27, device_dy, dx_of);

    EXPECT_EQ(get(y_of), get(y));
    EXPECT_EQ(get(dx_of), get(dx));
  }
}

TEST_P(BackendTables, AGraphHoldsThemToo) {
  if (!backend_->has_graphs()) return;
  const Bags drawn = bags({0, 3, 2'000, 1, 130, 1}, false);
  Floats values = random_floats(size_t{kRows} * 8);
  const Matrix x = put(values, kRows, 8), sum = room(6, 8), y = room(3, 1), dx = room(3, 16);
  const Indices rows = put_numbers(drawn.rows), starts = put_numbers(drawn.starts);
  const Matrix pairs_of_sums{sum.device_data, 3, 16};
  const auto work = [&] {
    backend_->segment_sum(stream_, x, rows, starts, {}, sum);
    backend_->dot_interaction_forward(stream_, pairs_of_sums, 2, y);
    backend_->dot_interaction_backward(stream_, pairs_of_sums, 2, y, dx);
  };
  work();
  ASSERT_TRUE(backend_->begin_graph(stream_));
  work();
  const std::optional<GraphId> graph = backend_->end_graph(stream_);
  ASSERT_TRUE(graph.has_value());

  values = random_floats(values.size());
  backend_->upload(stream_, values, x);
  work();
  const Floats expected[] = {get(sum), get(y), get(dx)};
  for (const Matrix& out : {sum, y, dx}) {
    const Floats junk(out.size(), 4.0f);
    backend_->upload(stream_, junk, out);
    ASSERT_TRUE(backend_->synchronize(stream_).ok());
  }
  backend_->launch(stream_, *graph);

  EXPECT_EQ(get(sum), expected[0]);
  EXPECT_EQ(get(y), expected[1]);
  EXPECT_EQ(get(dx), expected[2]);
}

}  // namespace
}  // namespace ballast
