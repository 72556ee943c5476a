#include "worker/data/convert/piece_plan.h"

#include <gmock/gmock.h>

namespace ballast {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

TEST(PiecePlan, CutsALargeSourceIntoEqualPieces) {
  const auto pieces = plan_pieces(std::vector<Extent>{{1000, 400, true}}, 100);

  ASSERT_THAT(pieces, SizeIs(4));
  EXPECT_THAT(pieces[0].ranges, ElementsAre(SourceRange{0, 0, 250}));
  EXPECT_THAT(pieces[3].ranges, ElementsAre(SourceRange{0, 750, 1000}));
}

TEST(PiecePlan, LetsSmallSourcesShareAPiece) {
  const auto pieces = plan_pieces(
      std::vector<Extent>{{10, 40, true}, {0, 0, true}, {10, 40, true}, {10, 40, true}}, 100);

  ASSERT_THAT(pieces, SizeIs(2));
  EXPECT_THAT(pieces[0].ranges,
              ElementsAre(SourceRange{0, 0, 10}, SourceRange{2, 0, 10}, SourceRange{3, 0, 5}));
  EXPECT_THAT(pieces[1].ranges, ElementsAre(SourceRange{3, 5, 10}));
}

TEST(PiecePlan, LeavesAPackedSourceWhole) {
  const auto pieces =
      plan_pieces(std::vector<Extent>{{10, 30, true}, {50, 900, false}, {10, 30, true}}, 100);

  ASSERT_THAT(pieces, SizeIs(2));
  EXPECT_THAT(pieces[0].ranges, ElementsAre(SourceRange{0, 0, 10}, SourceRange{1, 0, 50}));
}

TEST(PiecePlan, CoversEveryUnitOnceForAnySizes) {
  for (uint64_t units : {1u, 7u, 1000u, 123457u}) {
    for (uint64_t stored : {0u, 1u, 999u, 10000000u}) {
      const auto pieces =
          plan_pieces(std::vector<Extent>{{units, stored, true}, {units, stored, true}}, 1000);

      SourceRange last{0, 0, 0};
      for (const SourcePiece& piece : pieces) {
        for (const SourceRange& range : piece.ranges) {
          EXPECT_EQ(range.begin, range.source == last.source ? last.end : 0);
          EXPECT_LT(range.begin, range.end);
          last = range;
        }
      }
      EXPECT_EQ(last.source, 1u);
      EXPECT_EQ(last.end, units) << units << " units of " << stored << " bytes";
    }
  }
}

}  // namespace
}  // namespace ballast
