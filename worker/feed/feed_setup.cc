#include "worker/feed/feed_setup.h"

#include <charconv>

#include "common/base/check.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/net/zeromq_transport.h"

namespace ballast {

wire::FeedStamp feed_stamp(const JobConfig& job, const RowSource& rows) {
  const std::string hash = job_hash(job);
  wire::FeedStamp stamp;
  const auto [end, error] =
      std::from_chars(hash.data(), hash.data() + hash.size(), stamp.job, /*base=*/16);
  BALLAST_CHECK(error == std::errc() && end == hash.data() + hash.size());
  stamp.dataset = rows.dataset()->manifest_xxh3();
  return stamp;
}

FeederSetup feeder_setup(const JobConfig& job, const RowSource& rows) {
  return {.stamp = feed_stamp(job, rows),
          .schedule = schedule_of(job),
          .threads = job.data.threads,
          .portions_per_worker = asks_per_feeder(job),
          .spare_bytes = feeder_portions(job).total(),
          .alone_most = std::chrono::milliseconds(job.cluster.stuck_after_ms)};
}

FedRowsSetup fed_rows_setup(const JobConfig& job, WorkerId worker, const RowSource& rows) {
  FedRowsSetup setup{
      .plan = portion_plan(job, schedule_of(job)),
      .client = {},
      .endpoints = {},
      .make_transport = [worker] {
        return make_zeromq_transport({Role::kWorker, worker.value(), new_incarnation()});
      }};
  setup.client.feeders = job.cluster.feeders;
  setup.client.stamp = feed_stamp(job, rows);
  setup.client.shape = {rows.plan().feature_bytes(), rows.plan().label.width};
  setup.client.lane_has_home = !rows.in_memory();
  setup.client.asks_per_feeder = asks_per_feeder(job);
  for (uint32_t i = 0; i < job.cluster.feeders; ++i) {
    setup.endpoints.push_back(feeder_endpoint(job, i));
  }
  return setup;
}

}  // namespace ballast
