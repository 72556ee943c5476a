// UnitWeights: the numbers of one unit and how one update changes them. Every version is an
// immutable Buffer: an update writes a new one and the old one lives on as long as a reply, a
// snapshot or a checkpoint holds it. So nothing is copied to be sent, and nobody ever reads an
// array that is being written. The new version is written over a gradient that it consumes where
// that can be: the update then moves as many bytes as one in place, and needs no memory of its own.
// Optimizer state is updated in place. Owner thread: the shard.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/optimizer/optimizer.h"
#include "common/placement/parameters.h"
#include "common/placement/units.h"
#include "common/storage/unit_image.h"
#include "common/wire/data_messages.h"

namespace ballast {

// What every unit of a shard is updated by.
struct UpdateRule {
  TrainConfig train;
  uint32_t lanes = 1;
  uint64_t job_steps = 0;  // of the whole job, for schedules that decay to its end
  double batches_per_step = 1;
};

// What one update is made of.
struct PushSums {
  double weight = 0;   // of its samples, added up: the gradients are divided by it
  double samples = 0;  // their number: schedules follow it, whatever samples weigh
};

// Of a lane's samples in one step; 0 is allowed, a step may be all filtered rows or padding.
[[nodiscard]] inline bool is_weight(double weight) {
  return weight >= 0 && std::isfinite(weight);
}

class UnitWeights {
 public:
  // The first values of the job: a pure function of the seed. `rule` outlives this.
  UnitWeights(const UnitSpec& spec, const ParameterSpec& parameter, uint64_t seed,
              const UpdateRule& rule);
  // Goes on from an image. kDataLoss: its sizes are not those of the unit.
  [[nodiscard]] Status restore(UnitImage image);

  // One optimizer step. Gradients are sums over samples, each times its weight; nodes as
  // apply_update() takes them. `used_up` is the memory of one of them, which the caller gives away:
  // it becomes the new version if nobody else holds it. `damping` multiplies the learning rate (1:
  // none). Where the weights add up to 0 there is no mean: weights, state and updates() stay.
  void apply(std::span<const GradientNode> nodes, Buffer used_up, const PushSums& sums,
             double damping = 1);

  // Whether that is what the job pushes.
  [[nodiscard]] bool takes(wire::PushKind kind) const;

  [[nodiscard]] const Buffer& current() const { return current_; }
  [[nodiscard]] uint64_t updates() const { return updates_; }
  [[nodiscard]] double samples_applied() const { return samples_applied_; }
  // What these samples weigh, added up.
  [[nodiscard]] double weight_applied() const { return weight_applied_; }
  [[nodiscard]] size_t bytes() const { return spec_.bytes(); }
  [[nodiscard]] const UnitSpec& spec() const { return spec_; }
  [[nodiscard]] uint64_t state_bytes() const { return state_.size() * bytes(); }

  // Weights shared, state copied: the image stays as it is while training goes on. Without version
  // and marks.
  [[nodiscard]] UnitImage image() const;
  // For who holds it longer than readers do.
  [[nodiscard]] Buffer copy_of_current() const { return copy_of(current_); }

 private:
  [[nodiscard]] Buffer copy_of(const Buffer& tensor) const;

  const UnitSpec spec_;
  const bool decay_;
  const UpdateRule& rule_;  // outlives: the shard owns both
  // For copies, and for new versions that find no gradient to be written over. Mutable: a copy
  // leaves the unit as it is.
  mutable BufferPool pool_;
  Buffer current_;
  std::vector<Buffer> state_;
  uint64_t updates_ = 0;
  double samples_applied_ = 0;
  double weight_applied_ = 0;
};

}  // namespace ballast
