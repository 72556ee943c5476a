// ClusterReader: reads the weights of a job while it runs, without being part of it: it joins as a
// tool, is told where the units are, and pulls them. Nobody waits for it. One owner thread; calls
// block until they are done or their patience is over.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "common/net/transport.h"
#include "common/placement/units.h"
#include "common/weights/model_weights.h"
#include "worker/client/param_client.h"

namespace ballast {

class ClusterReader {
 public:
  // Whatever is newest, unit by unit.
  static constexpr Version kNewest = kNever;

  // `job` is the effective config of the run directory. Connects; waits for nobody.
  static Result<std::unique_ptr<ClusterReader>> open(const std::string& run_dir, JobConfig job);

  [[nodiscard]] const JobConfig& job() const { return job_; }
  [[nodiscard]] const std::vector<ParameterSpec>& parameters() const { return parameters_; }

  // Sync: steps closed; async and ssp: updates applied. The oldest and the newest unit that came.
  struct Versions {
    Version least = 0;
    Version highest = 0;
  };
  // Every unit of these parameters, into their place of `into`. In sync a version may be asked for:
  // it is waited for. kConflict: it has passed. kDeadline: says who did not answer. kUnavailable:
  // the job has ended(), or a socket fails. kInvalidInput: the coordinator refuses us and says why.
  [[nodiscard]] Result<Versions> pull(std::span<const uint32_t> parameters, Version version,
                                      Duration patience, ModelWeights& into);
  // The whole model. Sync: all units at one version, a little ahead of where the job is now; async,
  // ssp: each unit's newest.
  [[nodiscard]] Result<Versions> pull_model(Duration patience, ModelWeights& into);
  // A pull has found the job to be over: its coordinator said so, or had written its summary. Stays
  // so; a job that is resumed is opened again.
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  ClusterReader(std::string run_dir, JobConfig job);

  [[nodiscard]] std::string reachable(const std::string& endpoint) const;
  void join();
  void flush(Time now);
  Status take(TransportEvent& event, Time now, ModelWeights& into, Versions& versions);
  Status take_view(const wire::View& view, Time now);
  Status take_reply(const Peer& from, wire::Reply reply, Time now, ModelWeights& into,
                    Versions& versions);
  [[nodiscard]] bool has_summary() const;
  Status find_ended();
  [[nodiscard]] Status too_late(Duration patience) const;

  const std::string run_dir_;
  const JobConfig job_;
  const std::vector<ParameterSpec> parameters_;
  const std::vector<UnitSpec> units_;
  const Peer self_;
  std::unique_ptr<Transport> transport_;
  ParamClient client_;
  uint64_t asked_ = 0;  // numbers the pulls, so that what is left of an older one is dropped
  Time next_join_{};
  bool ended_ = false;
};

}  // namespace ballast
