// The fields of a plain struct as a tuple of references, found by the compiler: a field added to a
// message is filled and compared by the tests without anybody thinking of it. Up to 16 fields.
// The idea is Boost.PFR's (Polukhin): count how many initialisers the braces take, then bind.
#pragma once

#include <cstddef>
#include <tuple>
#include <type_traits>

namespace ballast {

struct AnyValue {
  template <typename T>
  operator T() const;  // never defined: only its type is used
};

template <typename T, typename... Values>
constexpr size_t field_count() {
  if constexpr (requires { T{Values{}..., AnyValue{}}; }) {
    return field_count<T, Values..., AnyValue>();
  } else {
    return sizeof...(Values);
  }
}

template <typename T>
auto fields(T& s) {
  constexpr size_t kCount = field_count<std::remove_const_t<T>>();
  static_assert(1 <= kCount && kCount <= 16);
  // clang-format off
#define BALLAST_FIELDS(count, ...)        \
  if constexpr (kCount == count) {        \
    auto& [__VA_ARGS__] = s;              \
    return std::tie(__VA_ARGS__);         \
  }
  BALLAST_FIELDS(1, a)
  BALLAST_FIELDS(2, a, b)
  BALLAST_FIELDS(3, a, b, c)
  BALLAST_FIELDS(4, a, b, c, d)
  BALLAST_FIELDS(5, a, b, c, d, e)
  BALLAST_FIELDS(6, a, b, c, d, e, f)
  BALLAST_FIELDS(7, a, b, c, d, e, f, g)
  BALLAST_FIELDS(8, a, b, c, d, e, f, g, h)
  BALLAST_FIELDS(9, a, b, c, d, e, f, g, h, i)
  BALLAST_FIELDS(10, a, b, c, d, e, f, g, h, i, j)
  BALLAST_FIELDS(11, a, b, c, d, e, f, g, h, i, j, k)
  BALLAST_FIELDS(12, a, b, c, d, e, f, g, h, i, j, k, l)
  BALLAST_FIELDS(13, a, b, c, d, e, f, g, h, i, j, k, l, m)
  BALLAST_FIELDS(14, a, b, c, d, e, f, g, h, i, j, k, l, m, n)
  BALLAST_FIELDS(15, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o)
  BALLAST_FIELDS(16, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
#undef BALLAST_FIELDS
  // clang-format on
}

}  // namespace ballast
