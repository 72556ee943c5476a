// Data sets with fixed columns and lists of every type, stored with any codec, and what is in them.
#pragma once

#include <string>
#include <vector>

#include "common/base/half.h"
#include "tests/worker/data/container_reader.h"
#include "tests/worker/data/data_fixture.h"

namespace ballast {

class KindsFixture : public DataFixture {
 protected:
  static std::vector<ColumnSpec> kinds() {
    return {{"pixels", ColumnType::kU8, {2, 2}},    {"score", ColumnType::kF32, {}},
            {"half", ColumnType::kF16, {2}},        {"words", ColumnType::kI32, {}, true},
            {"boxes", ColumnType::kF32, {2}, true}, {"when", ColumnType::kI64, {}},
            {"bytes", ColumnType::kU8, {}, true},   {"label", ColumnType::kI32, {}}};
  }
  // Row i as it is given to the writer, and as values. Compressible, and every third list is empty.
  static std::vector<std::byte> row_bytes(uint64_t i) {
    std::vector<std::byte> row(200);  // more than any
    std::byte* at = row.data();
    for (int k = 0; k < 4; ++k) at = put(at, static_cast<uint8_t>(i / 16 + k));
    at = put(at, static_cast<float>(i) / 2);
    at = put(at, float_to_half(static_cast<float>(i % 64)));
    at = put(at, float_to_half(-0.5f));
    at = put(at, static_cast<uint32_t>(i % 3));
    for (uint32_t k = 0; k < i % 3; ++k) at = put(at, static_cast<int32_t>(i + k) % 7);
    at = put(at, static_cast<uint32_t>(i % 2));
    for (uint32_t k = 0; k < 2 * (i % 2); ++k) at = put(at, static_cast<float>(k) + 0.25f);
    at = put(at, int64_t{1} << (i % 50));
    at = put(at, static_cast<uint32_t>(0));
    at = put(at, static_cast<int32_t>(i % 2));
    row.resize(static_cast<size_t>(at - row.data()));
    return row;
  }
  static std::map<std::string, RowValues> row_values(uint64_t i) {
    std::map<std::string, RowValues> row;
    for (int k = 0; k < 4; ++k) row["pixels"].push_back(static_cast<uint8_t>(i / 16 + k));
    row["score"] = {static_cast<double>(i) / 2};
    row["half"] = {static_cast<double>(i % 64), -0.5};
    row["words"];
    row["boxes"];
    for (uint32_t k = 0; k < i % 3; ++k) row["words"].push_back(static_cast<int32_t>(i + k) % 7);
    for (uint32_t k = 0; k < 2 * (i % 2); ++k) row["boxes"].push_back(k + 0.25);
    row["when"] = {static_cast<double>(int64_t{1} << (i % 50))};
    row["bytes"] = {};
    row["label"] = {static_cast<double>(i % 2)};
    return row;
  }

  static DatasetWriterOptions kinds_options(Codec codec) {
    DatasetWriterOptions options;
    options.block_bytes = 2000;  // about 40 rows
    options.chunk_bytes = 4 * 4096;
    options.label = "label";
    options.codecs = {{"", codec}};
    return options;
  }
  // Rows `first` to `end`, into path(name).
  Status try_kinds(const std::string& name, uint64_t first, uint64_t end,
                   const DatasetWriterOptions& options) {
    BALLAST_ASSIGN(DatasetWriter writer, DatasetWriter::create(path(name), kinds(), options));
    for (uint64_t i = first; i < end; ++i) BALLAST_RETURN_IF_ERROR(writer.add_row(row_bytes(i)));
    return writer.commit();
  }
  std::string write_kinds(const std::string& name, uint64_t rows, Codec codec) {
    const Status written = try_kinds(name, 0, rows, kinds_options(codec));
    EXPECT_TRUE(written.ok()) << written.to_string();
    return path(name);
  }

  // Rows `first` to `end` of `folder`, by the description's own reader.
  static void expect_kinds(const std::string& folder, uint64_t rows) {
    const ColumnValues values = ContainerReader(folder).read();
    ASSERT_EQ(values.size(), kinds().size());
    for (const auto& [name, column] : values) {
      ASSERT_EQ(column.size(), rows) << name;
      for (uint64_t i = 0; i < rows; ++i) ASSERT_EQ(column[i], row_values(i)[name]) << name << i;
    }
  }
};

}  // namespace ballast
