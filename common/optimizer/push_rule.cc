#include "common/optimizer/push_rule.h"

namespace ballast {

TrainConfig train_on_servers(TrainConfig train) {
  if (train.push == PushKind::kGradient) return train;
  train.optimizer = {.kind = OptimizerKind::kSgd, .learning_rate = -1};
  train.schedule = {.kind = ScheduleKind::kConstant};
  return train;
}

}  // namespace ballast
