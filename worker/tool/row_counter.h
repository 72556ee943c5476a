// "\r12000 rows" on stderr while a person looks on; nothing in a log. Owner thread: the command's.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

namespace ballast {

class RowCounter {
 public:
  RowCounter() = default;
  RowCounter(const RowCounter&) = delete;
  RowCounter& operator=(const RowCounter&) = delete;
  ~RowCounter() {
    if (shown_) fmt::print(stderr, "\r\033[K");
  }

  void operator()(uint64_t rows) {
    if (!isatty(STDERR_FILENO)) return;
    fmt::print(stderr, "\r{} rows", rows);
    std::fflush(stderr);
    shown_ = true;
  }

 private:
  bool shown_ = false;
};

}  // namespace ballast
