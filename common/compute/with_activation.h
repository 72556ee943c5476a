// An activation as a constant of the compiler, for loops and kernels that have one for each. Pure.
#pragma once

#include "common/config/job_config.h"

namespace ballast {

inline constexpr float kGeluScale = 0.7978845608028654f;  // sqrt(2 / pi)
inline constexpr float kGeluCube = 0.044715f;

// Calls visit.template operator()<activation>().
template <typename Visit>
void with_activation(Activation activation, Visit visit) {
  switch (activation) {
    case Activation::kNone:
      return visit.template operator()<Activation::kNone>();
    case Activation::kRelu:
      return visit.template operator()<Activation::kRelu>();
    case Activation::kGelu:
      return visit.template operator()<Activation::kGelu>();
    case Activation::kTanh:
      return visit.template operator()<Activation::kTanh>();
    case Activation::kSigmoid:
      return visit.template operator()<Activation::kSigmoid>();
  }
}

}  // namespace ballast
