// Random messages and their comparison, field by field, for property tests. Every field of every
// message is filled with something that is unlikely to be its default.
#pragma once

#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/random.h"
#include "common/wire/messages.h"
#include "tests/common/wire/aggregate.h"

namespace ballast::wire {

template <typename T>
constexpr bool kIsId = false;
template <typename Tag>
constexpr bool kIsId<Id<Tag>> = true;
template <typename T>
constexpr bool kIsVector = false;
template <typename T>
constexpr bool kIsVector<std::vector<T>> = true;

// How many values an enum of the messages has.
template <typename E>
constexpr uint64_t kValues = 0;
template <>
constexpr uint64_t kValues<Role> = 5;
template <>
constexpr uint64_t kValues<Code> = 10;
template <>
constexpr uint64_t kValues<PushKind> = 2;
template <>
constexpr uint64_t kValues<ReplyCode> = kReplyCodeCount;
template <>
constexpr uint64_t kValues<LoadSource> = 3;
template <>
constexpr uint64_t kValues<EndKind> = 3;
template <>
constexpr uint64_t kValues<FeedCode> = 4;

template <typename T>
void fill(Random& random, T& value);

// What the protocol asks beyond the type of a field.
template <typename T>
void obey_rules(Random&, T&) {}
inline void obey_rules(Random& random, PushEntry& entry) {
  entry.node_high = static_cast<uint32_t>(random.below(65537));
  entry.node_low = static_cast<uint32_t>(random.below(entry.node_high + 1));
}
inline void obey_rules(Random& random, EvaluationSums& sums) {
  sums.scores = Buffer::allocate(8 * random.below(5));
}
inline void obey_rules(Random& random, FeedAnswer& answer) {
  answer.ids = Buffer::allocate(8 * random.below(5));
}
inline void obey_rules(Random& random, Failed& failed) {
  failed.code = static_cast<Code>(1 + random.below(kValues<Code> - 1));
}

inline void fill_buffer(Random& random, Buffer& buffer) {
  buffer = Buffer::allocate(sizeof(float) * random.below(9));
  for (std::byte& byte : buffer.bytes()) byte = static_cast<std::byte>(random.next());
}

template <typename T>
void fill(Random& random, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    value = random.chance(0.5);
  } else if constexpr (std::is_enum_v<T>) {
    static_assert(kValues<T> > 0, "say above how many values the enum has");
    value = static_cast<T>(random.below(kValues<T>));
  } else if constexpr (std::is_integral_v<T>) {
    value = static_cast<T>(random.next() >> random.below(8 * sizeof(T)));
  } else if constexpr (std::is_floating_point_v<T>) {
    value = static_cast<T>(random.uniform() * 1e6);
  } else if constexpr (kIsId<T>) {
    value = T(static_cast<uint32_t>(random.next()));
  } else if constexpr (std::is_same_v<T, std::string>) {
    value.resize(random.below(20));
    for (char& c : value) c = static_cast<char>(random.next());
  } else if constexpr (kIsVector<T>) {
    value.resize(random.below(5));
    for (auto& item : value) fill(random, item);
  } else if constexpr (std::is_same_v<T, Buffer>) {
    fill_buffer(random, value);
  } else {
    std::apply([&](auto&... field) { (fill(random, field), ...); }, fields(value));
    obey_rules(random, value);
  }
}

template <typename T>
bool equal(const T& a, const T& b) {
  if constexpr (std::is_same_v<T, Buffer>) {
    return std::ranges::equal(a.bytes(), b.bytes());
  } else if constexpr (kIsVector<T>) {
    return std::ranges::equal(a, b, [](const auto& x, const auto& y) { return equal(x, y); });
  } else if constexpr (requires { a == b; }) {
    return a == b;
  } else {
    const auto left = fields(a);
    const auto right = fields(b);
    return [&]<size_t... I>(std::index_sequence<I...>) {
      return (equal(std::get<I>(left), std::get<I>(right)) && ...);
    }
    (std::make_index_sequence<std::tuple_size_v<decltype(left)>>());
  }
}

inline bool equal(const Any& a, const Any& b) {
  if (a.index() != b.index()) return false;
  return std::visit([&]<typename M>(const M& message) { return equal(message, std::get<M>(b)); },
                    a);
}

// `index`: of the alternative of Any.
template <size_t I = 0>
Any random_message(Random& random, size_t index) {
  if constexpr (I < std::variant_size_v<Any>) {
    if (I != index) return random_message<I + 1>(random, index);
    std::variant_alternative_t<I, Any> message;
    fill(random, message);
    return message;
  } else {
    return Any();
  }
}

inline Any random_message(Random& random) {
  return random_message(random, random.below(std::variant_size_v<Any>));
}

}  // namespace ballast::wire
