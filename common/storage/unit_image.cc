#include "common/storage/unit_image.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <utility>

#include "common/base/hash.h"

namespace ballast {
namespace {

static_assert(std::endian::native == std::endian::little, "files are little-endian, as we are");

constexpr uint64_t kSectionBytes = 64;
constexpr uint64_t kMagic = 0x0031'5449'4e55'4c42;  // "BLUNIT1\0", read as a little-endian number
constexpr uint32_t kStateTensorsMax = 64;  // Adam has two; bounds what a bad header can ask for
constexpr std::array<std::byte, kSectionBytes> kZeros{};

// The first section of an image; the rest of it is zeros.
struct Prelude {
  uint64_t magic;
  uint64_t total_bytes;
  uint32_t header_bytes;
  uint32_t zero;
  uint64_t xxh3;
};
static_assert(sizeof(Prelude) == 32);
constexpr size_t kHashOffset = offsetof(Prelude, xxh3);
constexpr size_t kHashEnd = kHashOffset + sizeof(uint64_t);

uint64_t padded(uint64_t bytes) {
  return (bytes + kSectionBytes - 1) / kSectionBytes * kSectionBytes;
}

Status damaged(std::string what) {
  return Status(Code::kDataLoss, std::move(what));
}

// All but the hash itself.
uint64_t hash_around_itself(std::span<const std::byte> first,
                            std::span<const std::span<const std::byte>> rest) {
  Hasher hasher;
  hasher.add(first.first(kHashOffset));
  hasher.add(first.subspan(kHashEnd));
  for (std::span<const std::byte> piece : rest) hasher.add(piece);
  return hasher.digest();
}

void add_padded(ImagePieces& pieces, std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  pieces.spans.push_back(bytes);
  const uint64_t padding = padded(bytes.size()) - bytes.size();
  if (padding > 0) pieces.spans.push_back(std::span(kZeros).first(padding));
  pieces.bytes += padded(bytes.size());
}

UnitHeader header_of(const UnitImage& image) {
  BALLAST_CHECK(image.weights.size() % sizeof(float) == 0);
  for (const Buffer& tensor : image.state) BALLAST_CHECK(tensor.size() == image.weights.size());
  BALLAST_CHECK(image.previous.empty() || image.previous.size() == image.weights.size());
  return {image.unit,
          image.version,
          image.updates,
          image.samples_applied,
          image.weight_applied,
          image.marks,
          image.weights.size() / sizeof(float),
          static_cast<uint32_t>(image.state.size()),
          !image.previous.empty(),
          image.ledger};
}

// What encode would have made of such a header; bounded by `total`, so nothing overflows.
Status check_layout(const UnitHeader& header, uint64_t header_bytes, uint64_t total) {
  const uint64_t room = total - kSectionBytes - padded(header_bytes);
  const uint64_t tensors = 1 + uint64_t{header.state_count} + (header.has_previous ? 1 : 0);
  const bool fits = header.state_count <= kStateTensorsMax &&
                    header.element_count <= room / sizeof(float) / tensors;
  if (fits && padded(header.element_count * sizeof(float)) * tensors == room) return Status();
  return damaged(fmt::format(
      "unit {}: header says {} tensors of {} floats, found {} bytes for them at offset {}",
      header.unit.value(), tensors, header.element_count, room, total - room));
}

Buffer tensor_at(const Buffer& bytes, uint64_t offset, uint64_t size) {
  Buffer slice = bytes.slice(offset, size);
  if (reinterpret_cast<uintptr_t>(slice.data()) % alignof(float) == 0) return slice;
  return Buffer::copy_of(std::as_const(slice).bytes());
}

Result<Prelude> verified_prelude(std::span<const std::byte> bytes) {
  if (bytes.size() < kSectionBytes) {
    return damaged(fmt::format("unit image of {} bytes is shorter than its prelude of {}",
                               bytes.size(), kSectionBytes));
  }
  Prelude prelude;
  std::memcpy(&prelude, bytes.data(), sizeof(prelude));
  if (prelude.magic != kMagic) {
    return damaged(fmt::format("unit image at offset 0: expected magic {}, found {}", hex64(kMagic),
                               hex64(prelude.magic)));
  }
  if (prelude.total_bytes != bytes.size() || bytes.size() % kSectionBytes != 0) {
    return damaged(fmt::format("unit image at offset 8: says {} bytes, found {}",
                               prelude.total_bytes, bytes.size()));
  }
  const uint64_t actual = hash_around_itself(bytes, {});
  if (prelude.xxh3 != actual) {
    return damaged(fmt::format("unit image of {} bytes: xxh3 stored {}, found {}", bytes.size(),
                               hex64(prelude.xxh3), hex64(actual)));
  }
  return prelude;
}

}  // namespace

std::vector<LaneLedger> lane_ledgers_of(const UnitImage& image) {
  const bool sync = image.marks.empty();
  const size_t count =
      sync ? image.ledger.size() : std::min(image.ledger.size(), image.marks.size());
  std::vector<LaneLedger> lanes;
  for (size_t lane = 0; lane < count; ++lane) {
    lanes.push_back({sync ? image.version : image.marks[lane], image.ledger[lane]});
  }
  return lanes;
}

ImagePieces pieces_of(const UnitImage& image) {
  const Buffer header = encode_unit_header(header_of(image));
  ImagePieces pieces;
  pieces.bytes = kSectionBytes + padded(header.size());
  pieces.head = Buffer::allocate(pieces.bytes);
  std::memcpy(pieces.head.data() + kSectionBytes, header.data(), header.size());
  pieces.spans.push_back(std::as_const(pieces.head).bytes());
  add_padded(pieces, image.weights.bytes());
  for (const Buffer& tensor : image.state) add_padded(pieces, tensor.bytes());
  add_padded(pieces, image.previous.bytes());

  Prelude prelude{kMagic, pieces.bytes, static_cast<uint32_t>(header.size()), 0, 0};
  std::memcpy(pieces.head.data(), &prelude, sizeof(prelude));
  pieces.xxh3 = hash_around_itself(pieces.spans[0], std::span(pieces.spans).subspan(1));
  std::memcpy(pieces.head.data() + kHashOffset, &pieces.xxh3, sizeof(pieces.xxh3));
  return pieces;
}

Buffer encode(const UnitImage& image) {
  const ImagePieces pieces = pieces_of(image);
  Buffer encoded = Buffer::allocate(pieces.bytes);
  std::byte* out = encoded.data();
  for (std::span<const std::byte> piece : pieces.spans) {
    out = std::copy(piece.begin(), piece.end(), out);
  }
  return encoded;
}

Result<uint64_t> verify_image(std::span<const std::byte> bytes) {
  BALLAST_ASSIGN(const Prelude prelude, verified_prelude(bytes));
  return prelude.xxh3;
}

uint64_t carried_xxh3(std::span<const std::byte> verified) {
  BALLAST_CHECK(verified.size() >= kSectionBytes);
  uint64_t hash = 0;
  std::memcpy(&hash, verified.data() + kHashOffset, sizeof(hash));
  return hash;
}

Result<UnitImage> decode(const Buffer& bytes) {
  BALLAST_ASSIGN(const Prelude prelude, verified_prelude(bytes.bytes()));
  if (prelude.header_bytes > bytes.size() - kSectionBytes) {
    return damaged(fmt::format("unit image at offset 16: header of {} bytes in an image of {}",
                               prelude.header_bytes, bytes.size()));
  }
  BALLAST_ASSIGN(UnitHeader header,
                 decode_unit_header(bytes.bytes().subspan(kSectionBytes, prelude.header_bytes)));
  BALLAST_RETURN_IF_ERROR(check_layout(header, prelude.header_bytes, bytes.size()));

  UnitImage image{header.unit,
                  header.version,
                  header.updates,
                  header.samples_applied,
                  header.weight_applied,
                  std::move(header.marks),
                  std::move(header.ledger),
                  Buffer(),
                  {},
                  Buffer()};
  const uint64_t tensor_bytes = header.element_count * sizeof(float);
  uint64_t offset = kSectionBytes + padded(prelude.header_bytes);
  image.weights = tensor_at(bytes, offset, tensor_bytes);
  if (header.element_count == 0) {
    image.state.resize(header.state_count);
    return image;
  }
  for (uint32_t index = 0; index < header.state_count; ++index) {
    offset += padded(tensor_bytes);
    image.state.push_back(tensor_at(bytes, offset, tensor_bytes));
  }
  if (header.has_previous) {
    image.previous = tensor_at(bytes, offset + padded(tensor_bytes), tensor_bytes);
  }
  return image;
}

}  // namespace ballast
