// BlockBuilder: rows in, the stored bytes of one block after the other out. Deterministic: the same
// rows give the same bytes with the same codec libraries. Owner thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/wire/chunk/chunk_format.h"

namespace ballast {

class BlockBuilder {
 public:
  // codecs: one a column. label: the column whose values are counted; may be empty.
  BlockBuilder(std::vector<ColumnSpec> columns, std::vector<Codec> codecs, std::string label);

  [[nodiscard]] const std::vector<ColumnSpec>& columns() const { return columns_; }
  // Blocks begin with a table of their buffers: there are lists, or codecs.
  [[nodiscard]] bool has_tables() const { return has_tables_; }

  // The columns' values one after another, in schema order; a list is its count of items, a u32,
  // and then the items.
  void add_row(std::span<const std::byte> row);
  [[nodiscard]] uint64_t rows() const { return rows_; }
  // Of the rows so far, before any codec and without padding.
  [[nodiscard]] uint64_t bytes() const { return bytes_; }

  struct Built {
    BlockSpec spec;                // its offset is 0
    std::vector<std::byte> bytes;  // padded
    std::vector<uint64_t> lists;   // for each column the decoded bytes of its items; fixed: 0
  };
  // Of the rows since the last time, at least one.
  [[nodiscard]] Built take();

 private:
  struct Staged {
    std::vector<uint64_t> offsets;  // of lists only: rows + 1
    std::vector<std::byte> values;
  };

  void append_buffer(std::span<const std::byte> raw, Codec codec, Built& built) const;
  [[nodiscard]] std::vector<LabelCount> count_labels() const;

  std::vector<ColumnSpec> columns_;
  std::vector<Codec> codecs_;
  std::string label_;
  bool has_tables_ = false;
  std::vector<Staged> staged_;  // one a column
  uint64_t rows_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace ballast
