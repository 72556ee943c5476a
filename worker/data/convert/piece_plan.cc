#include "worker/data/convert/piece_plan.h"

#include <algorithm>

namespace ballast {

namespace {

// bytes * part / whole without overflow; a few bytes more or less change nothing but the cut.
uint64_t share(uint64_t bytes, uint64_t part, uint64_t whole) {
  return static_cast<uint64_t>(static_cast<double>(bytes) *
                               (static_cast<double>(part) / static_cast<double>(whole)));
}

}  // namespace

std::vector<SourcePiece> plan_pieces(std::span<const Extent> extents, uint64_t piece_bytes) {
  std::vector<SourcePiece> pieces;
  SourcePiece piece;
  const auto take = [&](const SourceRange& range, uint64_t bytes) {
    piece.ranges.push_back(range);
    piece.stored_bytes += bytes;
    if (piece.stored_bytes < piece_bytes) return;
    pieces.push_back(std::move(piece));
    piece = SourcePiece();
  };
  for (uint32_t source = 0; source < extents.size(); ++source) {
    const Extent& extent = extents[source];
    for (uint64_t at = 0; at < extent.units;) {
      const uint64_t left = share(extent.stored_bytes, extent.units - at, extent.units);
      const uint64_t room = piece_bytes - piece.stored_bytes;
      uint64_t end = extent.units;
      uint64_t bytes = left;
      if (extent.divisible && left > room) {
        end = at + std::clamp<uint64_t>(share(extent.units, room, extent.stored_bytes), 1,
                                        extent.units - at);
        bytes = room;
      }
      take({source, at, end}, bytes);
      at = end;
    }
  }
  if (!piece.ranges.empty()) pieces.push_back(std::move(piece));
  return pieces;
}

}  // namespace ballast
