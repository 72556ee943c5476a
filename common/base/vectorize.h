// What kernels need to become vector code: floats of any alignment, and the promise that iterations
// do not depend on each other, which holds where a loop reads and writes element i only, in ranges
// that are equal or disjoint.
#pragma once

namespace ballast {

// A float that may start at any byte, such as in a received frame.
typedef float UnalignedFloat __attribute__((aligned(1), may_alias));

}  // namespace ballast

#if defined(__clang__)
#define BALLAST_INDEPENDENT_ITERATIONS _Pragma("clang loop vectorize(assume_safety)")
#else
#define BALLAST_INDEPENDENT_ITERATIONS _Pragma("GCC ivdep")
#endif
