// Source: where the objects of a data set lie, its manifest and its chunks: a folder
// (local_source.h), an http(s) address (http_source.h) or s3:// (s3_source.h). Every kind keeps the
// contract: many reads at a time, none waits for another, and each ends, in bytes or in one error.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "common/base/status.h"

namespace ballast {

class Source {
 public:
  // On a thread of the source, short; it may ask for another read. Destroyed there too. The source
  // holds none of its locks meanwhile.
  using Done = std::function<void(Status)>;
  using DoneHashed = std::function<void(Result<uint64_t>)>;

  Source() = default;
  // Ends every read, those that have not begun with kStopped, before it returns. Not on a thread of
  // the source: what `done` holds must never be the last owner of the source.
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  // Fills `into` with the object's bytes from `offset`; returns at once. `into` stays until done is
  // called. kNotFound: no such object. kDataLoss: it ends before, or is not what it was when it was
  // read first. kInvalidInput: no permission. kUnavailable: nothing helped. Any thread.
  virtual void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
                    Done done) = 0;
  // As read; `done` hears the XXH3 of what was read. A source makes it where that is cheapest:
  // after the read on its thread, if it does nothing better.
  virtual void read_hashed(const std::string& object, uint64_t offset, std::span<std::byte> into,
                           DoneHashed done);
  // As read, and waits for it. Any thread but the source's.
  virtual Status read_now(const std::string& object, uint64_t offset, std::span<std::byte> into);
  // Errors: those of read. Waits. Any thread but the source's.
  virtual Result<uint64_t> size_of(const std::string& object) = 0;

  // What was read there is damaged: a source that keeps what it has read drops it. Any thread.
  virtual void forget(const std::string& /*object*/, uint64_t /*offset*/, uint64_t /*bytes*/) {}
  // A hint for one that keeps what it has read: this will be asked for at `when`, on a scale that
  // the job's reads go along. Any thread.
  virtual void expect(const std::string& /*object*/, uint64_t /*offset*/, uint64_t /*bytes*/,
                      uint64_t /*when*/) {}
  // What was expected at `when` or before has been asked for, or will not be; of what was expected
  // later nothing has, as far as the caller knows. Any thread.
  virtual void reached(uint64_t /*when*/) {}

  // Bytes come over a network: what arrived damaged may arrive whole the next time.
  [[nodiscard]] virtual bool is_remote() const = 0;
  // "data/train/00ab...blc", "http://host/train/00ab...blc": how messages name an object.
  [[nodiscard]] virtual std::string name_of(const std::string& object) const = 0;
};

struct Access;      // access.h
class CacheFolder;  // cache_folder.h

// What will be read, over and over, and by how many threads: how to go about it.
struct Reading {
  uint64_t bytes = 0;
  uint32_t threads = 1;
  std::shared_ptr<CacheFolder> cache = nullptr;  // null: one for this source, where Access names it
};

// An address, and no folder.
[[nodiscard]] bool is_remote(const std::string& location);
// Access::cache; null: none is named. For sources that are to hear what the others will read.
Result<std::shared_ptr<CacheFolder>> open_cache(const Access& access, const Reading& reading);

// kInvalidInput: an address of a kind that this build does not read; others: those of HttpSource
// and open_s3.
Result<std::unique_ptr<Source>> open_source(const std::string& location, const Access& access,
                                            const Reading& reading = {});

// An object that is there, and its size. Any thread.
class Object {
 public:
  static Result<Object> open(std::shared_ptr<Source> source, std::string name);

  [[nodiscard]] std::string path() const { return source_->name_of(name_); }
  [[nodiscard]] uint64_t size() const { return size_; }
  // Fills `bytes` from `offset`. Errors: those of Source::read.
  [[nodiscard]] Status read_at(uint64_t offset, std::span<std::byte> bytes) const;
  [[nodiscard]] bool is_remote() const { return source_->is_remote(); }
  // What was read of it is damaged.
  void forget() const { source_->forget(name_, 0, size_); }

 private:
  Object(std::shared_ptr<Source> source, std::string name, uint64_t size);

  std::shared_ptr<Source> source_;  // shared: outlives the data set that opened it
  std::string name_;
  uint64_t size_;
};

inline constexpr uint32_t kReadsOfDamagedMax = 4;

inline const Status& status_of(const Status& status) {
  return status;
}
template <typename T>
const Status& status_of(const Result<T>& result) {
  return result.status();
}

// Calls `read`, which reads and verifies, again while what came over a network is damaged. `Read`
// gives a Status or a Result.
template <typename Read>
auto read_whole(const Object& object, const Read& read) {
  for (uint32_t reads = 1;; ++reads) {
    auto outcome = read();
    const Status& status = status_of(outcome);
    const bool again = status.code() == Code::kDataLoss && object.is_remote();
    if (again) object.forget();
    if (!again || reads == kReadsOfDamagedMax) return outcome;
  }
}

}  // namespace ballast
