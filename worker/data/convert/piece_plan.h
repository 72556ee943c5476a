// SourcePiece: the sources of a conversion cut into pieces of about one chunk each. A piece is what
// a thread converts at a time, what a resumed conversion need not do again, and where chunks end;
// so the same sources give the same chunks whatever the number of threads. Pure.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "worker/data/convert/format.h"

namespace ballast {

struct SourcePiece {
  std::vector<SourceRange> ranges;
  uint64_t stored_bytes = 0;  // about
};

// Small sources share a piece, large ones are divided where they can be. Empty sources are left
// out.
[[nodiscard]] std::vector<SourcePiece> plan_pieces(std::span<const Extent> extents,
                                                   uint64_t piece_bytes);

}  // namespace ballast
