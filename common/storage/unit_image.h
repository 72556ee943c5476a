// UnitImage: all that is durable of a unit at one moment, and its bytes: what the journal stores,
// what a checkpoint part is made of, and what one shard hands to another when a unit moves. Marks
// travel in the same record as the weights, so no kill can part them. Pure values; any thread.
//
// Bytes, little-endian, offsets from the start of the image, every section at a multiple of 64:
//   0   magic "BLUNIT1\0", u64 total bytes, u32 header bytes, u32 zero, u64 XXH3-64 of all the rest
//   64  header, a FlatBuffer (schemas/checkpoint.fbs)
//   ..  weights, then each state tensor, then the previous weights if kept: raw float32, padded
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "common/base/buffer.h"
#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast {

struct UnitImage {
  UnitId unit;
  Version version = 0;         // sync: steps closed; async: updates applied
  uint64_t updates = 0;        // Adam's t
  double samples_applied = 0;  // of all applied pushes
  double weight_applied = 0;   // the sum of what these samples weigh
  std::vector<Clock> marks;  // async: the next clock of each lane (kNever: none left); sync: empty
  // By lane: the sum modulo 2^64 of wire::LaneStamp::rows_hash of the steps it has taken of it.
  // Empty: an older version of the format kept none.
  std::vector<uint64_t> ledger;
  Buffer weights;             // float32, element_count of the unit
  std::vector<Buffer> state;  // optimizer state tensors, each as long as the weights
  Buffer previous;            // sync: weights of version - 1 while a lane may still need them
};

// `ledger` beside the marks it belongs to.
[[nodiscard]] std::vector<LaneLedger> lane_ledgers_of(const UnitImage& image);

// The weights must be a multiple of 4 bytes and each state tensor as long as they are. The image's
// buffers are read during the call only.
[[nodiscard]] Buffer encode(const UnitImage& image);
// The same bytes as a list of pieces that borrow the image's tensors, for writers that need no
// copy.
struct ImagePieces {
  Buffer head;                                    // what is not tensors: prelude and header
  std::vector<std::span<const std::byte>> spans;  // in order; the first is `head`
  uint64_t bytes = 0;
  uint64_t xxh3 = 0;  // the hash the image carries of itself
};
[[nodiscard]] ImagePieces pieces_of(const UnitImage& image);

// Verified before it is read. The tensors are slices that share the owner of `bytes` where that is
// aligned for floats, copies otherwise. kDataLoss: what was expected and found, at which offset.
[[nodiscard]] Result<UnitImage> decode(const Buffer& bytes);

// Checks magic, size and hash without reading further; returns the hash the image carries.
[[nodiscard]] Result<uint64_t> verify_image(std::span<const std::byte> bytes);
// The hash that bytes checked by decode carry of themselves.
[[nodiscard]] uint64_t carried_xxh3(std::span<const std::byte> verified);

}  // namespace ballast
