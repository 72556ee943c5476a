// Trained weights for the outside world: the safetensors format (huggingface/safetensors: u64
// header bytes, JSON header, raw little-endian data), F32 only, and `weights_xxh3`, the one number
// by which two results are compared. Any thread; files block on the disk.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"

namespace ballast {

// Borrowed: the floats must live as long as the call.
struct Tensor {
  std::string name;
  std::vector<uint64_t> shape;
  std::span<const float> values;  // row-major, as many as the shape says
};

using TensorMetadata = std::map<std::string, std::string>;

// Temporary name, sync, rename. Tensors lie in the order given, the data at a multiple of 64.
// kInvalidInput: a name twice or empty, a shape that is not the number of values.
[[nodiscard]] Status write_safetensors(const std::string& path, const std::vector<Tensor>& tensors,
                                       const TensorMetadata& metadata);

struct SafetensorsFile {
  std::vector<Tensor> tensors;  // in the order of their data; borrowed from `bytes`
  TensorMetadata metadata;
  Buffer bytes;
};
// kDataLoss: header size, JSON, shapes, offsets, overlaps or holes that contradict each other or
// the file. kInvalidInput: a dtype other than F32.
[[nodiscard]] Result<SafetensorsFile> read_safetensors(const std::string& path);

// XXH3-64 over tensors in name order: name bytes, shape as u64s, little-endian float32 values.
[[nodiscard]] uint64_t weights_xxh3(const std::vector<Tensor>& tensors);

}  // namespace ballast
