// The codecs of column buffers: lz4 (block format) and zstd (one frame). The only folder that
// includes their headers. Pure; any thread.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

// "none", "lz4" or "zstd". kInvalidInput: something else.
Result<Codec> parse_codec(std::string_view text);

// Empty: stored with this codec the bytes would not be fewer; then store them as they are.
[[nodiscard]] std::vector<std::byte> compress(Codec codec, std::span<const std::byte> raw);

// Fills `raw`, no less and no more. kDataLoss: `stored` does not hold just that many bytes; the
// message names the codec, the caller adds where. kExhausted: no memory for the codec's own state.
[[nodiscard]] Status decompress(Codec codec, std::span<const std::byte> stored,
                                std::span<std::byte> raw);

}  // namespace ballast
