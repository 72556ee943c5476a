// What pushes do on the servers. push = "gradient": the optimizer of the job. push = "delta": the
// mean of what the lanes' weights changed by in their local steps is added (local SGD: Stich, ICLR
// 2019; federated averaging: McMahan et al., AISTATS 2017). That is sgd at the rate -1, to the bit.
// Pure; any thread.
#pragma once

#include "common/config/job_config.h"

namespace ballast {

// `train` with the optimizer and the schedule that the servers apply.
[[nodiscard]] TrainConfig train_on_servers(TrainConfig train);

}  // namespace ballast
