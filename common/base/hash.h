// XXH3-64 (Collet), the one checksum of chunks, checkpoints, job hashes and `weights_xxh3`. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace ballast {

[[nodiscard]] uint64_t xxh3(std::span<const std::byte> bytes);
[[nodiscard]] uint64_t xxh3(std::string_view text);
[[nodiscard]] uint64_t xxh3(std::span<const std::byte> bytes, uint64_t seed);  // 0: as without

// Hashes a sequence piece by piece; the same value as xxh3 of the pieces joined.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;

  void add(std::span<const std::byte> bytes);
  void add(std::string_view text);
  void add(uint64_t number);  // eight little-endian bytes
  [[nodiscard]] uint64_t digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Sixteen lower-case hex digits.
[[nodiscard]] std::string hex64(uint64_t value);

}  // namespace ballast
