#include "common/wire/control_codec.h"

namespace ballast::wire {
namespace {

static_assert(static_cast<int>(fb::Role::MAX) == static_cast<int>(Role::kFeeder));
static_assert(static_cast<int>(fb::FailureCode::MAX) == static_cast<int>(Code::kDiverged));

using LaneProgressVector = Vector<const fb::LaneProgress*>;

Offset<LaneProgressVector> pack_lanes(Packer& packer, const std::vector<LaneProgress>& lanes) {
  return packer.structs(lanes, [](const LaneProgress& l) {
    return fb::LaneProgress(l.lane.value(), l.fence, l.number, l.clock, l.busy);
  });
}

std::vector<LaneProgress> unpack_lanes(Unpacker& unpacker, const LaneProgressVector* lanes) {
  return unpacker.structs(lanes, kLanesMax, "lanes", [](const fb::LaneProgress& l) {
    return LaneProgress{LaneId(l.lane()), l.fence(), l.number(), l.clock(), l.busy()};
  });
}

TimeShares unpack_shares(const fb::TimeShares* s) {
  if (s == nullptr) return {};
  return {s->load(), s->compute(), s->push(), s->wait(), s->pull()};
}

Offset<fb::FedShare> pack_fed(Packer& packer, const FedShare& fed) {
  const auto feeders = packer.structs(
      fed.feeders, [](const FeederShare& f) { return fb::FeederShare(f.portions, f.rows, f.up); });
  return fb::CreateFedShare(packer.builder(), fed.rows_fed, fed.rows_local, feeders);
}

FedShare unpack_fed(Unpacker& unpacker, const fb::FedShare* fed) {
  if (fed == nullptr) return {};
  return {
      fed->rows_fed(), fed->rows_local(),
      unpacker.structs(fed->feeders(), kFeedersMax, "fed.feeders", [](const fb::FeederShare& f) {
        return FeederShare{f.portions(), f.rows(), f.up()};
      })};
}

Offset<fb::UnitMarks> pack_unit_marks(Packer& packer, const UnitMarks& unit) {
  return fb::CreateUnitMarks(packer.builder(), unit.unit.value(), unit.epoch, unit.version,
                             packer.numbers(unit.marks));
}

UnitMarks unpack_unit_marks(Unpacker& unpacker, const fb::UnitMarks& table) {
  return {UnitId(table.unit()), table.epoch(), table.version(),
          unpacker.numbers(table.marks(), kLanesMax, "units.marks")};
}

LoaderProgress unpack_loader(const fb::LoaderProgress* loader, const fb::BlockReads* reads) {
  LoaderProgress progress;
  if (loader != nullptr) {
    progress = {.ready = loader->ready(),
                .waited = loader->waited(),
                .blocks = loader->blocks(),
                .batches = loader->batches(),
                .blocks_min = loader->blocks_min()};
  }
  if (reads == nullptr) return progress;
  progress.blocks_read = reads->read();
  progress.blocks_found = reads->found();
  return progress;
}

fb::CheckpointEntry pack_part_entry(const CheckpointEntry& entry) {
  return fb::CheckpointEntry(entry.unit.value(), entry.offset, entry.bytes, entry.version,
                             entry.xxh3);
}

CheckpointEntry unpack_part_entry(const fb::CheckpointEntry& entry) {
  return {UnitId(entry.unit()), entry.offset(), entry.bytes(), entry.version(), entry.xxh3()};
}

fb::LaneLedger pack_ledger(const LaneLedger& lane) {
  return fb::LaneLedger(lane.next, lane.sum);
}

LaneLedger unpack_ledger(const fb::LaneLedger& lane) {
  return {lane.next(), lane.sum()};
}

Offset<flatbuffers::String> pack_line(Packer& packer, const std::string& line) {
  return packer.builder().CreateString(line);  // an empty line stays a line
}

std::string unpack_line(Unpacker& unpacker, const flatbuffers::String& line) {
  return unpacker.text(&line, "chain");
}

}  // namespace

Offset<fb::Join> pack(Packer& packer, const Join& m) {
  return fb::CreateJoin(packer.builder(), static_cast<fb::Role>(m.role), m.index, m.incarnation,
                        m.protocol_min, m.protocol_max, packer.text(m.job_hash),
                        packer.text(m.endpoint), packer.text(m.host), m.process, m.journal_survived,
                        packer.text(m.run), packer.text(m.arithmetic));
}

Join unpack(Unpacker& unpacker, const fb::Join& t) {
  return {
      .role = unpacker.enumerator<Role>(t.role(), "role"),
      .index = t.index(),
      .incarnation = t.incarnation(),
      .protocol_min = t.protocol_min(),
      .protocol_max = t.protocol_max(),
      .job_hash = unpacker.text(t.job_hash(), "job_hash"),
      .run = unpacker.text(t.run(), "run"),
      .endpoint = unpacker.text(t.endpoint(), "endpoint"),
      .host = unpacker.text(t.host(), "host"),
      .process = t.process(),
      .journal_survived = t.journal_survived(),
      .arithmetic = unpacker.text(t.arithmetic(), "arithmetic"),
  };
}

Offset<fb::WorkerProgress> pack(Packer& packer, const WorkerProgress& m) {
  const fb::TimeShares shares(m.shares.load, m.shares.compute, m.shares.push, m.shares.wait,
                              m.shares.pull);
  const fb::LoaderProgress loader(m.loader.ready, m.loader.waited, m.loader.blocks,
                                  m.loader.batches, m.loader.blocks_min);
  const fb::BlockReads reads(m.loader.blocks_read, m.loader.blocks_found);
  return fb::CreateWorkerProgress(packer.builder(), m.worker.value(), m.incarnation, m.beat,
                                  pack_lanes(packer, m.lanes), m.steps, m.samples, m.loss_sum,
                                  m.weight_sum, m.busy_seconds, m.bytes_pushed, m.bytes_pulled,
                                  &shares, packer.text(m.waiting_for), m.waiting_seconds, &loader,
                                  pack_fed(packer, m.fed), &reads);
}

WorkerProgress unpack(Unpacker& unpacker, const fb::WorkerProgress& t) {
  return {
      .worker = WorkerId(t.worker()),
      .incarnation = t.incarnation(),
      .beat = t.beat(),
      .lanes = unpack_lanes(unpacker, t.lanes()),
      .steps = t.steps(),
      .samples = t.samples(),
      .loss_sum = t.loss_sum(),
      .weight_sum = t.weight_sum(),
      .busy_seconds = t.busy_seconds(),
      .bytes_pushed = t.bytes_pushed(),
      .bytes_pulled = t.bytes_pulled(),
      .shares = unpack_shares(t.shares()),
      .loader = unpack_loader(t.loader(), t.block_reads()),
      .waiting_for = unpacker.text(t.waiting_for(), "waiting_for"),
      .waiting_seconds = t.waiting_seconds(),
      .fed = unpack_fed(unpacker, t.fed()),
  };
}

Offset<fb::ShardProgress> pack(Packer& packer, const ShardProgress& m) {
  return fb::CreateShardProgress(packer.builder(), m.shard.value(), m.incarnation, m.beat,
                                 m.version_min, m.version_max, m.updates, m.memory_bytes,
                                 packer.numbers(m.staleness), packer.text(m.waiting_for),
                                 m.waiting_seconds);
}

ShardProgress unpack(Unpacker& unpacker, const fb::ShardProgress& t) {
  return {
      .shard = ShardId(t.shard()),
      .incarnation = t.incarnation(),
      .beat = t.beat(),
      .version_min = t.version_min(),
      .version_max = t.version_max(),
      .updates = t.updates(),
      .memory_bytes = t.memory_bytes(),
      .staleness = unpacker.numbers(t.staleness(), kBucketsMax, "staleness"),
      .waiting_for = unpacker.text(t.waiting_for(), "waiting_for"),
      .waiting_seconds = t.waiting_seconds(),
  };
}

Offset<fb::FenceMarks> pack(Packer& packer, const FenceMarks& m) {
  return fb::CreateFenceMarks(packer.builder(), m.shard.value(), m.incarnation, m.term,
                              packer.numbers(m.fences), packer.tables(m.units, pack_unit_marks));
}

FenceMarks unpack(Unpacker& unpacker, const fb::FenceMarks& t) {
  return {ShardId(t.shard()), t.incarnation(), t.term(),
          unpacker.numbers(t.fences(), kLanesMax, "fences"),
          unpacker.tables(t.units(), kUnitsMax, "units", unpack_unit_marks)};
}

Offset<fb::Loaded> pack(Packer& packer, const Loaded& m) {
  return fb::CreateLoaded(packer.builder(), m.shard.value(), m.incarnation, m.term);
}

Loaded unpack(Unpacker&, const fb::Loaded& t) {
  return {ShardId(t.shard()), t.incarnation(), t.term()};
}

Offset<fb::Assigned> pack(Packer& packer, const Assigned& m) {
  return fb::CreateAssigned(packer.builder(), m.worker.value(), m.lane.value(), m.number);
}

Assigned unpack(Unpacker&, const fb::Assigned& t) {
  return {WorkerId(t.worker()), LaneId(t.lane()), t.number()};
}

Offset<fb::Handing> pack(Packer& packer, const Handing& m) {
  return fb::CreateHanding(packer.builder(), m.worker.value(), m.lane.value(), m.fence, m.number,
                           m.clock, m.done);
}

Handing unpack(Unpacker&, const fb::Handing& t) {
  return {WorkerId(t.worker()), LaneId(t.lane()), t.fence(), t.number(), t.clock(), t.done()};
}

Offset<fb::EvalPart> pack(Packer& packer, const EvalPart& m) {
  return fb::CreateEvalPart(packer.builder(), m.worker.value(), m.evaluation, m.lane.value(),
                            m.sums.rows, m.sums.loss_sum, m.sums.squared_error_sum,
                            packer.payload(m.sums.scores), m.sums.weight_sum, m.sums.correct);
}

EvalPart unpack(Unpacker& unpacker, const fb::EvalPart& t) {
  return {
      .worker = WorkerId(t.worker()),
      .evaluation = t.evaluation(),
      .lane = LaneId(t.lane()),
      .sums = {.rows = t.rows(),
               .weight_sum = t.weight_sum(),
               .loss_sum = t.loss_sum(),
               .correct = t.correct(),
               .squared_error_sum = t.squared_error_sum(),
               .scores = unpacker.payload(t.scores(), "scores", 2 * sizeof(float))},
  };
}

Offset<fb::SnapshotTaken> pack(Packer& packer, const SnapshotTaken& m) {
  return fb::CreateSnapshotTaken(packer.builder(), m.shard.value(), m.snapshot);
}

SnapshotTaken unpack(Unpacker&, const fb::SnapshotTaken& t) {
  return {ShardId(t.shard()), t.snapshot()};
}

Offset<fb::PartDone> pack(Packer& packer, const PartDone& m) {
  return fb::CreatePartDone(packer.builder(), m.shard.value(), m.checkpoint, m.part.shard,
                            packer.text(m.part.file), m.part.bytes, m.part.xxh3,
                            packer.structs(m.part.entries, pack_part_entry),
                            packer.structs(m.part.ledger, pack_ledger));
}

PartDone unpack(Unpacker& unpacker, const fb::PartDone& t) {
  return {
      .shard = ShardId(t.shard()),
      .part = {.shard = t.part_shard(),
               .file = unpacker.text(t.part_file(), "part.file"),
               .bytes = t.part_bytes(),
               .xxh3 = t.part_xxh3(),
               .entries =
                   unpacker.structs(t.part_entries(), kUnitsMax, "part.entries", unpack_part_entry),
               .ledger =
                   unpacker.structs(t.part_ledger(), kLanesMax, "part.ledger", unpack_ledger)},
      .checkpoint = t.checkpoint(),
  };
}

Offset<fb::Paused> pack(Packer& packer, const Paused& m) {
  return fb::CreatePaused(packer.builder(), m.worker.value(), pack_lanes(packer, m.lanes));
}

Paused unpack(Unpacker& unpacker, const fb::Paused& t) {
  return {WorkerId(t.worker()), unpack_lanes(unpacker, t.lanes())};
}

Offset<fb::Failed> pack(Packer& packer, const Failed& m) {
  return fb::CreateFailed(packer.builder(), static_cast<fb::Role>(m.role), m.index,
                          static_cast<fb::FailureCode>(m.code), packer.tables(m.chain, pack_line));
}

// A failure that says ok would abort whoever makes a Status of it.
Failed unpack(Unpacker& unpacker, const fb::Failed& t) {
  if (t.code() == fb::FailureCode::Ok) unpacker.refuse("code", "a failure", "ok");
  return {
      .role = unpacker.enumerator<Role>(t.role(), "role"),
      .index = t.index(),
      .code = unpacker.enumerator<Code>(t.code(), "code"),
      .chain = unpacker.tables(t.chain(), kLinesMax, "chain", unpack_line),
  };
}

}  // namespace ballast::wire
