#include "worker/data/convert/byte_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "worker/data/file.h"

namespace ballast {

namespace {

constexpr size_t kUnpackMax = 1u << 30;  // gzread counts in int

// zlib says "path: what is wrong"; the path stands in our message already.
std::string_view without_path(std::string_view text) {
  const size_t colon = text.rfind(": ");
  return colon == std::string_view::npos ? text : text.substr(colon + 2);
}

// The descriptor, which is the caller's to close.
Result<int> open_regular(const std::string& path, SourceFile& file) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor < 0) {
    const Code code = errno == ENOENT ? Code::kNotFound : Code::kInvalidInput;
    return Status(code, "open " + path + ": " + std::strerror(errno));
  }
  struct stat about {};
  const bool known = ::fstat(descriptor, &about) == 0;
  if (known && S_ISREG(about.st_mode)) {
    file.bytes = static_cast<uint64_t>(about.st_size);
    unsigned char magic[2] = {};
    file.packed = ::pread(descriptor, magic, 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    return descriptor;
  }
  ::close(descriptor);
  return Status(Code::kInvalidInput,
                known && S_ISDIR(about.st_mode)
                    ? "open " + path + ": a file expected, a folder found"
                    : "open " + path +
                          ": a regular file expected: sources are read more than once; write what "
                          "a pipe gives to a file first");
}

}  // namespace

Result<SourceFile> inspect_source(const std::string& path) {
  SourceFile file;
  BALLAST_ASSIGN(const int descriptor, open_regular(path, file));
  ::close(descriptor);
  return file;
}

struct ByteSource::Stream {
  int descriptor = -1;
  gzFile packed = nullptr;  // owns the descriptor where it is set

  ~Stream() {
    if (packed != nullptr) {
      gzclose_r(packed);
    } else if (descriptor >= 0) {
      ::close(descriptor);
    }
  }
};

Result<ByteSource> ByteSource::open(const std::string& path, uint64_t begin) {
  SourceFile file;
  auto stream = std::make_unique<Stream>();
  BALLAST_ASSIGN(stream->descriptor, open_regular(path, file));
  if (file.packed) {
    BALLAST_CHECK(begin == 0);
    stream->packed = gzdopen(stream->descriptor, "rb");
    if (stream->packed == nullptr) return Status(Code::kExhausted, "open " + path + ": no memory");
    gzbuffer(stream->packed, 256u << 10);
  }
  return ByteSource(path, std::move(stream), begin);
}

ByteSource::ByteSource(std::string path, std::unique_ptr<Stream> stream, uint64_t offset)
    : path_(std::move(path)), stream_(std::move(stream)), offset_(offset) {}

ByteSource::~ByteSource() = default;
ByteSource::ByteSource(ByteSource&& other) noexcept = default;
ByteSource& ByteSource::operator=(ByteSource&& other) noexcept = default;

Result<size_t> ByteSource::read(std::span<std::byte> bytes) {
  if (stream_->packed != nullptr) return unpack(bytes);
  const ssize_t got = read_fully(stream_->descriptor, offset_, bytes);
  if (got < 0) {
    return Status(Code::kUnavailable,
                  fmt::format("read {} at byte {}: {}", path_, offset_, std::strerror(errno)));
  }
  offset_ += static_cast<size_t>(got);
  return static_cast<size_t>(got);
}

Result<size_t> ByteSource::unpack(std::span<std::byte> bytes) {
  size_t filled = 0;
  while (filled < bytes.size()) {
    const size_t wanted = std::min(bytes.size() - filled, kUnpackMax);
    const int got = gzread(stream_->packed, bytes.data() + filled, static_cast<unsigned>(wanted));
    int problem = Z_OK;
    const std::string_view text = gzerror(stream_->packed, &problem);  // "path: what"
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

}  // namespace ballast
