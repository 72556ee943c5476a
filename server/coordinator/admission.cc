#include "server/coordinator/admission.h"

#include <fmt/format.h>

namespace ballast {

std::optional<std::string> refusal_of(const wire::Join& join, const Peer& from,
                                      const JobIdentity& job, const Membership& membership) {
  const std::string who = fmt::format("{} {}", role_name(join.role), join.index);
  if (join.role == Role::kCoordinator) {
    return fmt::format("{} cannot join a job: expected a worker, a server or a tool", who);
  }
  if (Peer{join.role, join.index, join.incarnation} != from || join.incarnation == 0) {
    return fmt::format(
        "{} with incarnation {} joined over the connection of {}: one of both is "
        "wrong, restart the process",
        who, join.incarnation, to_string(from));
  }
  if (join.protocol_min > wire::kProtocolMax || join.protocol_max < wire::kProtocolMin) {
    return fmt::format(
        "{} speaks protocol {} to {}, expected {} to {}: use the same build of "
        "ballast for all processes",
        who, join.protocol_min, join.protocol_max, wire::kProtocolMin, wire::kProtocolMax);
  }
  if (join.job_hash != job.job_hash) {
    return fmt::format(
        "{} was started for job_hash {}, expected {}: model, data, lanes, seed and "
        "train settings must be the same in every process",
        who, join.job_hash, job.job_hash);
  }
  if (join.run != job.run) {
    return fmt::format(
        "{} is of run {} of this job, expected run {}: two runs use the same addresses; stop one "
        "of them, or give it another cluster.port",
        who, join.run, job.run);
  }
  if (join.role == Role::kTool) return std::nullopt;  // readers are not numbered
  const bool is_worker = join.role == Role::kWorker;
  const uint32_t limit = is_worker ? membership.worker_limit() : membership.shard_count();
  if (join.index >= limit) {
    return fmt::format(
        "{} is out of range: this job has numbers 0 to {}; check the cluster "
        "settings of the process",
        who, limit - 1);
  }
  return displacement_of(from, membership);
}

std::optional<std::string> displacement_of(const Peer& from, const Membership& membership) {
  const Member* known = membership.find(from);
  if (known == nullptr || from.incarnation >= known->incarnation) return std::nullopt;
  return fmt::format(
      "{} {} with incarnation {} is an old life: incarnation {} (host {}, process {}) has joined "
      "in its place; end this process, or give it a number of its own",
      role_name(from.role), from.index, from.incarnation, known->incarnation, known->host,
      known->process);
}

}  // namespace ballast
