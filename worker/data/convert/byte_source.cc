#include "worker/data/convert/byte_source.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

namespace ballast {

namespace {

// zlib says "path: what is wrong"; the path stands in our message already.
std::string_view without_path(std::string_view text) {
  const size_t colon = text.rfind(": ");
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

}  // namespace

struct ByteSource::Stream {
  gzFile file;
};

Result<ByteSource> ByteSource::open(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return Status(Code::kInvalidInput, "open " + path + ": a file expected, a folder found");
  }
  gzFile file = gzopen(path.c_str(), "rb");  // passes through what is not gzip
  if (file == nullptr) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kInvalidInput;
    return Status(code, "open " + path + ": " + std::strerror(errno));
  }
  gzbuffer(file, 256u << 10);
  return ByteSource(path, std::make_unique<Stream>(Stream{file}));
}

ByteSource::ByteSource(std::string path, std::unique_ptr<Stream> stream)
    : path_(std::move(path)), stream_(std::move(stream)) {}

ByteSource::~ByteSource() {
  if (stream_) gzclose_r(stream_->file);
}

ByteSource::ByteSource(ByteSource&& other) noexcept = default;
ByteSource& ByteSource::operator=(ByteSource&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(stream_, other.stream_);
  std::swap(offset_, other.offset_);
  return *this;
}

Result<size_t> ByteSource::read(std::span<std::byte> bytes) {
  constexpr size_t kReadMax = 1u << 30;  // gzread counts in int
  size_t filled = 0;
  while (filled < bytes.size()) {
    const auto wanted = static_cast<unsigned>(std::min(bytes.size() - filled, kReadMax));
    const int got = gzread(stream_->file, bytes.data() + filled, wanted);
    int problem = Z_OK;
    const std::string_view text = gzerror(stream_->file, &problem);  // "path: what"
    if (got < 0 || problem == Z_BUF_ERROR) {
      return Status(Code::kDataLoss,
                    fmt::format("{} at unpacked byte {}: gzip data expected, {}", path_,
                                offset_ + filled + static_cast<size_t>(std::max(got, 0)),
                                without_path(text)));
    }
    if (got == 0) break;
    filled += static_cast<size_t>(got);
  }
  offset_ += filled;
  return filled;
}

Status ByteSource::read_all(std::span<std::byte> bytes, std::string_view what) {
  const uint64_t first = offset_;
  BALLAST_ASSIGN(const size_t got, read(bytes));
  if (got == bytes.size()) return {};
  return Status(Code::kDataLoss, fmt::format("{} at byte {}: {} of {} bytes expected, {} found",
                                             path_, first, what, bytes.size(), got));
}

LineSource::LineSource(ByteSource source) : source_(std::move(source)) {}

Result<std::optional<std::string_view>> LineSource::next() {
  size_t searched = begin_;
  for (;;) {
    const auto end =
        std::find(bytes_.begin() + static_cast<ptrdiff_t>(searched), bytes_.end(), '\n');
    if (end == bytes_.end() && !ended_) {
      const size_t kept = bytes_.size() - begin_;
      BALLAST_RETURN_IF_ERROR(refill());
      searched = std::max(begin_, kept);
      continue;
    }
    if (end == bytes_.end() && begin_ == bytes_.size()) return std::optional<std::string_view>();
    const auto stop = static_cast<size_t>(end - bytes_.begin());
    std::string_view line(bytes_.data() + begin_, stop - begin_);
    begin_ = std::min(stop + 1, bytes_.size());
    if (line.ends_with('\r')) line.remove_suffix(1);
    ++number_;
    return std::optional(line);
  }
}

// Drops what was handed out and reads more behind the rest.
Status LineSource::refill() {
  constexpr size_t kPiece = 256u << 10;
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<ptrdiff_t>(begin_));
  begin_ = 0;
  const size_t kept = bytes_.size();
  if (kept > kLineBytesMax) {
    return Status(Code::kInvalidInput,
                  fmt::format("{} line {}: longer than {} bytes: is it a text file?", path(),
                              number_ + 1, kLineBytesMax));
  }
  bytes_.resize(kept + kPiece);
  BALLAST_ASSIGN(const size_t got,
                 source_.read(std::as_writable_bytes(std::span(bytes_).subspan(kept))));
  bytes_.resize(kept + got);
  ended_ = got < kPiece;
  return std::exchange(begun_, true) ? Status() : skip_mark();
}

// Spreadsheets write U+FEFF before the first line; it is no part of the first column's name.
Status LineSource::skip_mark() {
  const std::string_view text(bytes_.data(), bytes_.size());
  if (text.starts_with("\xEF\xBB\xBF")) begin_ = 3;
  for (const std::string_view mark : {"\xFF\xFE", "\xFE\xFF"}) {
    if (!text.starts_with(mark)) continue;
    return Status(Code::kInvalidInput,
                  path() +
                      ": UTF-8 text expected, a byte order mark of UTF-16 found; convert it "
                      "first, as with iconv -f UTF-16 -t UTF-8");
  }
  return {};
}

}  // namespace ballast
