#include "worker/data/convert/line_range.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace ballast {

namespace {

constexpr size_t kPiece = 512u << 10;

// Line ends in the first `bytes` of a file, for a message: one that can no longer be read counts
// as far as it could.
uint64_t count_lines(const std::string& path, uint64_t bytes) {
  auto source = ByteSource::open(path);
  if (!source.ok()) return 0;
  std::vector<std::byte> buffer(kPiece);
  uint64_t lines = 0;
  while (bytes > 0) {
    const auto wanted = std::span(buffer).first(std::min<uint64_t>(bytes, buffer.size()));
    const Result<size_t> got = source->read(wanted);
    if (!got.ok() || *got == 0) break;
    lines += static_cast<uint64_t>(
        std::count(wanted.begin(), wanted.begin() + static_cast<ptrdiff_t>(*got), std::byte{'\n'}));
    bytes -= *got;
  }
  return lines;
}

}  // namespace

Result<LineRange> LineRange::open(const std::string& path, uint64_t begin, uint64_t end) {
  // From the byte before: whether a line begins at `begin` is told by it.
  BALLAST_ASSIGN(ByteSource source, ByteSource::open(path, begin == 0 ? 0 : begin - 1));
  LineRange lines(std::move(source), begin, end);
  if (begin > 0) BALLAST_RETURN_IF_ERROR(lines.skip_to_line());
  return lines;
}

LineRange::LineRange(ByteSource source, uint64_t begin, uint64_t end)
    : source_(std::move(source)),
      first_(begin),
      end_(end),
      position_(source_.offset()),
      begun_(begin > 0) {}

// Leaves out the line that began before the range.
Status LineRange::skip_to_line() {
  for (;;) {
    if (begin_ == searched_ && ended_) return {};
    if (begin_ == searched_) BALLAST_RETURN_IF_ERROR(refill());
    const void* stop = std::memchr(bytes_.data() + begin_, '\n', searched_ - begin_);
    if (stop != nullptr) {
      begin_ = static_cast<size_t>(static_cast<const char*>(stop) - bytes_.data()) + 1;
      return {};
    }
    begin_ = searched_;
    if (position_ + begin_ >= end_) return {};  // the whole range lies in one line
  }
}

bool LineRange::next_slowly(std::string_view& line) {
  size_t known = 0;  // bytes behind begin_ without a line end
  for (;;) {
    if (position_ + begin_ >= end_) return false;
    const char* first = bytes_.data() + begin_;
    const size_t left = searched_ - begin_;
    const void* stop = left > known ? std::memchr(first + known, '\n', left - known) : nullptr;
    if (stop != nullptr) {
      hand_out(line, static_cast<size_t>(static_cast<const char*>(stop) - first), 1);
      return true;
    }
    if (ended_) {
      if (left > 0) hand_out(line, left, 0);
      return left > 0;
    }
    known = left;
    problem_ = refill();
    if (!problem_.ok()) return false;
  }
}

// Drops what was handed out and reads more behind the rest.
Status LineRange::refill() {
  const size_t kept = searched_ - begin_;
  if (kept > kLineBytesMax) {
    return Status(Code::kInvalidInput,
                  fmt::format("{} at byte {}: a line longer than {} bytes: is "
                              "it a text file?",
                              source_.path(), position_ + begin_, kLineBytesMax));
  }
  if (kept > 0) std::memmove(bytes_.data(), bytes_.data() + begin_, kept);
  position_ += begin_;
  begin_ = 0;
  if (bytes_.size() < kept + kPiece) bytes_.resize(std::max(kept + kPiece, 2 * kept));
  const auto room = std::span(bytes_).subspan(kept, kPiece);
  BALLAST_ASSIGN(const size_t got, source_.read(std::as_writable_bytes(room)));
  searched_ = kept + got;
  ended_ = got < kPiece;
  return std::exchange(begun_, true) ? Status() : skip_mark();
}

// Spreadsheets write U+FEFF before the first line; it is no part of the first column's name.
Status LineRange::skip_mark() {
  const std::string_view text(bytes_.data(), searched_);
  if (text.starts_with("\xEF\xBB\xBF")) {
    begin_ = 3;
    end_ = std::max<uint64_t>(end_, begin_ + 1);  // the line behind the mark begins at byte 0
  }
  for (const std::string_view mark : {"\xFF\xFE", "\xFE\xFF"}) {
    if (!text.starts_with(mark)) continue;
    return Status(Code::kInvalidInput,
                  source_.path() +
                      ": UTF-8 text expected, a byte order mark of UTF-16 found; convert it "
                      "first, as with iconv -f UTF-16 -t UTF-8");
  }
  return {};
}

std::string LineRange::place() const {
  // The lines that begin before the range: the first, and one behind each line end before it.
  const uint64_t before = first_ == 0 ? 0 : 1 + count_lines(source_.path(), first_ - 1);
  return fmt::format("{} line {}", source_.path(), before + lines_);
}

Status LineRange::refused(std::string_view what) const {
  return Status(Code::kInvalidInput, fmt::format("{}: {}", place(), what));
}

Result<TextFiles> TextFiles::open(std::vector<std::string> paths) {
  TextFiles files;
  for (const std::string& path : paths) {
    BALLAST_ASSIGN(const SourceFile file, inspect_source(path));
    files.extents_.push_back({file.bytes, file.bytes, !file.packed});
  }
  files.paths_ = std::move(paths);
  return files;
}

Status TextFiles::nothing_found() const {
  return Status(Code::kInvalidInput,
                fmt::format("{}: at least one line expected, none found", fmt::join(paths_, ", ")));
}

Result<LineRange> TextFiles::read(const SourceRange& range) const {
  const Extent& extent = extents_[range.source];
  // The unpacked bytes of a packed file are not known before.
  return LineRange::open(paths_[range.source], range.begin, extent.divisible ? range.end : kWhole);
}

Status TextFiles::estimate(uint64_t row_bytes) {
  return estimate([row_bytes](std::string_view) { return row_bytes; });
}

Status TextFiles::estimate(const std::function<uint64_t(std::string_view)>& row_bytes) {
  constexpr uint64_t kPackedFactor = 4;  // of text by gzip, about
  constexpr uint64_t kSampleBytes = 256u << 10;
  for (size_t i = 0; i < paths_.size(); ++i) {
    if (extents_[i].units == 0) continue;
    BALLAST_ASSIGN(LineRange lines, LineRange::open(paths_[i], 0, kSampleBytes));
    uint64_t bytes = 0;
    uint64_t stored = 0;
    for (std::string_view line; lines.next(line);) {
      bytes += line.size() + 1;
      stored += row_bytes(line);
    }
    BALLAST_RETURN_IF_ERROR(lines.status());
    const double stored_per_byte =
        static_cast<double>(stored) / static_cast<double>(std::max<uint64_t>(bytes, 1));
    for (Extent& extent : extents_) {
      const double whole = static_cast<double>(extent.units) * stored_per_byte;
      extent.stored_bytes = std::max<uint64_t>(
          1, static_cast<uint64_t>(whole) * (extent.divisible ? 1 : kPackedFactor));
    }
    return {};
  }
  return {};
}

}  // namespace ballast
