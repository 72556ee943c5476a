#include "common/metrics/histogram.h"

#include <algorithm>
#include <cmath>

#include "common/base/check.h"

namespace ballast {

Histogram::Histogram(uint32_t bucket_limit) : bucket_limit_(bucket_limit) {
  BALLAST_CHECK(bucket_limit > 0);
}

Histogram Histogram::from_buckets(std::span<const uint64_t> buckets, uint32_t bucket_limit) {
  Histogram histogram(bucket_limit);
  for (size_t value = 0; value < buckets.size(); ++value) histogram.add(value, buckets[value]);
  return histogram;
}

void Histogram::add(uint64_t value, uint64_t count) {
  if (count == 0) return;
  const uint64_t bucket = std::min<uint64_t>(value, bucket_limit_ - 1);
  if (bucket >= buckets_.size()) buckets_.resize(bucket + 1);
  buckets_[bucket] += count;
  count_ += count;
  sum_ += static_cast<double>(value) * static_cast<double>(count);
}

void Histogram::merge(const Histogram& other) {
  const double sum = sum_ + other.sum_;  // exact also for values in the other's last bucket
  for (size_t value = 0; value < other.buckets_.size(); ++value) add(value, other.buckets_[value]);
  sum_ = sum;
}

double Histogram::mean() const {
  return count_ == 0 ? 0 : sum_ / static_cast<double>(count_);
}

uint64_t Histogram::quantile(double share) const {
  BALLAST_CHECK(share >= 0 && share <= 1);
  const double wanted = std::max(1.0, std::ceil(share * static_cast<double>(count_)));
  uint64_t seen = 0;
  for (size_t value = 0; value < buckets_.size(); ++value) {
    seen += buckets_[value];
    if (static_cast<double>(seen) >= wanted) return value;
  }
  return 0;
}

}  // namespace ballast
