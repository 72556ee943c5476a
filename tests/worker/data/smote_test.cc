#include "worker/data/smote.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <tuple>

#include "common/base/random.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/eval_loader.h"

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

struct Row {
  float x, y;
  uint8_t count;
  int32_t kind;
  int32_t label;
  bool operator==(const Row&) const = default;
};

class SmoteTest : public DataFixture {
 protected:
  std::string write(const std::string& name, const std::vector<Row>& rows,
                    const std::string& label = "label") {
    DatasetWriterOptions options;
    options.label = label;
    options.block_bytes = 128;
    auto writer = DatasetWriter::create(path(name),
                                        {{"point", ColumnType::kF32, {2}},
                                         {"count", ColumnType::kU8, {}},
                                         {"kind", ColumnType::kI32, {}},
                                         {"label", ColumnType::kI32, {}}},
                                        options);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> bytes(writer->row_bytes());
    for (const Row& row : rows) {
      std::byte* at = put(put(bytes.data(), row.x), row.y);
      put(put(put(at, row.count), row.kind), row.label);
      EXPECT_TRUE(writer->add_row(bytes).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return path(name);
  }

  static std::vector<Row> read(const std::string& folder) {
    JobConfig job;
    job.data.features = {"point", "count", "kind"};
    job.data.label = "label";
    auto loader = EvalLoader::open(job, folder, 1, 10000).value();
    const Batch batch = loader->take(LaneId(0), 0);
    std::vector<Row> rows;
    for (uint32_t i = 0; i < batch.rows; ++i) {
      const float* f = batch.features.data() + size_t{i} * 4;
      rows.push_back({f[0], f[1], static_cast<uint8_t>(f[2]), static_cast<int32_t>(f[3]),
                      static_cast<int32_t>(batch.labels[i])});
    }
    return rows;
  }

  // 60, 7 and 20 rows of the classes 0, 1 and 5, each about a place of its own.
  static std::vector<Row> unlike() {
    Random random(3);
    std::vector<Row> rows;
    for (int i = 0; i < 87; ++i) {
      const int32_t label = i % 87 < 60 ? 0 : i < 67 ? 1 : 5;
      rows.push_back({static_cast<float>(10 * label + random.normal()),
                      static_cast<float>(random.normal()), static_cast<uint8_t>(random.below(200)),
                      static_cast<int32_t>(i), label});
    }
    return rows;
  }
};

// Whether `made` lies between two of `rows`, `kind` being that of the first.
bool between_some(const Row& made, const std::vector<Row>& rows) {
  for (const Row& a : rows) {
    if (a.label != made.label || a.kind != made.kind) continue;
    for (const Row& b : rows) {
      if (b.label != made.label || (a.x == b.x && a.y == b.y)) continue;
      const double gap = (made.x - double{a.x}) / (double{b.x} - a.x);
      if (gap < -1e-5 || gap > 1 + 1e-5) continue;
      const double y = a.y + gap * (double{b.y} - a.y);
      const double count = a.count + gap * (static_cast<double>(b.count) - a.count);
      if (std::abs(made.y - y) < 1e-3 && std::abs(made.count - count) < 0.51) return true;
    }
  }
  return false;
}

TEST_F(SmoteTest, BringsEveryClassToTheSizeOfTheLargestBetweenRowsOfItsOwn) {
  const std::vector<Row> rows = unlike();
  const std::string source = write("few", rows);
  SmoteOptions options;
  options.copied = {"kind"};

  const auto classes = smote(source, path("more"), options);

  ASSERT_TRUE(classes.ok()) << classes.status().to_string();
  ASSERT_EQ(classes->size(), 3u);
  EXPECT_EQ((*classes)[1].label, 1);
  EXPECT_EQ((*classes)[1].rows, 7u);
  EXPECT_EQ((*classes)[1].made, 53u);
  const std::vector<Row> all = read(path("more"));
  ASSERT_EQ(all.size(), 180u);
  EXPECT_TRUE(std::equal(rows.begin(), rows.end(), all.begin()))
      << "the source's rows, as they were";
  std::map<int32_t, int> counts;
  std::map<int32_t, int> begun;  // how often a row of class 1 was begun at, by its `kind`
  for (size_t i = rows.size(); i < all.size(); ++i) {
    EXPECT_TRUE(between_some(all[i], rows)) << i;
    ++counts[all[i].label];
    if (all[i].label == 1) ++begun[all[i].kind];
  }
  EXPECT_EQ(counts, (std::map<int32_t, int>{{1, 53}, {5, 40}}));
  EXPECT_EQ(begun.size(), 7u);
  for (const auto& [kind, times] : begun) EXPECT_TRUE(times == 7 || times == 8) << kind;
}

TEST_F(SmoteTest, IsTheSameForTheSameSeed) {
  const std::string source = write("few", unlike());
  SmoteOptions options;
  ASSERT_TRUE(smote(source, path("a"), options).ok());
  ASSERT_TRUE(smote(source, path("b"), options).ok());
  options.seed = 2;
  ASSERT_TRUE(smote(source, path("c"), options).ok());

  EXPECT_EQ(read(path("a")), read(path("b")));
  EXPECT_NE(read(path("a")), read(path("c")));
}

TEST_F(SmoteTest, TakesTheNearestOfTheClassAndNoOther) {
  // Class 1: pairs that are far apart; with one neighbour nothing lies between two pairs.
  std::vector<Row> rows;
  for (int i = 0; i < 30; ++i) rows.push_back({50, static_cast<float>(i), 0, 0, 0});
  for (const float x : {0.0f, 1.0f, 100.0f, 101.0f}) rows.push_back({x, 0, 0, 0, 1});
  SmoteOptions options;
  options.neighbours = 1;

  ASSERT_TRUE(smote(write("pairs", rows), path("more"), options).ok());

  for (const Row& row : read(path("more"))) {
    if (row.label == 1) {
      EXPECT_TRUE((row.x >= 0 && row.x <= 1) || (row.x >= 100 && row.x <= 101)) << row.x;
    }
  }
}

// Doubles skip whole numbers beyond 2^53: what lies there must be neither rounded nor mixed up.
TEST_F(SmoteTest, IsExactInWholeNumbersOf64Bits) {
  constexpr int64_t kLarge = (int64_t{1} << 62) + 1;
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  DatasetWriterOptions writer_options;
  writer_options.label = "label";
  auto writer = DatasetWriter::create(path("large"),
                                      {{"time", ColumnType::kI64, {}},
                                       {"wide", ColumnType::kI64, {}},
                                       {"label", ColumnType::kI64, {}}},
                                      writer_options)
                    .value();
  std::vector<std::byte> row(writer.row_bytes());
  const auto add = [&](int64_t time, int64_t wide, int64_t label) {
    put(put(put(row.data(), time), wide), label);
    EXPECT_TRUE(writer.add_row(row).ok());
  };
  for (int i = 0; i < 40; ++i) add(kLarge, 0, kLarge);
  for (int i = 0; i < 3; ++i) add(kLarge, i == 0 ? kMost : -kMost - 1, kLarge + 1);
  for (int i = 0; i < 2; ++i) add(kLarge + 100 * i, 7, -kLarge);
  ASSERT_TRUE(writer.commit().ok());

  const auto classes = smote(path("large"), path("more"), {});

  ASSERT_TRUE(classes.ok()) << classes.status().to_string();
  ASSERT_EQ(classes->size(), 3u) << "labels one apart are two classes";
  EXPECT_EQ((*classes)[2].label, kLarge + 1);
  const auto dataset = Dataset::open(path("more")).value();
  std::set<int64_t> times;
  std::map<int64_t, int> rows;
  const auto reader = ChunkReader::open(*dataset, 0).value();
  ASSERT_EQ(dataset->block_count(), 1u);
  std::array<std::vector<int64_t>, 3> columns;
  for (size_t column = 0; column < 3; ++column) {
    columns[column].resize(dataset->rows());
    ASSERT_TRUE(
        reader.read_column(0, column, std::as_writable_bytes(std::span(columns[column]))).ok());
  }
  for (size_t i = 0; i < dataset->rows(); ++i) {
    const auto [time, wide, label] = std::tuple(columns[0][i], columns[1][i], columns[2][i]);
    ++rows[label];
    if (label == -kLarge) {
      EXPECT_TRUE(time >= kLarge && time <= kLarge + 100) << time;
      EXPECT_EQ(wide, 7);
      times.insert(time);
    } else {
      EXPECT_EQ(time, kLarge);
    }
  }
  EXPECT_EQ(rows, (std::map<int64_t, int>{{-kLarge, 40}, {kLarge, 40}, {kLarge + 1, 40}}));
  EXPECT_TRUE(std::ranges::any_of(times, [](int64_t time) { return time % 2 == 1; }))
      << "doubles have multiples of 1,024 alone";
  EXPECT_GT(times.size(), 20u);
}

TEST_F(SmoteTest, SaysWhatItCannotTake) {
  std::vector<Row> rows = unlike();
  rows.push_back({1, 1, 1, 1, 9});
  const std::string lonely = write("lonely", rows);
  const Status one = smote(lonely, path("x"), {}).status();
  EXPECT_EQ(exit_code(one), 2);
  EXPECT_THAT(one.to_string(), HasSubstr("class 9 of " + lonely + " has 1 row ("));
  EXPECT_THAT(one.to_string(), HasSubstr("two or more expected"));
  EXPECT_FALSE(std::filesystem::exists(path("x")));

  const std::string source = write("few", unlike());
  SmoteOptions typo;
  typo.copied = {"knid"};
  EXPECT_THAT(smote(source, path("x"), typo).status().to_string(), HasSubstr("kind"));
  EXPECT_THAT(smote(write("bare", unlike(), ""), path("x"), {}).status().to_string(),
              HasSubstr("names no label column of whole numbers; convert it with --label"));
  EXPECT_THAT(smote(write("wide", unlike(), "point"), path("x"), {}).status().to_string(),
              HasSubstr("a label of one whole number a row expected, point f32 [2] found"));
  EXPECT_THAT(smote(source, source, {}).status().to_string(), HasSubstr(source));
  std::vector<Row> bad = unlike();
  bad[3].x = std::nanf("");
  EXPECT_THAT(smote(write("nan", bad), path("x"), {}).status().to_string(),
              HasSubstr("row 3, column \"point\", value 0: a finite number expected, nan found"));
  const std::string large = write("large", std::vector<Row>(70000, Row{0, 0, 0, 0, 0}));
  SmoteOptions small;
  small.memory_mib = 1;
  EXPECT_THAT(smote(large, path("x"), small).status().to_string(),
              HasSubstr("70000 rows x 17 B of " + large +
                        " are more than --memory-mib 1; it holds "
                        "all rows at once: give it 2 or more"));
}

}  // namespace
}  // namespace ballast
