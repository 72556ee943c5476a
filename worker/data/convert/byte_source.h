// ByteSource: a file's bytes in order, gunzipped if they are gzip, with the place for messages.
// Owner thread. zlib is included in byte_source.cc only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "common/base/status.h"

namespace ballast {

// What can be known of a source without reading it.
struct SourceFile {
  uint64_t bytes = 0;   // as stored
  bool packed = false;  // gzip: can only be read from its beginning
};

// kNotFound, kInvalidInput: not there, not readable, no regular file.
Result<SourceFile> inspect_source(const std::string& path);

class ByteSource {
 public:
  // From `begin` on, which is 0 for a packed file.
  static Result<ByteSource> open(const std::string& path, uint64_t begin = 0);
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
  ByteSource(std::string path, std::unique_ptr<Stream> stream, uint64_t offset);
  Result<size_t> unpack(std::span<std::byte> bytes);

  std::string path_;
  std::unique_ptr<Stream> stream_;
  uint64_t offset_ = 0;
};

}  // namespace ballast
