// A binary of its own, because it replaces the program's operator new.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "tests/worker/train_step/step_fixture.h"

namespace {
std::atomic<uint64_t> allocation_count{0};
}  // namespace

void* operator new(size_t bytes) {
  ++allocation_count;
  if (void* memory = std::malloc(bytes)) return memory;
  throw std::bad_alloc();
}
void* operator new(size_t bytes, std::align_val_t alignment) {
  ++allocation_count;
  const auto align = static_cast<size_t>(alignment);
  if (void* memory = std::aligned_alloc(align, (bytes + align - 1) / align * align)) return memory;
  throw std::bad_alloc();
}
// Out of line: inlined beside a new expression, gcc 12 takes free() for a mismatch.
[[gnu::noinline]] void operator delete(void* memory) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace ballast {
namespace {

TEST(TrainStepMemory, NothingIsAllocatedInTheSteadyState) {
  ModelConfig model;
  model.layers = {{.kind = LayerKind::kDense, .units = 40, .activation = Activation::kGelu},
                  {.kind = LayerKind::kDropout, .rate = 0.25},
                  {.kind = LayerKind::kLayerNorm},
                  {.kind = LayerKind::kDense, .units = 4}};
  const auto c = testing::random_case(model, 30, 4, 64, 1);
  const auto backend = testing::cpu_backend();
  const auto step = testing::step_of(c, *backend, c.rows);
  GradientSet gradients = testing::gradients_for(*step), sum = testing::gradients_for(*step);
  uint32_t calls = 0;
  StepHooks hooks;
  hooks.weights_needed = [&](uint32_t) {
    ++calls;
    return Status();
  };
  hooks.gradient_final = hooks.weights_needed;
  const StepContext context = testing::context_of(c);
  ASSERT_TRUE(step->run(testing::rows_of(c), context, gradients, hooks).ok());

  const uint64_t before = allocation_count;
  for (int i = 0; i < 300; ++i) {
    if (!step->run(testing::rows_of(c), context, gradients, hooks).ok()) break;
    if (!step->evaluate(testing::rows_of(c)).ok()) break;
    add(sum, gradients);
  }
  const uint64_t after = allocation_count;

  EXPECT_EQ(after - before, 0u);
  EXPECT_EQ(calls, 301u * 6);
}

}  // namespace
}  // namespace ballast
