// Format: one kind of file as a conversion sees it. Opening looks at the sources once and fixes the
// columns; then any range of any source can be read by itself, in any order, by several threads.
// What a format adds to the driver (convert.h) is only this; each is one file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

// Part of a source, [begin, end) in the units of its extent.
struct SourceRange {
  uint32_t source = 0;
  uint64_t begin = 0;
  uint64_t end = 0;
  bool operator==(const SourceRange&) const = default;
};

// What there is to read of one source.
struct Extent {
  uint64_t units = 0;         // bytes or rows, as the format counts
  uint64_t stored_bytes = 0;  // about what its rows take in a data set; where to cut, nothing else
  bool divisible = true;      // false: one range, as of a gzip file
};

// Takes the rows of a range, in order.
class RowSink {
 public:
  virtual ~RowSink() = default;
  // The columns' values one after another. An error (disk full, stopped) is to be returned at once.
  [[nodiscard]] virtual Status add(std::span<const std::byte> row) = 0;
};

// Immutable once open; read() may be called by several threads.
class Format {
 public:
  virtual ~Format() = default;

  [[nodiscard]] virtual const std::vector<ColumnSpec>& columns() const = 0;
  // The column whose values blocks count; empty: none.
  [[nodiscard]] virtual const std::string& label() const = 0;
  // Every file that is read: a conversion goes on only where none of them has changed.
  [[nodiscard]] virtual const std::vector<std::string>& files() const = 0;
  // In the order of the rows; SourceRange::source is an index into it.
  [[nodiscard]] virtual const std::vector<Extent>& extents() const = 0;
  // The rows that begin in `range`. Neighbouring ranges leave out nothing and share nothing. Errors
  // name file, line or byte, expected and found.
  [[nodiscard]] virtual Status read(const SourceRange& range, RowSink& rows) const = 0;
  // What a reader of one range keeps in memory, but for a line or row that is longer.
  [[nodiscard]] virtual uint64_t reader_bytes() const { return 1u << 20; }
};

}  // namespace ballast
