#include "server/shard/unit_weights.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "common/optimizer/schedule.h"

namespace ballast {
namespace {

// Spare buffers a unit keeps, no more than were ever out at once: what a checkpoint copies (weights
// and two tensors of Adam), two images that wait for the journal, a new version. As freed memory
// they would not fit again where aligned blocks lie between small ones: the second checkpoint took
// as much once more.
constexpr size_t kSpares = 8;

// Below this a received frame may share its memory with others that came with it (libzmq reads
// 8 KiB at once), and would keep all of it.
constexpr size_t kFrameBytesMin = 32 << 10;

// Whether the next version of `bytes` may be written over this gradient.
bool reusable(const Buffer& gradient, size_t bytes) {
  return bytes >= kFrameBytesMin && gradient.size() == bytes &&
         reinterpret_cast<uintptr_t>(gradient.data()) % alignof(float) == 0 &&
         gradient.sole_owner();
}

// Later ones lie in received frames, and freed memory is kept for what is like it: the first would
// stay behind as memory that nobody uses.
Buffer first_version(size_t bytes) {
  return bytes < kFrameBytesMin ? Buffer::allocate(bytes) : Buffer::map(bytes);
}

}  // namespace

UnitWeights::UnitWeights(const UnitSpec& spec, const ParameterSpec& parameter, uint64_t seed,
                         const UpdateRule& rule)
    : spec_(spec), decay_(parameter.decay), rule_(rule), pool_(spec.bytes(), kSpares) {
  current_ = first_version(spec.bytes());
  fill_initial(parameter, spec.parameter, seed, spec.first_element, current_.floats());
  for (uint32_t i = 0; i < state_count(rule.train.optimizer.kind); ++i) {
    state_.push_back(Buffer::allocate(spec.bytes()));
  }
}

Status UnitWeights::restore(UnitImage image) {
  if (image.weights.size() != bytes() || image.state.size() != state_.size()) {
    return Status(
        Code::kDataLoss,
        fmt::format("unit {}: image has {} bytes and {} state tensors, expected {} and {}",
                    spec_.id.value(), image.weights.size(), image.state.size(), bytes(),
                    state_.size()));
  }
  for (size_t i = 0; i < state_.size(); ++i) {
    if (image.state[i].size() != bytes()) {
      return Status(Code::kDataLoss,
                    fmt::format("unit {}: state tensor {} has {} bytes, expected {}",
                                spec_.id.value(), i, image.state[i].size(), bytes()));
    }
    state_[i] = Buffer::copy_of(image.state[i].bytes());
  }
  current_ = first_version(bytes());
  std::memcpy(current_.data(), image.weights.data(), bytes());
  updates_ = image.updates;
  samples_applied_ = image.samples_applied;
  weight_applied_ = image.weight_applied;
  return Status();
}

bool UnitWeights::takes(wire::PushKind kind) const {
  return (kind == wire::PushKind::kDelta) == (rule_.train.push == PushKind::kDelta);
}

void UnitWeights::apply(std::span<const GradientNode> nodes, Buffer used_up, const PushSums& sums,
                        double damping) {
  const double samples_before = samples_applied_;
  samples_applied_ += sums.samples;
  weight_applied_ += sums.weight;
  if (sums.weight < std::numeric_limits<float>::min()) return;  // 1 / it is no float
  Buffer next = reusable(used_up, bytes()) ? std::move(used_up) : pool_.take();
  std::vector<std::span<float>> state;
  for (Buffer& tensor : state_) state.push_back(tensor.floats());
  ++updates_;
  apply_update(
      rule_.train.optimizer,
      {.gradients = nodes,
       .lanes = rule_.lanes,
       .update = {.weight_sum = sums.weight,
                  .updates = updates_,
                  .learning_rate =
                      damping * learning_rate_at(rule_.train, static_cast<uint64_t>(samples_before),
                                                 rule_.batches_per_step, rule_.job_steps),
                  .decay = decay_},
       .weights_in = std::as_const(current_).floats(),
       .weights_out = next.floats(),
       .state = state});
  current_ = std::move(next);
}

UnitImage UnitWeights::image() const {
  UnitImage image;
  image.unit = spec_.id;
  image.updates = updates_;
  image.samples_applied = samples_applied_;
  image.weight_applied = weight_applied_;
  image.weights = current_;
  for (const Buffer& tensor : state_) image.state.push_back(copy_of(tensor));
  return image;
}

Buffer UnitWeights::copy_of(const Buffer& tensor) const {
  Buffer copy = pool_.take();
  std::memcpy(copy.data(), tensor.data(), bytes());
  return copy;
}

}  // namespace ballast
