// CacheRanks: which of the ranges in a cache folder goes first when it is full. What is needed
// latest, as far as expect() said; what nobody spoke of before that, the least recently used first.
// What comes is for the soonest of its uses: it is not worth a place if all others are needed
// before the one after that. Pure; whoever has it guards it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

namespace ballast {

class CacheRanks {
 public:
  // Of a range that is kept and expected up to six times: its name, of 57 characters, in three
  // places, its uses with room to grow, and a place in two tables and a tree.
  static constexpr uint64_t kBytesPerRange = 3 * 80 + (2 * 6 * 8 + 16) + (80 + 8) + (128 + 8) + 96;

  // A range is kept now, with so many bytes on the disk.
  void add(const std::string& name, uint64_t bytes);
  void drop(const std::string& name);
  // Those that are kept now; what is known of them before stays. name, bytes.
  void set_kept(const std::vector<std::pair<std::string, uint64_t>>& kept);
  // It was read, or asked for.
  void touch(const std::string& name);

  // A range will be needed at `when`, beside what was said of it before, but for uses that have
  // been.
  void expect(const std::string& name, uint64_t when);
  // Uses up to `when` have been, and no later ones: it may go back.
  void reached(uint64_t when);

  [[nodiscard]] bool empty() const { return ranks_.empty(); }
  [[nodiscard]] bool contains(const std::string& name) const { return kept_.contains(name); }
  [[nodiscard]] uint64_t bytes_of(const std::string& name) const { return kept_.at(name).bytes; }
  [[nodiscard]] std::vector<std::string> names() const;
  // Who goes first; not empty().
  [[nodiscard]] const std::string& first_to_go() const { return std::get<2>(*ranks_.rbegin()); }
  // first_to_go() is needed before this is again, after the use that it came for. Never of what
  // nobody spoke of: the newest is kept.
  [[nodiscard]] bool all_before(const std::string& name) const;

 private:
  // Needed latest last; among those nobody spoke of, the least recently used last.
  using Rank = std::tuple<uint64_t, uint64_t, std::string>;
  struct Kept {
    uint64_t bytes = 0;
    uint64_t used = 0;  // in the order of uses
    Rank rank;
  };

  [[nodiscard]] uint64_t next_use(const std::string& name) const;
  [[nodiscard]] uint64_t use_after_next(const std::string& name) const;
  void rank(const std::string& name, Kept& kept);

  std::unordered_map<std::string, Kept> kept_;
  std::set<Rank> ranks_;
  std::unordered_map<std::string, std::vector<uint64_t>> expected_;  // by name
  uint64_t now_ = 0;
  uint64_t uses_ = 0;
};

}  // namespace ballast
