// A WorkerSession alone with the test, which is its coordinator, its one shard and its computing
// side, and whose time only moves as the test says.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "worker/session.h"

namespace ballast {

inline constexpr uint32_t kUnits = 2;  // dense 2 -> 1: the weight and the bias

inline JobConfig small_job(Mode mode) {
  JobConfig job;
  job.train.mode = mode;
  job.train.lanes = 4;
  job.train.batch = 8;
  job.train.epochs = 2;  // of two steps
  job.train.staleness = 1;
  job.model.layers.push_back({.kind = LayerKind::kDense, .units = 1});
  job.resolved.train_rows = 16;
  job.resolved.input_width = 2;
  return job;
}

class SessionFixture : public ::testing::Test {
 protected:
  void start(JobConfig job) {
    SessionConfig config;
    config.incarnation = 1;
    config.job = std::move(job);
    config.parameters = parameters_of(config.job.model, config.job.resolved.input_width);
    config.units = cut_units(config.parameters, config.job.cluster.unit_bytes);
    config.job_hash = "job";
    config.retry_after = 100ms;
    parameters_ = config.parameters;
    session_ = std::make_unique<WorkerSession>(config);
    session_->start(now_, out_);
    hear(wire::Welcome{1, 0});
    hear(view(1));
  }

  void start(Mode mode) { start(small_job(mode)); }

  static wire::View view(uint64_t number, Incarnation incarnation = 1) {
    wire::View view{1, number, {{ShardId(0), "shard", incarnation}}, {}};
    for (uint32_t unit = 0; unit < kUnits; ++unit) {
      view.units.push_back({UnitId(unit), ShardId(0), 0});
    }
    return view;
  }

  void handle(SessionEvent event) {
    out_.clear();
    session_->handle(std::move(event), now_, out_);
    keep_requests();
  }
  void hear(wire::Any message) {
    handle(session_event::Received{{Role::kCoordinator, 0, 1}, std::move(message)});
  }
  void hear_from(const Peer& from, wire::Any message) {
    handle(session_event::Received{from, std::move(message)});
  }
  void assign(uint32_t lane, Clock start, uint64_t number = 1, Fence fence = 1) {
    hear(wire::Assign{1, {{LaneId(lane), fence, number, start}}, 0});
  }

  // The requests of the last event, by unit.
  void keep_requests() {
    for (const session_effect::Send& sent : all<session_effect::Send>()) {
      if (const auto* pull = std::get_if<wire::Pull>(&sent.message)) {
        for (const wire::PullEntry& entry : pull->entries) pulls_[entry.unit] = entry;
      } else if (const auto* push = std::get_if<wire::Push>(&sent.message)) {
        for (const wire::PushEntry& entry : push->entries) pushes_[entry.unit].push_back(entry);
      }
    }
  }

  void reply(uint64_t sequence, uint32_t unit, wire::ReplyCode code, Version version,
             Clock least_clock = 0, std::vector<LaneId> missing = {},
             std::vector<wire::LaneFence> fences = {}) {
    const bool brings = code == wire::ReplyCode::kWeights || code == wire::ReplyCode::kClosed ||
                        code == wire::ReplyCode::kApplied;
    wire::Reply message;
    message.entries.push_back({.sequence = sequence,
                               .unit = UnitId(unit),
                               .epoch = 0,
                               .code = code,
                               .version = version,
                               .least_clock = least_clock,
                               .fences = std::move(fences),
                               .missing = std::move(missing),
                               .weights = brings ? Buffer::allocate(unit == 0 ? 8 : 4) : Buffer()});
    handle(session_event::Received{{Role::kServer, 0, 1}, std::move(message)});
  }

  // Answers the pull of every unit.
  void bring_weights(Version version, Clock least_clock = 0) {
    for (uint32_t unit = 0; unit < kUnits; ++unit) {
      const auto asked = pulls_.find(UnitId(unit));
      ASSERT_NE(asked, pulls_.end()) << "unit " << unit << " was not asked for";
      const uint64_t sequence = asked->second.sequence;
      pulls_.erase(asked);
      reply(sequence, unit, wire::ReplyCode::kWeights, version, least_clock);
    }
  }

  // Answers every push so far alike.
  void answer_pushes(wire::ReplyCode code, Version version, Clock least_clock = 0) {
    const auto pushes = std::exchange(pushes_, {});
    for (const auto& [unit, entries] : pushes) {
      for (const wire::PushEntry& entry : entries) {
        reply(entry.sequence, unit.value(), code, version, least_clock);
      }
    }
  }

  static uint64_t hash_of(LaneId lane, Clock clock) { return 1000 * clock + lane.value() + 1; }
  static std::vector<uint64_t> hashes_of(const LaneGroup& group, Clock clock) {
    std::vector<uint64_t> hashes;
    for (LaneId lane : group.lanes) hashes.push_back(hash_of(lane, clock));
    return hashes;
  }

  // The computing side does what it was last told.
  void compute() {
    const auto jobs = all<session_effect::Compute>();
    ASSERT_EQ(jobs.size(), 1u);
    compute(session_effect::Compute(jobs[0]));
  }
  void compute(const session_effect::Compute& job) {
    for (size_t group = 0; group < job.groups.size(); ++group) {
      for (uint32_t p = 0; p < parameters_.size(); ++p) {
        const size_t bytes = parameters_[p].element_count() * sizeof(float);
        handle(
            session_event::GradientReady{job.job,
                                         group,
                                         {{p, Buffer::allocate(bytes)}},
                                         std::vector<double>(job.groups[group].lanes.size(), 1.5),
                                         hashes_of(job.groups[group], job.clock)});
      }
    }
    handle(session_event::ComputeDone{.job = job.job, .loss_sum = 1, .weight_sum = 2});
  }

  // Lets time pass in ticks as the session asks for them -> its failure, if any.
  std::optional<Status> wait(Duration duration, const std::function<void()>& each = {}) {
    for (const Time end = now_ + duration; now_ < end;) {
      now_ += 100ms;
      handle(session_event::Tick{});
      if (const auto fails = all<session_effect::Fail>(); !fails.empty()) return fails[0].status;
      if (each) each();
    }
    return std::nullopt;
  }

  // Of the last event.
  template <typename Effect>
  std::vector<Effect> all() const {
    std::vector<Effect> found;
    for (const SessionEffect& effect : out_) {
      if (const auto* one = std::get_if<Effect>(&effect)) found.push_back(*one);
    }
    return found;
  }
  template <typename Message>
  std::optional<Message> said() const {
    std::optional<Message> last;
    for (const session_effect::Send& sent : all<session_effect::Send>()) {
      if (const auto* message = std::get_if<Message>(&sent.message)) last = *message;
    }
    return last;
  }
  wire::LaneProgress lane(uint32_t id) const {
    for (const wire::LaneProgress& lane : session_->progress(now_).lanes) {
      if (lane.lane == LaneId(id)) return lane;
    }
    return {};
  }

  Time now_{1s};
  std::vector<ParameterSpec> parameters_;
  std::unique_ptr<WorkerSession> session_;
  SessionEffects out_;
  std::map<UnitId, wire::PullEntry> pulls_;
  std::map<UnitId, std::vector<wire::PushEntry>> pushes_;
};

}  // namespace ballast
