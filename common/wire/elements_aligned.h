// What the verifier of FlatBuffers 2.0.8 leaves out: it checks where a vector's count lies, at a
// multiple of 4, but not its elements, and numbers and structs of 8 bytes would be read at an
// address they must not have. Only the sources of this folder include it. Pure.
#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace ballast::wire {

// A vector without elements is aligned anywhere: the builder does not align those.
template <typename T>
[[nodiscard]] bool elements_aligned(const flatbuffers::Vector<T>* vector) {
  // Vectors of structs are of pointers by type, of the structs themselves in the bytes.
  using Element = std::conditional_t<std::is_pointer_v<T>, std::remove_pointer_t<T>, T>;
  return vector == nullptr || vector->size() == 0 ||
         reinterpret_cast<uintptr_t>(vector->Data()) % alignof(Element) == 0;
}

}  // namespace ballast::wire
