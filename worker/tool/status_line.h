// One line on stderr that is written over while a person looks on; nothing of it in a log. Notes
// stay, in a log too. Owner thread: the command's.
#pragma once

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <string>

namespace ballast {

class StatusLine {
 public:
  StatusLine() = default;
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;
  ~StatusLine() { clear(); }

  void show(const std::string& text) {
    if (!isatty(STDERR_FILENO)) return;
    fmt::print(stderr, "\r{}\033[K", text);
    std::fflush(stderr);
    shown_ = true;
  }
  void note(const std::string& text) {
    clear();
    fmt::print(stderr, "{}\n", text);
  }

 private:
  void clear() {
    if (shown_) fmt::print(stderr, "\r\033[K");
    shown_ = false;
  }

  bool shown_ = false;
};

}  // namespace ballast
