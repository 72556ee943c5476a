// LineRange: the lines of a text file that begin in [begin, end), without a UTF-8 byte order mark
// before the first of the file. TextFiles: the sources of a format whose rows are lines. LineRange:
// owner thread; TextFiles: immutable once open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "worker/data/convert/byte_source.h"
#include "worker/data/convert/format.h"

namespace ballast {

class LineRange {
 public:
  static Result<LineRange> open(const std::string& path, uint64_t begin, uint64_t end);

  // The next line without its end ("\n" or "\r\n"), valid until the next call. False: there is no
  // more, or status() says what is wrong: a line longer than kLineBytesMax, a mark of UTF-16,
  // damaged gzip.
  bool next(std::string_view& line) {
    if (begin_ < searched_ && position_ + begin_ < end_) {  // the usual line, whole in the buffer
      const char* first = bytes_.data() + begin_;
      const void* stop = __builtin_memchr(first, '\n', searched_ - begin_);
      if (stop != nullptr) {
        hand_out(line, static_cast<size_t>(static_cast<const char*>(stop) - first), 1);
        return true;
      }
    }
    return next_slowly(line);
  }
  [[nodiscard]] const Status& status() const { return problem_; }
  [[nodiscard]] uint64_t lines() const { return lines_; }  // handed out
  // "path line 17", of the last line; counts the lines before the range.
  [[nodiscard]] std::string place() const;
  // kInvalidInput at the last line.
  [[nodiscard]] Status refused(std::string_view what) const;

 private:
  static constexpr size_t kLineBytesMax = 64u << 20;

  LineRange(ByteSource source, uint64_t begin, uint64_t end);
  void hand_out(std::string_view& line, size_t length, size_t end_bytes) {
    line = std::string_view(bytes_.data() + begin_, length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    begin_ += length + end_bytes;
    ++lines_;
  }
  bool next_slowly(std::string_view& line);
  [[nodiscard]] Status skip_to_line();
  [[nodiscard]] Status refill();
  [[nodiscard]] Status skip_mark();

  ByteSource source_;
  uint64_t first_;     // of the range
  uint64_t end_;       // of the range
  uint64_t position_;  // of the buffer in the file
  std::vector<char> bytes_;
  size_t begin_ = 0;     // of what is not handed out
  size_t searched_ = 0;  // bytes_ that are filled
  bool begun_ = false;
  bool ended_ = false;
  uint64_t lines_ = 0;
  Status problem_;
};

class TextFiles {
 public:
  static Result<TextFiles> open(std::vector<std::string> paths);

  [[nodiscard]] const std::vector<std::string>& paths() const { return paths_; }
  [[nodiscard]] const std::vector<Extent>& extents() const { return extents_; }
  // The first line of `paths` that is not blank, by `visit(lines, line)`; false: there is none.
  template <typename Visit>
  Result<bool> visit_first_line(Visit visit) const {
    for (const std::string& path : paths_) {
      BALLAST_ASSIGN(LineRange lines, LineRange::open(path, 0, kWhole));
      for (std::string_view line; lines.next(line);) {
        if (line.find_first_not_of(" \t") == std::string_view::npos) continue;
        BALLAST_RETURN_IF_ERROR(visit(lines, line));
        return true;
      }
      BALLAST_RETURN_IF_ERROR(lines.status());
    }
    return false;
  }
  // "a, b: at least one line expected, none found".
  [[nodiscard]] Status nothing_found() const;
  Result<LineRange> read(const SourceRange& range) const;
  // Says how large the rows will be, so that pieces come out as about one chunk.
  [[nodiscard]] Status estimate(uint64_t row_bytes);
  // The same where rows differ: what each line of a sample will take.
  [[nodiscard]] Status estimate(const std::function<uint64_t(std::string_view)>& row_bytes);

 private:
  static constexpr uint64_t kWhole = ~uint64_t{0};

  std::vector<std::string> paths_;
  std::vector<Extent> extents_;
};

}  // namespace ballast
