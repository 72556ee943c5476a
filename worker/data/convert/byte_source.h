// ByteSource: a file's bytes in order, gunzipped if they are gzip, with the place for messages.
// LineSource: its lines, without a UTF-8 byte order mark before the first. Owner thread. zlib is
// included in byte_source.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"

namespace ballast {

class ByteSource {
 public:
  static Result<ByteSource> open(const std::string& path);
  ~ByteSource();
  ByteSource(ByteSource&& other) noexcept;
  ByteSource& operator=(ByteSource&& other) noexcept;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] uint64_t offset() const { return offset_; }  // of the unpacked bytes
  // How much of `bytes` was filled; less than all only at the end. kDataLoss: damaged gzip.
  Result<size_t> read(std::span<std::byte> bytes);
  // Fills all of `bytes`. kDataLoss: the file ends before; `what` says what should be there.
  [[nodiscard]] Status read_all(std::span<std::byte> bytes, std::string_view what);

 private:
  struct Stream;
  ByteSource(std::string path, std::unique_ptr<Stream> stream);

  std::string path_;
  std::unique_ptr<Stream> stream_;
  uint64_t offset_ = 0;
};

class LineSource {
 public:
  explicit LineSource(ByteSource source);

  // The next line without its end, valid until the next call; nothing at the end of the file.
  // kInvalidInput: a line longer than kLineBytesMax, or a file that begins with a mark of UTF-16.
  Result<std::optional<std::string_view>> next();
  [[nodiscard]] const std::string& path() const { return source_.path(); }
  [[nodiscard]] uint64_t number() const { return number_; }  // of the last line, from 1

 private:
  static constexpr size_t kLineBytesMax = 64u << 20;

  [[nodiscard]] Status refill();
  [[nodiscard]] Status skip_mark();

  ByteSource source_;
  std::vector<char> bytes_;
  size_t begin_ = 0;  // of what is not handed out
  bool begun_ = false;
  bool ended_ = false;
  uint64_t number_ = 0;
};

}  // namespace ballast
