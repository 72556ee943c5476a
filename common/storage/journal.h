// Journal, door 2: makes a shard's units durable. The shard owns its working set as plain arrays
// behind no door; it hands whole images of units over and holds a reply until the lsn of its image
// is durable. Owner thread: the shard's. Every call returns at once, never waits for a disk and
// never fails; what became of it comes back as an event, in the order of the calls of each kind.
//
// An implementation is given `notify`, which it calls from any thread when poll() has something, so
// that the owner's poll loop can be woken. Destroying a journal drops what is not yet durable, as a
// kill would; drain by waiting for the events.
// The contract suite is tests/contract/journal.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <variant>
#include <vector>

#include "common/base/ids.h"
#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/storage/unit_image.h"
#include "common/wire/checkpoint/checkpoint_format.h"

namespace ballast {

using Lsn = uint64_t;     // numbers the appends of one journal's life, from 1
using Ticket = uint64_t;  // pairs an answer with its call, from 1

// Every append with an lsn up to this one is as durable as the journal was opened for. One event
// may answer many appends (group commit).
struct Durable {
  Lsn lsn = 0;
};
struct Fetched {
  Ticket ticket = 0;
  std::vector<UnitImage> images;  // in the order asked
};
// This shard's part of checkpoint `id` is on the disk, synced and hashed.
struct CutDone {
  CutId id = 0;
  CheckpointPart part;
};
// What the call named could not be done. `lsn`: no append from this one on is durable, and none
// will be: a journal that lost one refuses all later ones, because acknowledging those would hide
// the gap. The status says file, offset, expected, found and what to do.
struct StoreFailed {
  Status status;
  Lsn lsn = 0;        // of append and write_back, otherwise 0
  Ticket ticket = 0;  // of fetch and open, otherwise 0
  CutId cut = 0;      // of cut, otherwise 0
};
using JournalEvent = std::variant<Durable, Fetched, CutDone, StoreFailed>;

class Journal {
 public:
  virtual ~Journal() = default;

  // What Durable promises. kCheckpoint: appends are answered as applied and kept nowhere, so the
  // shard may pass an image without tensors; fetch finds nothing.
  [[nodiscard]] virtual Durability durability() const = 0;

  // The newest image of a unit wins. Memory is bounded: of each unit at most one image waits, a
  // newer one takes its place and makes both lsns durable.
  virtual Lsn append(UnitImage image) = 0;
  // Fetched with those units that exist, appends before this call included.
  virtual Ticket fetch(std::vector<UnitId> units) = 0;
  // An append nobody waits for.
  virtual void write_back(UnitImage image) = 0;
  // Writes the images as this shard's part of checkpoint `id`; CutDone or StoreFailed.
  virtual void cut(CutId id, std::vector<UnitImage> images) = 0;
  // Loads these units from a committed checkpoint of any number of parts; Fetched with all of them
  // or StoreFailed. Does not touch what append stored.
  virtual Ticket open(const CheckpointManifest& manifest, std::vector<UnitId> units) = 0;
  // Never blocks.
  [[nodiscard]] virtual std::optional<JournalEvent> poll() = 0;
};

}  // namespace ballast
