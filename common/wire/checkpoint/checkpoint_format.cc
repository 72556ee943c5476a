#include "common/wire/checkpoint/checkpoint_format.h"

#include <fmt/format.h>

#include <set>
#include <utility>

#include "common/base/hash.h"
#include "common/wire/elements_aligned.h"
#include "schemas/checkpoint_generated.h"

namespace ballast {
namespace {

namespace fb = checkpoint_format;

static_assert(static_cast<int>(Mode::kSync) == static_cast<int>(fb::Mode::Sync));
static_assert(static_cast<int>(Mode::kSsp) == static_cast<int>(fb::Mode::Ssp));
static_assert(static_cast<int>(Mode::kAsync) == static_cast<int>(fb::Mode::Async));

// Offsets of these are kept by every reader; a part is a run of them.
constexpr uint64_t kSectionBytes = 64;

Status damaged(std::string what) {
  return Status(Code::kDataLoss, std::move(what));
}

Buffer finished(const flatbuffers::FlatBufferBuilder& builder) {
  return Buffer::copy_of(std::as_bytes(std::span(builder.GetBufferPointer(), builder.GetSize())));
}

// The verified root, read from `aligned`, which takes a copy of `bytes`: FlatBuffers reads in place
// and our bytes may begin anywhere.
template <typename Table>
Result<const Table*> verified_root(std::span<const std::byte> bytes, Buffer& aligned,
                                   const char* name) {
  aligned = Buffer::copy_of(bytes);
  const auto* data = reinterpret_cast<const uint8_t*>(aligned.data());
  flatbuffers::Verifier verifier(data, aligned.size());
  if (aligned.empty() || !verifier.VerifyBuffer<Table>(nullptr)) {
    return damaged(fmt::format("{} of {} bytes is not a valid FlatBuffer", name, bytes.size()));
  }
  return flatbuffers::GetRoot<Table>(data);
}

flatbuffers::Offset<fb::Part> write_part(flatbuffers::FlatBufferBuilder& builder,
                                         const CheckpointPart& part) {
  std::vector<flatbuffers::Offset<fb::Entry>> entries;
  entries.reserve(part.entries.size());
  for (const CheckpointEntry& entry : part.entries) {
    entries.push_back(fb::CreateEntry(builder, entry.unit.value(), entry.offset, entry.bytes,
                                      entry.version, entry.xxh3));
  }
  const auto file = builder.CreateString(part.file);
  const auto list = builder.CreateVector(entries);
  std::vector<fb::LaneLedger> lanes;
  for (const LaneLedger& lane : part.ledger) lanes.emplace_back(lane.next, lane.sum);
  const auto ledger = builder.CreateVectorOfStructs(lanes);
  return fb::CreatePart(builder, part.shard, file, part.bytes, part.xxh3, list, ledger);
}

CheckpointPart read_part(const fb::Part& stored) {
  CheckpointPart part;
  part.shard = stored.shard();
  part.file = stored.file()->str();
  part.bytes = stored.bytes();
  part.xxh3 = stored.xxh3();
  part.entries.reserve(stored.entries()->size());
  for (const fb::Entry* entry : *stored.entries()) {
    part.entries.push_back(
        {UnitId(entry->unit()), entry->offset(), entry->bytes(), entry->version(), entry->xxh3()});
  }
  if (stored.ledger() != nullptr) {
    for (const fb::LaneLedger* lane : *stored.ledger()) {
      part.ledger.push_back({lane->next(), lane->sum()});
    }
  }
  return part;
}

bool plain_name(const std::string& file) {
  return !file.empty() && file != "." && file != ".." &&
         file.find_first_of(std::string_view("/\0", 2)) == std::string::npos;
}

// Entries lie back to back and fill the part: every byte of it is under some entry's hash.
Status check_part(const CheckpointPart& part, std::set<UnitId>& seen) {
  if (!plain_name(part.file)) {
    return damaged(
        fmt::format("part of shard {}: \"{}\" is not a plain file name", part.shard, part.file));
  }
  uint64_t end = 0;
  for (const CheckpointEntry& entry : part.entries) {
    if (entry.offset != end || entry.bytes == 0 || entry.bytes % kSectionBytes != 0 ||
        entry.bytes > part.bytes - end) {
      return damaged(
          fmt::format("{}: unit {} is listed at {} with {} bytes, expected offset {}, "
                      "and {} bytes in the part",
                      part.file, entry.unit.value(), entry.offset, entry.bytes, end, part.bytes));
    }
    if (!seen.insert(entry.unit).second) {
      return damaged(fmt::format("{}: unit {} is listed twice", part.file, entry.unit.value()));
    }
    end += entry.bytes;
  }
  if (end != part.bytes || part.xxh3 != part_xxh3(part.entries)) {
    return damaged(fmt::format("{}: entries end at {} with hash {}, the part says {} with hash {}",
                               part.file, end, hex64(part_xxh3(part.entries)), part.bytes,
                               hex64(part.xxh3)));
  }
  return Status();
}

}  // namespace

std::string part_file_name(uint32_t shard) {
  return fmt::format("part-{}.blp", shard);
}

std::vector<LaneLedger> ledger_of(const CheckpointManifest& manifest) {
  for (const CheckpointPart& part : manifest.parts) {
    if (!part.ledger.empty()) return part.ledger;
  }
  return {};
}

uint64_t sum_of(const std::vector<LaneLedger>& ledger) {
  uint64_t sum = 0;
  for (const LaneLedger& lane : ledger) sum += lane.sum;
  return sum;
}

Status check_parts(const std::vector<CheckpointPart>& parts) {
  std::set<UnitId> units;
  std::set<std::string> files;
  const CheckpointPart* with_ledger = nullptr;
  for (const CheckpointPart& part : parts) {
    BALLAST_RETURN_IF_ERROR(check_part(part, units));
    if (!files.insert(part.file).second) {
      return damaged(fmt::format("part file {} is listed twice", part.file));
    }
    if (part.ledger.empty()) continue;
    if (with_ledger != nullptr) {
      return damaged(
          fmt::format("{} and {} both have an order ledger, expected the one with unit 0",
                      with_ledger->file, part.file));
    }
    with_ledger = &part;
  }
  return Status();
}

uint64_t part_xxh3(const std::vector<CheckpointEntry>& entries) {
  Hasher hasher;
  for (const CheckpointEntry& entry : entries) hasher.add(entry.xxh3);
  return hasher.digest();
}

Buffer encode_unit_header(const UnitHeader& header) {
  flatbuffers::FlatBufferBuilder builder;
  const auto marks = builder.CreateVector(header.marks);
  const auto ledger = builder.CreateVector(header.ledger);
  builder.Finish(fb::CreateUnitHeader(builder, header.unit.value(), header.version, header.updates,
                                      header.samples_applied, marks, header.element_count,
                                      header.state_count, header.has_previous, ledger,
                                      header.weight_applied));
  return finished(builder);
}

Result<UnitHeader> decode_unit_header(std::span<const std::byte> bytes) {
  Buffer aligned;
  BALLAST_ASSIGN(const fb::UnitHeader* stored,
                 verified_root<fb::UnitHeader>(bytes, aligned, "unit header"));
  if (!wire::elements_aligned(stored->marks()) || !wire::elements_aligned(stored->ledger())) {
    return damaged("unit header: marks or ledger at an address that is no multiple of 8");
  }
  UnitHeader header;
  header.unit = UnitId(stored->unit());
  header.version = stored->version();
  header.updates = stored->updates();
  header.samples_applied = stored->samples_applied();
  // An older version of the format has none: its samples count as of weight 1.
  header.weight_applied = stored->weight_applied().value_or(header.samples_applied);
  if (stored->marks() != nullptr) {
    header.marks.assign(stored->marks()->begin(), stored->marks()->end());
  }
  if (stored->ledger() != nullptr) {
    header.ledger.assign(stored->ledger()->begin(), stored->ledger()->end());
  }
  header.element_count = stored->element_count();
  header.state_count = stored->state_count();
  header.has_previous = stored->has_previous();
  return header;
}

Buffer encode_manifest(const CheckpointManifest& manifest) {
  BALLAST_CHECK_MSG(check_parts(manifest.parts).ok(), check_parts(manifest.parts).to_string());
  flatbuffers::FlatBufferBuilder builder;
  std::vector<flatbuffers::Offset<fb::Part>> parts;
  for (const CheckpointPart& part : manifest.parts) parts.push_back(write_part(builder, part));
  const auto job_hash = builder.CreateString(manifest.job_hash);
  const auto config = builder.CreateString(manifest.config);
  const auto part_list = builder.CreateVector(parts);
  builder.Finish(fb::CreateManifest(builder, manifest.id, manifest.clock,
                                    static_cast<fb::Mode>(manifest.mode), manifest.lanes, job_hash,
                                    config, part_list));
  return finished(builder);
}

Result<CheckpointManifest> decode_manifest(std::span<const std::byte> bytes) {
  Buffer aligned;
  BALLAST_ASSIGN(const fb::Manifest* stored,
                 verified_root<fb::Manifest>(bytes, aligned, "checkpoint manifest"));
  if (stored->mode() > fb::Mode::MAX) {
    return damaged(fmt::format("checkpoint manifest: mode {} is not known, expected at most {}",
                               static_cast<int>(stored->mode()), static_cast<int>(fb::Mode::MAX)));
  }
  CheckpointManifest manifest;
  manifest.id = stored->cut();
  manifest.clock = stored->clock();
  manifest.mode = static_cast<Mode>(stored->mode());
  manifest.lanes = stored->lanes();
  manifest.job_hash = stored->job_hash()->str();
  manifest.config = stored->config()->str();
  for (const fb::Part* part : *stored->parts()) {
    if (!wire::elements_aligned(part->ledger())) {
      return damaged("checkpoint manifest: a ledger at an address that is no multiple of 8");
    }
    manifest.parts.push_back(read_part(*part));
  }
  BALLAST_RETURN_IF_ERROR(check_parts(manifest.parts));
  return manifest;
}

}  // namespace ballast
