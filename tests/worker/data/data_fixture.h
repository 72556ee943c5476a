// Small data sets in a folder that goes with the test.
#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <string>
#include <vector>

#include "worker/data/dataset_writer.h"

namespace ballast {

class DataFixture : public ::testing::Test {
 protected:
  DataFixture() {
    std::string name = ::testing::TempDir() + "ballast-data-XXXXXX";
    root_ = mkdtemp(name.data());
  }
  ~DataFixture() override { std::filesystem::remove_all(root_); }

  [[nodiscard]] std::string path(const std::string& name) const { return root_ + "/" + name; }

  // Stores a value and returns where the next one goes.
  template <typename Value>
  static std::byte* put(std::byte* at, Value value) {
    std::memcpy(at, &value, sizeof value);
    return at + sizeof value;
  }

  // Columns "pixels" u8 [width], value = (row * 7 + k) mod 256, and "label" i32 = row mod classes.
  // Small blocks and chunks, so that there are several of each.
  std::string write_pixels(const std::string& name, uint64_t rows, uint32_t width,
                           int32_t classes = 10, uint64_t block_rows = 50) {
    DatasetWriterOptions options;
    options.block_bytes = block_rows * (width + sizeof(int32_t));
    options.chunk_bytes = 4 * (options.block_bytes + 4096);
    options.label = "label";
    auto writer = DatasetWriter::create(
        path(name), {{"pixels", ColumnType::kU8, {width}}, {"label", ColumnType::kI32, {}}},
        options);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> row(writer->row_bytes());
    for (uint64_t i = 0; i < rows; ++i) {
      std::byte* at = row.data();
      for (uint32_t k = 0; k < width; ++k) at = put(at, static_cast<uint8_t>(i * 7 + k));
      at = put(at, static_cast<int32_t>(i) % classes);
      EXPECT_TRUE(writer->add_row(row).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return path(name);
  }

  // One f32 column "values" [width] and a label of zeros.
  std::string write_floats(const std::string& name, const std::vector<float>& values,
                           uint32_t width, uint64_t block_bytes = 2u << 20) {
    DatasetWriterOptions options;
    options.block_bytes = block_bytes;
    auto writer = DatasetWriter::create(
        path(name), {{"values", ColumnType::kF32, {width}}, {"label", ColumnType::kI32, {}}},
        options);
    EXPECT_TRUE(writer.ok()) << writer.status().to_string();
    std::vector<std::byte> row(writer->row_bytes());
    for (size_t first = 0; first < values.size(); first += width) {
      std::byte* at = row.data();
      for (uint32_t k = 0; k < width; ++k) at = put(at, values[first + k]);
      at = put(at, int32_t{0});
      EXPECT_TRUE(writer->add_row(row).ok());
    }
    EXPECT_TRUE(writer->commit().ok());
    return path(name);
  }

  // A text file in the test's folder.
  std::string write_text(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }

  static std::vector<std::byte> read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }
  static void write_file(const std::string& path, std::span<const std::byte> bytes) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  static void flip_bit(const std::string& path, uint64_t byte, int bit = 0) {
    std::vector<std::byte> bytes = read_file(path);
    bytes.at(byte) ^= static_cast<std::byte>(1 << bit);
    write_file(path, bytes);
  }

  std::string root_;
};

}  // namespace ballast
