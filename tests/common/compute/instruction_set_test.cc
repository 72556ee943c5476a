#include "common/compute/cpu/instruction_set.h"

#include <gmock/gmock.h>

namespace ballast::cpu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(InstructionSet, IsTheBestThatTheProcessorHas) {
  EXPECT_EQ(*best_instruction_set({.x86_64_v3 = true, .x86_64_v4 = true}), "x86-64-v4");
  EXPECT_EQ(*best_instruction_set({.x86_64_v3 = true, .x86_64_v4 = false}), "x86-64-v3");
}

TEST(InstructionSet, ListsAllOfThemBestFirst) {
  EXPECT_THAT(instruction_sets_of({.x86_64_v3 = true, .x86_64_v4 = true}),
              ElementsAre("x86-64-v4", "x86-64-v3"));
  EXPECT_THAT(instruction_sets_of({}), IsEmpty());
}

TEST(InstructionSet, OfAnOldProcessorIsAnErrorThatSaysWhatIsMissing) {
  const auto best = best_instruction_set({});

  ASSERT_FALSE(best.ok());
  EXPECT_EQ(best.status().code(), Code::kInvalidInput);
  EXPECT_THAT(best.status().to_string(), HasSubstr("x86-64-v3"));
}

}  // namespace
}  // namespace ballast::cpu
