// Counter and Histogram: what processes count while they run. Owner thread: whoever counts; they
// are plain values that are copied into messages and merged by whoever reports.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ballast {

struct Counter {
  uint64_t value = 0;
  void add(uint64_t count = 1) { value += count; }
};

// Counts of whole numbers from 0, one bucket each, such as staleness. Numbers of `bucket_limit` and
// above share the last bucket, so memory is bounded; the mean stays exact.
class Histogram {
 public:
  explicit Histogram(uint32_t bucket_limit = 4096);
  // From buckets that came over the wire; values above the limit are counted in the last bucket.
  static Histogram from_buckets(std::span<const uint64_t> buckets, uint32_t bucket_limit = 4096);

  void add(uint64_t value, uint64_t count = 1);
  void merge(const Histogram& other);

  [[nodiscard]] uint64_t count() const { return count_; }
  [[nodiscard]] double mean() const;  // 0 when empty
  // The least value v with at least share * count() of all values <= v; share in [0, 1]; 0 when
  // empty. A value in the last bucket is given as bucket_limit - 1.
  [[nodiscard]] uint64_t quantile(double share) const;
  [[nodiscard]] uint64_t largest() const { return quantile(1); }
  // Index = value; as long as the largest value counted.
  [[nodiscard]] std::span<const uint64_t> buckets() const { return buckets_; }

 private:
  uint32_t bucket_limit_;
  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  double sum_ = 0;
};

}  // namespace ballast
