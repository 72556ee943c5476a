// Source: where the chunks of a data set lie. A folder (local_source.h); other kinds keep the
// contract: many reads at a time, none waits for another, and each ends, in bytes or in one error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "common/base/status.h"

namespace ballast {

class Source {
 public:
  // On a thread of the source: short, and never calling the source. Destroyed there too, while the
  // source holds none of its locks.
  using Done = std::function<void(Status)>;

  Source() = default;
  virtual ~Source() = default;  // reads that have not begun end with kStopped
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Fills `into` with the object's bytes from `offset`; returns at once. `into` stays until done is
  // called. kNotFound: no such object. kDataLoss: it ends before. Any thread.
  virtual void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                    Done done) = 0;
};

}  // namespace ballast
