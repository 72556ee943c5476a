#include "common/wire/feed_codec.h"

namespace ballast::wire {
namespace {

static_assert(static_cast<int>(fb::FeedCode::MAX) == static_cast<int>(FeedCode::kFailed));

fb::RowRun pack_run(const RowRun& run) {
  return fb::RowRun(run.epoch, run.first, run.lane.value(), run.rows);
}

RowRun unpack_run(const fb::RowRun* run) {
  if (run == nullptr) return {};
  return {run->epoch(), LaneId(run->lane()), run->first(), run->rows()};
}

}  // namespace

Offset<fb::FeedAsk> pack(Packer& packer, const FeedAsk& ask) {
  const fb::RowRun run = pack_run(ask.run);
  return fb::CreateFeedAsk(packer.builder(), &run);
}

Offset<fb::FeedAnswer> pack(Packer& packer, const FeedAnswer& answer) {
  const fb::RowRun run = pack_run(answer.run);
  const auto reason = packer.text(answer.reason);
  const uint32_t ids = packer.payload(answer.ids);
  const uint32_t features = packer.payload(answer.features, 1);
  const uint32_t labels = packer.payload(answer.labels);
  const uint32_t weights = packer.payload(answer.weights);
  return fb::CreateFeedAnswer(packer.builder(), &run, static_cast<fb::FeedCode>(answer.code),
                              reason, ids, features, labels, answer.xxh3, weights);
}

FeedAsk unpack(Unpacker&, const fb::FeedAsk& table) {
  return {{}, unpack_run(table.run())};
}

FeedAnswer unpack(Unpacker& unpacker, const fb::FeedAnswer& table) {
  FeedAnswer answer;
  answer.run = unpack_run(table.run());
  answer.code = unpacker.enumerator<FeedCode>(table.code(), "code");
  answer.reason = unpacker.text(table.reason(), "reason");
  answer.ids = unpacker.payload(table.ids(), "ids", sizeof(uint64_t));
  answer.features = unpacker.payload(table.features(), "features", 1);
  answer.labels = unpacker.payload(table.labels(), "labels");
  answer.weights = unpacker.payload(table.weights(), "weights");
  answer.xxh3 = table.xxh3();
  return answer;
}

}  // namespace ballast::wire
