#include <gmock/gmock.h>

#include <cstring>
#include <numeric>

#include "common/base/half.h"
#include "tests/contract/backend/backend_contract.h"

namespace ballast {
namespace {

using testing::Floats;

class BackendConvert : public testing::BackendContract {
 protected:
  StoredMatrix put_stored(StoredType type, const void* values, uint32_t rows, uint32_t columns) {
    const size_t bytes = size_t{rows} * columns * bytes_of(type);
    auto memory = backend_->allocate((bytes + 3) / 4);
    EXPECT_TRUE(memory.ok());
    memory_.push_back(std::move(memory).value());
    const StoredMatrix matrix = memory_.back().stored(type, rows, columns);
    backend_->upload(stream_, {static_cast<const std::byte*>(values), bytes}, matrix);
    EXPECT_TRUE(backend_->synchronize(stream_).ok());
    return matrix;
  }
};
INSTANTIATE_TEST_SUITE_P(All, BackendConvert, ::testing::ValuesIn(testing::implementations()),
                         testing::name_of);

void expect_bits(const Floats& found, const Floats& expected) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    uint32_t a = 0, b = 0;
    std::memcpy(&a, &found[i], sizeof a);
    std::memcpy(&b, &expected[i], sizeof b);
    ASSERT_EQ(a, b) << "element " << i << ": " << found[i] << ", expected " << expected[i];
  }
}

TEST_P(BackendConvert, EveryByteAndEveryHalfIsItsFloat) {
  std::vector<uint8_t> bytes(256);
  std::iota(bytes.begin(), bytes.end(), uint8_t{0});
  std::vector<uint16_t> halves;
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    if ((bits & 0x7c00) != 0x7c00) halves.push_back(static_cast<uint16_t>(bits));  // finite
  }
  Floats of_bytes(bytes.begin(), bytes.end()), of_halves;
  for (uint16_t half : halves) of_halves.push_back(half_to_float(half));
  const auto rows = static_cast<uint32_t>(halves.size() / 1024);
  const Matrix y = room(8, 32), y_halves = room(rows, 1024);

  backend_->convert(stream_, put_stored(StoredType::kU8, bytes.data(), 8, 32), {}, {}, {}, y);
  backend_->convert(stream_, put_stored(StoredType::kF16, halves.data(), rows, 1024), {}, {}, {},
                    y_halves);

  expect_bits(get(y), of_bytes);
  expect_bits(get(y_halves), of_halves);
}

// 1 and 7 values a row begin anywhere, 784 may be taken four at a time; 5000 rows are more than
// one block each.
TEST_P(BackendConvert, ScalesEachFeatureOrAllAlikeWithEachStepRounded) {
  constexpr std::pair<uint32_t, uint32_t> kShapes[] = {
      {1, 1}, {3, 7}, {64, 784}, {5000, 4}, {2, 70'004}};
  for (const auto& [rows, columns] : kShapes) {
    const size_t count = size_t{rows} * columns;
    std::vector<uint8_t> bytes(count);
    std::vector<uint16_t> halves(count);
    for (size_t i = 0; i < count; ++i) {
      bytes[i] = static_cast<uint8_t>(mix64(i));
      halves[i] = float_to_half(static_cast<float>(random_.normal()));
    }
    const StoredMatrix x_bytes = put_stored(StoredType::kU8, bytes.data(), rows, columns);
    const StoredMatrix x_halves = put_stored(StoredType::kF16, halves.data(), rows, columns);
    for (const uint32_t values : {1u, columns}) {
      const Floats center = random_floats(values, 50), factor = random_floats(values),
                   shift = random_floats(values, 3);
      Floats of_bytes, of_halves;
      for (size_t i = 0; i < count; ++i) {
        const size_t at = values == 1 ? 0 : i % columns;
        // Stored, so that no compiler joins them.
        const auto scaled = [&](float x) {
          volatile float step = x - center[at];
          step = step * factor[at];
          step = step + shift[at];
          return static_cast<float>(step);
        };
        of_bytes.push_back(scaled(bytes[i]));
        of_halves.push_back(scaled(half_to_float(halves[i])));
      }
      const Matrix c = put(center, 1, values), f = put(factor, 1, values),
                   s = put(shift, 1, values);
      const Matrix y = room(rows, columns), y_halves = room(rows, columns);

      backend_->convert(stream_, x_bytes, c, f, s, y);
      backend_->convert(stream_, x_halves, c, f, s, y_halves);

      SCOPED_TRACE(::testing::Message() << rows << " x " << columns << ", " << values);
      expect_bits(get(y), of_bytes);
      expect_bits(get(y_halves), of_halves);
    }
  }
}

}  // namespace
}  // namespace ballast
