#include "worker/client/cluster_reader.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <numeric>

#include "common/base/hash.h"
#include "common/base/process.h"
#include "common/config/endpoints.h"
#include "common/config/job_dump.h"
#include "common/net/zeromq_transport.h"
#include "common/wire/codec.h"

namespace ballast {
namespace {

// A newer view is asked for this often while something is awaited.
constexpr Duration kJoinEvery = 500ms;
// How far ahead of the newest unit a version is asked for that all units shall give; doubled each
// time a unit has passed it before it was asked.
constexpr Version kStepsAhead = 4;

}  // namespace

Result<std::unique_ptr<ClusterReader>> ClusterReader::open(const std::string& run_dir,
                                                           JobConfig job) {
  std::unique_ptr<ClusterReader> reader(new ClusterReader(run_dir, std::move(job)));
  BALLAST_RETURN_IF_ERROR(reader->transport_->connect(
      {Role::kCoordinator, 0, 0}, reader->reachable(coordinator_endpoint(reader->job_))));
  return reader;
}

ClusterReader::ClusterReader(std::string run_dir, JobConfig job)
    : run_dir_(std::move(run_dir)),
      job_(std::move(job)),
      parameters_(parameters_of(job_.model, job_.resolved.input_width)),
      units_(cut_units(parameters_, job_.cluster.unit_bytes)),
      self_{Role::kTool, static_cast<uint32_t>(::getpid()), new_incarnation()},
      transport_(make_zeromq_transport(self_)),
      client_({.run = run_number(job_)}, units_) {}

// Endpoints of ipc are relative to the run directory, where every process of the job is at home.
std::string ClusterReader::reachable(const std::string& endpoint) const {
  constexpr std::string_view kIpc = "ipc://";
  if (!endpoint.starts_with(kIpc) || endpoint[kIpc.size()] == '/') return endpoint;
  return fmt::format("{}{}/{}", kIpc, run_dir_, endpoint.substr(kIpc.size()));
}

void ClusterReader::join() {
  wire::Join join;
  join.role = self_.role;
  join.index = self_.index;
  join.incarnation = self_.incarnation;
  join.job_hash = job_hash(job_);
  join.run = job_.resolved.run;
  join.host = host_name();
  join.process = static_cast<uint32_t>(::getpid());
  (void)transport_->send({Role::kCoordinator, 0, 0}, wire::encode(std::move(join)));
}

bool ClusterReader::has_summary() const {
  std::error_code ignored;
  return std::filesystem::exists(run_dir_ + "/summary.json", ignored);
}

Status ClusterReader::find_ended() {
  ended_ = true;
  return Status(Code::kUnavailable,
                fmt::format("{}: the job has ended; what it left is there", run_dir_));
}

void ClusterReader::flush(Time now) {
  if (now >= next_join_) {
    join();
    next_join_ = now + kJoinEvery;
  }
  client_.tick(now);
  for (ShardMessage& message : client_.flush(now)) {
    (void)transport_->send(message.to, wire::encode(std::move(message.message)));
  }
}

Result<ClusterReader::Versions> ClusterReader::pull(std::span<const uint32_t> parameters,
                                                    Version version, Duration patience,
                                                    ModelWeights& into) {
  if (ended_) return find_ended();
  const Time deadline = monotonic_now() + patience;
  ++asked_;
  for (const UnitSpec& unit : units_) {
    if (std::ranges::find(parameters, unit.parameter) == parameters.end()) continue;
    client_.pull({asked_, unit.id}, version);
  }
  Versions versions{kNever, 0};
  Status status;
  while (status.ok() && client_.in_flight_count() > 0) {
    const Time now = monotonic_now();
    const bool late = now >= deadline;
    if ((late || now >= next_join_) && has_summary()) {
      status = find_ended();
      break;
    }
    if (late) {
      status = too_late(patience);
      break;
    }
    flush(now);
    const Time due = std::min(next_join_, client_.next_due().value_or(kEndOfTime));
    if (auto event = transport_->receive(std::min(deadline, due))) {
      status = take(*event, monotonic_now(), into, versions);
    }
  }
  client_.cancel(asked_);
  if (!status.ok()) return status;
  return versions;
}

Result<ClusterReader::Versions> ClusterReader::pull_model(Duration patience, ModelWeights& into) {
  const Time deadline = monotonic_now() + patience;
  std::vector<uint32_t> all(parameters_.size());
  std::iota(all.begin(), all.end(), 0);
  BALLAST_ASSIGN(Versions newest, pull(all, kNewest, patience, into));
  Version ahead = kStepsAhead;
  while (job_.train.mode == Mode::kSync && newest.least != newest.highest) {
    // Should the job end before it gets there, the coordinator says so and this pull ends.
    const Duration left = deadline - monotonic_now();
    Result<Versions> exact = pull(all, newest.highest + ahead, left, into);
    if (exact.status().code() != Code::kConflict) return exact;
    ahead *= 2;
    BALLAST_ASSIGN(newest, pull(all, kNewest, deadline - monotonic_now(), into));
  }
  return newest;
}

Status ClusterReader::take(TransportEvent& event, Time now, ModelWeights& into,
                           Versions& versions) {
  if (const auto* up = std::get_if<PeerUp>(&event)) {
    if (up->peer.role == Role::kCoordinator) next_join_ = now;
    client_.peer_up(up->peer, now);
    return Status();
  }
  auto* in = std::get_if<MessageIn>(&event);
  if (in == nullptr) return Status();
  BALLAST_ASSIGN(wire::Any message, wire::decode(std::move(in->message)));
  if (const auto* view = std::get_if<wire::View>(&message)) return take_view(*view, now);
  if (auto* reply = std::get_if<wire::Reply>(&message)) {
    return take_reply(in->from, std::move(*reply), now, into, versions);
  }
  if (const auto* refused = std::get_if<wire::Refused>(&message)) {
    return Status(Code::kInvalidInput, refused->reason).because("while joining the coordinator");
  }
  if (std::holds_alternative<wire::End>(message)) return find_ended();
  return Status();
}

Status ClusterReader::take_view(const wire::View& view, Time now) {
  if (!client_.set_view(view, now)) return Status();
  for (const wire::ShardAddress& shard : view.shards) {
    BALLAST_RETURN_IF_ERROR(transport_->connect(
        {Role::kServer, shard.shard.value(), shard.incarnation}, reachable(shard.endpoint)));
  }
  return Status();
}

Status ClusterReader::take_reply(const Peer& from, wire::Reply reply, Time now, ModelWeights& into,
                                 Versions& versions) {
  for (const Outcome& outcome : client_.handle(from, std::move(reply), now)) {
    const wire::ReplyEntry& entry = outcome.reply;
    if (entry.code == wire::ReplyCode::kPassed) {
      return Status(Code::kConflict, fmt::format("unit {} has passed version {}",
                                                 entry.unit.value(), entry.version));
    }
    BALLAST_RETURN_IF_ERROR(into.put(units_.at(entry.unit.value()), entry.weights.bytes()));
    versions.least = std::min(versions.least, entry.version);
    versions.highest = std::max(versions.highest, entry.version);
  }
  return Status();
}

Status ClusterReader::too_late(Duration patience) const {
  const auto waiting = client_.oldest_waiting();
  return Status(
      Code::kDeadline,
      waiting
          ? fmt::format("no answer within {:.1f} s from {}", to_seconds(patience), waiting->text)
          : fmt::format("{}: no view of the cluster from its coordinator at {} "
                        "within {:.1f} s; is the job running?",
                        run_dir_, reachable(coordinator_endpoint(job_)), to_seconds(patience)));
}

}  // namespace ballast
