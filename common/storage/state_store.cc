#include "common/storage/state_store.h"

#include <fmt/format.h>

#include <array>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "common/storage/durable_file.h"

namespace ballast {
namespace {

constexpr uint64_t kMagic = 0x3145'5441'5453'4c42;  // "BLSTATE1", little-endian

struct Prelude {
  uint64_t magic;
  uint64_t payload_bytes;
  uint64_t xxh3;  // of the payload
};
static_assert(sizeof(Prelude) == 24);

Status damaged(const std::string& path, uint64_t offset, const std::string& what) {
  return Status(Code::kDataLoss, fmt::format("{} at byte {}: {}", path, offset, what));
}

Status unknown(std::string_view key) {
  return Status(Code::kNotFound, fmt::format("no state is stored under \"{}\"", key));
}

template <typename Number>
void add_number(std::vector<std::byte>& out, Number number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

std::vector<std::byte> serialized(const StateContents& contents) {
  std::vector<std::byte> out;
  for (const auto& [key, value] : contents) {
    add_number(out, static_cast<uint32_t>(key.size()));
    const auto name = std::as_bytes(std::span(key));
    out.insert(out.end(), name.begin(), name.end());
    add_number(out, uint64_t{value.size()});
    out.insert(out.end(), value.bytes().begin(), value.bytes().end());
  }
  return out;
}

// Takes sections from the front of the payload; nothing when it is too short.
class Reader {
 public:
  explicit Reader(std::span<const std::byte> bytes) : rest_(bytes) {}
  [[nodiscard]] bool done() const { return rest_.empty(); }
  [[nodiscard]] std::optional<std::span<const std::byte>> take(uint64_t bytes) {
    if (bytes > rest_.size()) return std::nullopt;
    const auto taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  // A section that follows its own size.
  template <typename Number>
  [[nodiscard]] std::optional<std::span<const std::byte>> take_sized() {
    const auto stored = take(sizeof(Number));
    if (!stored) return std::nullopt;
    Number size = 0;
    std::memcpy(&size, stored->data(), sizeof(size));
    return take(size);
  }

 private:
  std::span<const std::byte> rest_;
};

Result<StateContents> parsed(const std::string& path, std::span<const std::byte> payload) {
  StateContents contents;
  Reader reader(payload);
  while (!reader.done()) {
    const auto key = reader.take_sized<uint32_t>();
    const auto value = key ? reader.take_sized<uint64_t>() : std::nullopt;
    if (!value) {
      return damaged(path, sizeof(Prelude) + payload.size(),
                     fmt::format("entry {} runs over the end of the file", contents.size()));
    }
    contents.insert_or_assign(std::string(reinterpret_cast<const char*>(key->data()), key->size()),
                              Buffer::copy_of(*value));
  }
  return contents;
}

Result<StateContents> loaded(const std::string& path) {
  Result<Buffer> bytes = read_file(path);
  if (!bytes.ok() && bytes.status().code() == Code::kNotFound) return StateContents();
  if (!bytes.ok()) return bytes.status();
  Prelude prelude{};
  if (bytes->size() < sizeof(prelude)) {
    return damaged(
        path, bytes->size(),
        fmt::format("expected at least {} bytes, found {}", sizeof(prelude), bytes->size()));
  }
  std::memcpy(&prelude, bytes->data(), sizeof(prelude));
  const auto payload = std::as_const(*bytes).bytes().subspan(sizeof(prelude));
  if (prelude.magic != kMagic) {
    return damaged(path, 0,
                   fmt::format("expected magic {}, found {}", hex64(kMagic), hex64(prelude.magic)));
  }
  if (prelude.payload_bytes != payload.size()) {
    return damaged(
        path, 8,
        fmt::format("expected {} bytes of state, found {}", prelude.payload_bytes, payload.size()));
  }
  if (const uint64_t actual = xxh3(payload); prelude.xxh3 != actual) {
    return damaged(path, sizeof(prelude),
                   fmt::format("xxh3 stored {}, found {}", hex64(prelude.xxh3), hex64(actual)));
  }
  return parsed(path, payload);
}

Status stored(const std::string& path, const StateContents& contents) {
  const std::vector<std::byte> payload = serialized(contents);
  const Prelude prelude{kMagic, payload.size(), xxh3(payload)};
  const std::array<std::span<const std::byte>, 2> pieces = {std::as_bytes(std::span(&prelude, 1)),
                                                            payload};
  return write_file(path, pieces);
}

Result<Buffer> found(const StateContents& contents, std::string_view key) {
  const auto entry = contents.find(key);
  if (entry == contents.end()) return unknown(key);
  return entry->second;
}

}  // namespace

Status MemoryStateStore::put(std::string_view key, std::span<const std::byte> value) {
  contents_.insert_or_assign(std::string(key), Buffer::copy_of(value));
  return Status();
}

Result<Buffer> MemoryStateStore::get(std::string_view key) const {
  return found(contents_, key);
}

Result<std::unique_ptr<FileStateStore>> FileStateStore::open(std::string path) {
  BALLAST_ASSIGN(StateContents contents, loaded(path));
  return std::unique_ptr<FileStateStore>(new FileStateStore(std::move(path), std::move(contents)));
}

FileStateStore::FileStateStore(std::string path, StateContents contents)
    : path_(std::move(path)), contents_(std::move(contents)) {}

Status FileStateStore::put(std::string_view key, std::span<const std::byte> value) {
  StateContents next = contents_;  // buffers are shared, not copied
  next.insert_or_assign(std::string(key), Buffer::copy_of(value));
  BALLAST_RETURN_IF_ERROR(stored(path_, next));
  contents_ = std::move(next);
  return Status();
}

Result<Buffer> FileStateStore::get(std::string_view key) const {
  return found(contents_, key);
}

}  // namespace ballast
