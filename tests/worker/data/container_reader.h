// A reader of data sets written from worker/data/README.md, "The container, byte by byte", with
// nothing of the product but its hash and the generated tables: whole files in, values out. Slow
// and plain; what does not fit the description is a failure of the test.
#pragma once

#include <gtest/gtest.h>
#include <lz4.h>
#include <zstd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "common/base/hash.h"
#include "schemas/chunk_generated.h"

namespace ballast {

using Bytes = std::vector<std::byte>;
using RowValues = std::vector<double>;  // of a list: of all its items

// By column, then by row.
using ColumnValues = std::map<std::string, std::vector<RowValues>>;

class ContainerReader {
 public:
  explicit ContainerReader(std::string folder) : folder_(std::move(folder)) {}

  ColumnValues read() {
    manifest_bytes_ = whole_file("manifest");
    const auto* manifest =
        flatbuffers::GetRoot<fb::Manifest>(sealed_part(manifest_bytes_, "BLSTmani").data());
    minor = manifest->minor();
    uint32_t next_block = 0;
    for (uint32_t c = 0; c < manifest->chunks()->size(); ++c) {
      const fb::ManifestChunk& chunk = *manifest->chunks()->Get(c);
      const Bytes file = whole_file(hex64(chunk.footer_xxh3()) + ".blc");
      EXPECT_EQ(file.size(), chunk.bytes());
      const fb::ChunkLayout* layout =
          manifest->layouts() == nullptr
              ? nullptr
              : manifest->layouts()->Get(manifest->chunk_layouts()->Get(c));
      check_chunk(file, chunk.footer_xxh3());
      for (; next_block < manifest->blocks()->size() &&
             manifest->blocks()->Get(next_block)->chunk() == c;
           ++next_block) {
        const fb::ManifestBlock& block = *manifest->blocks()->Get(next_block);
        const Bytes bytes(file.begin() + static_cast<ptrdiff_t>(block.offset()),
                          file.begin() + static_cast<ptrdiff_t>(block.offset() + block.bytes()));
        EXPECT_EQ(xxh3(std::span(bytes)), block.xxh3());
        read_block(*manifest, layout, bytes, block.rows());
      }
    }
    return std::move(values_);
  }

  uint16_t minor = 0;             // of the manifest
  std::map<uint8_t, int> codecs;  // buffers seen with each

 private:
  using Columns = flatbuffers::Vector<flatbuffers::Offset<fb::Column>>;

  [[nodiscard]] Bytes whole_file(const std::string& name) const {
    std::ifstream file(folder_ + "/" + name, std::ios::binary);
    EXPECT_TRUE(file.good()) << name;
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }

  template <typename Number>
  static Number number_at(std::span<const std::byte> bytes, uint64_t at) {
    Number number;
    EXPECT_LE(at + sizeof number, bytes.size());
    std::memcpy(&number, bytes.data() + at, sizeof number);
    return number;
  }

  // What the trailer seals.
  static std::span<const std::byte> sealed_part(const Bytes& file, const std::string& magic) {
    const uint64_t trailer = file.size() - 32;
    const auto offset = number_at<uint64_t>(file, trailer);
    const auto length = number_at<uint64_t>(file, trailer + 8);
    EXPECT_EQ(offset + length, trailer);
    const auto part = std::span(file).subspan(offset, length);
    EXPECT_EQ(xxh3(part), number_at<uint64_t>(file, trailer + 16));
    EXPECT_EQ(std::memcmp(file.data() + trailer + 24, magic.data(), 8), 0);
    return part;
  }

  static void check_chunk(const Bytes& file, uint64_t name) {
    EXPECT_EQ(std::memcmp(file.data(), "BLSTchnk", 8), 0);
    EXPECT_EQ(number_at<uint16_t>(file, 8), 1);
    EXPECT_LE(number_at<uint16_t>(file, 10), 1);
    for (uint64_t at = 12; at < 4096; ++at) ASSERT_EQ(file[at], std::byte{0});
    EXPECT_EQ(xxh3(sealed_part(file, "BLSTchnk")), name);
  }

  struct StoredBuffer {
    uint64_t offset, stored, raw, hash;
    uint8_t codec;
  };

  // Decoded.
  Bytes buffer(const Bytes& block, const StoredBuffer& where) {
    EXPECT_EQ(where.offset % 64, 0u);
    const auto stored = std::span(block).subspan(where.offset, where.stored);
    ++codecs[where.codec];
    Bytes raw(where.raw);
    if (where.codec == 0) {
      EXPECT_EQ(where.stored, where.raw);
      std::copy(stored.begin(), stored.end(), raw.begin());
    } else if (where.codec == 1) {
      EXPECT_EQ(LZ4_decompress_safe(reinterpret_cast<const char*>(stored.data()),
                                    reinterpret_cast<char*>(raw.data()),
                                    static_cast<int>(stored.size()), static_cast<int>(raw.size())),
                static_cast<int>(raw.size()));
    } else {
      EXPECT_EQ(where.codec, 2);
      EXPECT_EQ(ZSTD_decompress(raw.data(), raw.size(), stored.data(), stored.size()), raw.size());
    }
    return raw;
  }

  static double value_at(const Bytes& bytes, fb::ColumnType type, uint64_t index) {
    switch (type) {
      case fb::ColumnType::U8:
        return number_at<uint8_t>(bytes, index);
      case fb::ColumnType::I32:
        return number_at<int32_t>(bytes, 4 * index);
      case fb::ColumnType::I64:
        return static_cast<double>(number_at<int64_t>(bytes, 8 * index));
      case fb::ColumnType::F32:
        return number_at<float>(bytes, 4 * index);
      default: {
        const auto half = number_at<uint16_t>(bytes, 2 * index);
        const int exponent = (half >> 10) & 31;
        const double fraction = (half & 1023) / 1024.0;
        const double size =
            exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
        return (half & 0x8000) != 0 ? -size : size;
      }
    }
  }

  static uint64_t width_of(const fb::Column& column) {
    uint64_t width = 1;
    for (uint32_t i = 0; i < column.shape()->size(); ++i) width *= column.shape()->Get(i);
    return width;
  }

  // Where each buffer of the block lies, by the block's own table or by arithmetic.
  static std::vector<StoredBuffer> buffers_of(const Columns& columns, bool tables,
                                              const Bytes& block, uint64_t rows) {
    constexpr uint64_t kElementBytes[] = {1, 4, 8, 2, 4};
    std::vector<StoredBuffer> buffers;
    uint64_t end = 0;
    for (const fb::Column* column : columns) {
      for (int i = 0; i < (column->variable() ? 2 : 1); ++i) {
        if (tables) {
          const uint64_t at = 40 * buffers.size();
          buffers.push_back({number_at<uint64_t>(block, at), number_at<uint64_t>(block, at + 8),
                             number_at<uint64_t>(block, at + 16),
                             number_at<uint64_t>(block, at + 24),
                             number_at<uint8_t>(block, at + 32)});
          for (int k = 33; k < 40; ++k) EXPECT_EQ(block[at + k], std::byte{0});
          const auto stored =
              std::span(block).subspan(buffers.back().offset, buffers.back().stored);
          EXPECT_EQ(xxh3(stored), buffers.back().hash);
        } else {
          const auto type = static_cast<size_t>(column->type());
          const uint64_t bytes = rows * width_of(*column) * kElementBytes[type];
          buffers.push_back({(end + 63) / 64 * 64, bytes, bytes, 0, 0});
          end = buffers.back().offset + bytes;
        }
      }
    }
    return buffers;
  }

  void read_block(const fb::Manifest& manifest, const fb::ChunkLayout* layout, const Bytes& block,
                  uint64_t rows) {
    const Columns& stored = layout == nullptr ? *manifest.columns() : *layout->columns();
    const bool tables = layout != nullptr && layout->tables();
    const std::vector<StoredBuffer> buffers = buffers_of(stored, tables, block, rows);
    for (uint32_t i = 0; i < manifest.columns()->size(); ++i) {
      const fb::Column& column = *manifest.columns()->Get(i);
      std::vector<RowValues>& values = values_[column.name()->str()];
      const uint32_t place = layout == nullptr ? i : layout->view()->Get(i);
      if (place == 0xffffffff) {
        const RowValues absent(column.variable() ? 0 : width_of(column), column.default_value());
        values.insert(values.end(), rows, absent);
        continue;
      }
      size_t first = 0;
      for (uint32_t before = 0; before < place; ++before) {
        first += stored.Get(before)->variable() ? 2 : 1;
      }
      const uint64_t width = width_of(column);
      std::vector<uint64_t> offsets;
      if (column.variable()) {
        const Bytes numbers = buffer(block, buffers[first++]);
        for (uint64_t r = 0; r <= rows; ++r) {
          offsets.push_back(numbers.size() == 4 * (rows + 1) ? number_at<uint32_t>(numbers, 4 * r)
                                                             : number_at<uint64_t>(numbers, 8 * r));
        }
      } else {
        for (uint64_t r = 0; r <= rows; ++r) offsets.push_back(r);
      }
      const Bytes items = buffer(block, buffers[first]);
      for (uint64_t r = 0; r < rows; ++r) {
        RowValues row;
        for (uint64_t k = offsets[r] * width; k < offsets[r + 1] * width; ++k) {
          row.push_back(value_at(items, column.type(), k));
        }
        values.push_back(std::move(row));
      }
    }
  }

  std::string folder_;
  Bytes manifest_bytes_;
  ColumnValues values_;
};

}  // namespace ballast
