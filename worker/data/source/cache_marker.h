// CacheMarker: the file `ballast-cache` that makes a folder a cache, and in it the sum of all files
// that are kept there. The sum is changed only by who holds the file's flock(), which the kernel
// lets go with its holder. There is no waiting for it: flock() knows no deadline, and a holder may
// have been stopped for as long as somebody likes; who does not get it tries again when it has
// something to do anyway. Owner: whoever serialises its calls, as CacheFolder does with its mutex.
#pragma once

#include <cstdint>

#include "common/base/status.h"

namespace ballast {

class CacheMarker {
 public:
  static constexpr const char* kName = "ballast-cache";

  // Made where there is none. kInvalidInput: no permission, a file of that name that is something
  // else, or a file system without locks.
  static Result<CacheMarker> open(int folder_fd);
  ~CacheMarker();
  CacheMarker(CacheMarker&& other) noexcept;
  CacheMarker& operator=(CacheMarker&& other) = delete;

  // Nobody has signed it: the folder may be no cache yet.
  [[nodiscard]] bool is_new() const { return is_new_; }

  // For std::unique_lock with std::try_to_lock.
  [[nodiscard]] bool try_lock();
  void unlock();

  // While locked. A disk that fails leaves the sum as it was: too high, as a kill does.
  [[nodiscard]] Status sign();
  void set_total(uint64_t total);
  // Of this moment, when it is not locked.
  [[nodiscard]] uint64_t total() const;

 private:
  CacheMarker(int descriptor, bool is_new) : descriptor_(descriptor), is_new_(is_new) {}

  int descriptor_;
  bool is_new_;
};

}  // namespace ballast
