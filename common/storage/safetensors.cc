#include "common/storage/safetensors.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>
#include <set>
#include <utility>

#include "common/base/hash.h"
#include "common/storage/durable_file.h"
#include "common/storage/safetensors_header.h"

namespace ballast {
namespace {

static_assert(std::endian::native == std::endian::little, "the format is little-endian, as we are");

constexpr uint64_t kLengthBytes = sizeof(uint64_t);
constexpr uint64_t kDataAlignment = 64;
constexpr uint64_t kHeaderBytesMax = 100'000'000;  // the format's own limit

Status damaged(const std::string& path, uint64_t offset, const std::string& what) {
  return Status(Code::kDataLoss, fmt::format("{} at byte {}: {}", path, offset, what));
}

// Nothing when the product does not fit into 64 bits.
std::optional<uint64_t> bytes_of(const std::vector<uint64_t>& shape) {
  uint64_t bytes = sizeof(float);
  for (uint64_t extent : shape) {
    if (__builtin_mul_overflow(bytes, extent, &bytes)) return std::nullopt;
  }
  return bytes;
}

Result<SafetensorsHeader> header_of(const std::string& path, const std::vector<Tensor>& tensors,
                                    const TensorMetadata& metadata) {
  SafetensorsHeader header{{}, metadata};
  std::set<std::string_view> names;
  uint64_t end = 0;
  for (const Tensor& tensor : tensors) {
    if (tensor.name.empty() || tensor.name == "__metadata__" || !names.insert(tensor.name).second) {
      return Status(Code::kInvalidInput,
                    fmt::format("while exporting {}: tensor name \"{}\" is empty, reserved or used "
                                "twice",
                                path, tensor.name));
    }
    if (bytes_of(tensor.shape) != tensor.values.size_bytes()) {
      return Status(Code::kInvalidInput,
                    fmt::format("while exporting {}: tensor {} has shape [{}] and {} values", path,
                                tensor.name, fmt::join(tensor.shape, ", "), tensor.values.size()));
    }
    const uint64_t begin = std::exchange(end, end + tensor.values.size_bytes());
    header.entries.push_back({tensor.name, "F32", tensor.shape, begin, end});
  }
  return header;
}

// Entries in the order of their data must cover it without holes or overlaps.
Status check_entries(const std::string& path, const SafetensorsHeader& header, uint64_t first_byte,
                     uint64_t data_bytes) {
  uint64_t end = 0;
  for (const SafetensorsEntry& entry : header.entries) {
    if (entry.dtype != "F32") {
      return Status(Code::kInvalidInput, fmt::format("{}: tensor {} has dtype {}, expected F32",
                                                     path, entry.name, entry.dtype));
    }
    if (entry.begin != end || entry.end < entry.begin || entry.end > data_bytes) {
      return damaged(path, first_byte + end,
                     fmt::format("expected tensor {} to begin at {} of {} bytes of data, found "
                                 "data_offsets [{}, {}]",
                                 entry.name, end, data_bytes, entry.begin, entry.end));
    }
    if (bytes_of(entry.shape) != entry.end - entry.begin) {
      return damaged(path, first_byte + end,
                     fmt::format("tensor {} has shape [{}], found {} bytes", entry.name,
                                 fmt::join(entry.shape, ", "), entry.end - entry.begin));
    }
    end = entry.end;
  }
  if (end == data_bytes) return Status();
  return damaged(path, first_byte + end,
                 fmt::format("tensors end at {} of {} bytes of data", end, data_bytes));
}

// The tensors borrow from `data`.
std::vector<Tensor> tensors_in(const SafetensorsHeader& header, std::span<const float> data) {
  std::vector<Tensor> tensors;
  for (const SafetensorsEntry& entry : header.entries) {
    tensors.push_back(
        {entry.name, entry.shape,
         data.subspan(entry.begin / sizeof(float), (entry.end - entry.begin) / sizeof(float))});
  }
  return tensors;
}

}  // namespace

Status write_safetensors(const std::string& path, const std::vector<Tensor>& tensors,
                         const TensorMetadata& metadata) {
  BALLAST_ASSIGN(const SafetensorsHeader header, header_of(path, tensors, metadata));
  std::string text = format_safetensors_header(header);
  text.resize((kLengthBytes + text.size() + kDataAlignment - 1) / kDataAlignment * kDataAlignment -
                  kLengthBytes,
              ' ');
  if (text.size() > kHeaderBytesMax) {
    return Status(Code::kInvalidInput, fmt::format("while exporting {}: the header has {} bytes, "
                                                   "the format allows {}",
                                                   path, text.size(), kHeaderBytesMax));
  }
  const uint64_t length = text.size();
  std::vector<std::span<const std::byte>> pieces = {std::as_bytes(std::span(&length, 1)),
                                                    std::as_bytes(std::span(text))};
  for (const Tensor& tensor : tensors) pieces.push_back(std::as_bytes(tensor.values));
  return write_file(path, pieces);
}

Result<SafetensorsFile> read_safetensors(const std::string& path) {
  BALLAST_ASSIGN(Buffer bytes, read_file(path));
  uint64_t length = 0;
  if (bytes.size() < kLengthBytes) {
    return damaged(
        path, bytes.size(),
        fmt::format("expected a header size of {} bytes, found {}", kLengthBytes, bytes.size()));
  }
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > std::min(bytes.size() - kLengthBytes, kHeaderBytesMax)) {
    return damaged(path, 0,
                   fmt::format("header of {} bytes in a file of {}, at most {} allowed", length,
                               bytes.size(), kHeaderBytesMax));
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + kLengthBytes, length);
  Result<SafetensorsHeader> header = parse_safetensors_header(text);
  if (!header.ok()) return damaged(path, kLengthBytes, header.status().chain().front());
  std::stable_sort(header->entries.begin(), header->entries.end(),
                   [](const auto& a, const auto& b) {
                     return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
                   });
  const uint64_t first_byte = kLengthBytes + length;
  BALLAST_RETURN_IF_ERROR(check_entries(path, *header, first_byte, bytes.size() - first_byte));

  SafetensorsFile file;
  file.bytes = bytes.slice(first_byte, bytes.size() - first_byte);
  if (reinterpret_cast<uintptr_t>(file.bytes.data()) % alignof(float) != 0) {
    file.bytes = Buffer::copy_of(std::as_const(file.bytes).bytes());
  }
  file.tensors = tensors_in(*header, std::as_const(file.bytes).floats());
  file.metadata = std::move(header->metadata);
  return file;
}

uint64_t weights_xxh3(const std::vector<Tensor>& tensors) {
  std::vector<const Tensor*> by_name;
  for (const Tensor& tensor : tensors) by_name.push_back(&tensor);
  std::sort(by_name.begin(), by_name.end(),
            [](const Tensor* a, const Tensor* b) { return a->name < b->name; });
  Hasher hasher;
  for (const Tensor* tensor : by_name) {
    hasher.add(std::string_view(tensor->name));
    for (uint64_t extent : tensor->shape) hasher.add(extent);
    hasher.add(std::as_bytes(tensor->values));
  }
  return hasher.digest();
}

}  // namespace ballast
