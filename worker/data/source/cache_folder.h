// CacheFolder: byte ranges of content-named objects in a folder, at most so many bytes, shared by
// all processes of the machine that name it. Each range is a file of its own (cache_range.h),
// written without a name (O_TMPFILE) and linked when it is whole: kill -9 at any instant leaves
// nothing to clean up, and a file that is removed while another process reads it stays readable.
// Nothing else in the folder is ever touched, and a folder that holds other things and no file
// `ballast-cache` is refused.
//
// The sum of all files stands in `ballast-cache` (cache_marker.h). It is raised before a file is
// linked and lowered after one is removed, so what a kill leaves of it is too high and never too
// low. Opening counts anew. Nobody waits for the right to change it, since who has it may have been
// stopped: a file that cannot be named at once stays without a name, up to 16 of them, and the next
// call that finds the marker free names them all. What is more than that is not kept. Rejected: a
// wait with a deadline, which flock() has not; sums in mapped memory, where a full disk is SIGBUS.
//
// Who goes first when it is full: cache_ranks.h.
// Which uses have been, reached() says. It does not follow from what is read: at its beginning a
// lane reads blocks that it needs again at the end of the epoch, and other lanes read them too.
//
// What is read is not verified: whoever reads compares hashes, and calls forget(). Any thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "worker/data/source/cache_marker.h"
#include "worker/data/source/cache_range.h"
#include "worker/data/source/cache_ranks.h"

namespace ballast {

struct CacheCounters {
  uint64_t hits = 0;
  uint64_t kept = 0;
  uint64_t evicted = 0;
  uint64_t forgotten = 0;
  uint64_t not_kept = 0;  // needed too late, no space, or no name in time
};

class CacheFolder {
 public:
  // direct: reads go past the page cache. kInvalidInput: a folder of other things, no permission,
  // or a file system without O_TMPFILE.
  static Result<std::unique_ptr<CacheFolder>> open(const std::string& folder, uint64_t bytes_max,
                                                   bool direct);
  ~CacheFolder();
  CacheFolder(const CacheFolder&) = delete;
  CacheFolder& operator=(const CacheFolder&) = delete;

  // False: it is not there.
  [[nodiscard]] bool read(const CacheRange& range, std::span<std::byte> into);
  // Keeps it if there is room; a disk that is full, or that fails, is said once and never an error.
  void write(const CacheRange& range, std::span<const std::byte> bytes);
  // Drops what overlaps: it was damaged.
  void forget(const CacheRange& range);
  // A range will be read at `when`, beside what was said of it before.
  void expect(const CacheRange& range, uint64_t when);
  // Uses up to `when` have been, and no later ones: it may go back. The next expect() of a range
  // forgets those that have been. Waits for nobody.
  void reached(uint64_t when) { reached_ = when; }

  // Now: another process may remove it, or have kept it.
  [[nodiscard]] bool holds(const CacheRange& range) const;
  [[nodiscard]] CacheCounters counters() const;

 private:
  // A whole file that nobody can find yet.
  struct Nameless {
    int descriptor;
    std::string name;
    uint64_t bytes;  // on the disk
  };

  CacheFolder(std::string folder, uint64_t bytes_max, bool direct, int folder_fd,
              CacheMarker marker);
  Status begin();
  // What is there now: the sum of what is kept, and a file that is something else.
  Status list(uint64_t& total, std::string& other);
  void settle();
  void remove_damaged(uint64_t& total);
  void count_anew(uint64_t& total);
  void publish(const Nameless& file, uint64_t& total);
  [[nodiscard]] bool make_room(const std::string& name, uint64_t bytes, uint64_t& total);
  [[nodiscard]] bool has_space(uint64_t bytes);
  [[nodiscard]] bool is_wanted(const std::string& name, uint64_t bytes);
  void give_up(const std::string& attempted, int error);
  [[nodiscard]] int write_nameless(std::span<const std::byte> bytes);

  const std::string folder_;
  const uint64_t bytes_max_;
  const bool direct_;
  const int folder_fd_;
  std::atomic<uint64_t> reached_ = 0;
  mutable std::mutex mutex_;  // guards all below, and is held while the marker is locked
  CacheMarker marker_;
  bool count_due_ = false;          // nobody counted when it was opened
  std::vector<Nameless> nameless_;  // they wait for the marker
  std::set<std::string> damaged_;   // to be removed then, and not read before
  CacheRanks ranks_;
  bool given_up_ = false;
  bool said_no_space_ = false;
  CacheCounters counters_;
};

}  // namespace ballast
