// InstanceRole: the credentials of the role that a machine of EC2 has, from the metadata service it
// finds at a link-local address (version 2: a token, the role's name, its credentials). They end
// after some hours. A thread of its own asks for new ones before; whoever signs meanwhile has the
// ones before, so no read waits for the service. Any thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "common/base/status.h"
#include "common/base/time.h"
#include "worker/data/source/s3_credentials.h"

namespace ballast {

struct InstanceRoleSettings {
  std::string endpoint = "http://169.254.169.254";
  Duration timeout = 1s;  // of each of the three requests
  // The service has new credentials at least five minutes before the old ones end (Amazon's
  // documentation of it).
  Duration renew_before = std::chrono::minutes(5);
  Duration retry = 30s;  // after a renewal that failed, or that gave the same credentials

  // AWS_EC2_METADATA_SERVICE_ENDPOINT in place of Amazon's. nullopt: AWS_EC2_METADATA_DISABLED is
  // "true". kInvalidInput: no address.
  static Result<std::optional<InstanceRoleSettings>> from(const Environment& environment);
};

class InstanceRole {
 public:
  // Asks the service. Null: none is there, it is switched off, or the machine has no role.
  // kUnavailable: it is there and does not answer what it should. Messages hold no secret.
  static Result<std::unique_ptr<InstanceRole>> find(const InstanceRoleSettings& settings);

  [[nodiscard]] S3Credentials credentials() const;
  // Where the machine stands; empty: the service does not say.
  [[nodiscard]] const std::string& region() const { return region_; }

 private:
  struct Granted {
    S3Credentials credentials;
    std::chrono::system_clock::time_point end;
  };

  InstanceRole(const InstanceRoleSettings& settings, Granted granted, std::string region);

  static Result<std::optional<Granted>> ask(const InstanceRoleSettings& settings,
                                            const std::string& token, const std::stop_token& stop);
  static Result<std::optional<std::string>> ask_token(const InstanceRoleSettings& settings,
                                                      const std::stop_token& stop);
  void renew(const std::stop_token& stop);

  const InstanceRoleSettings settings_;
  const std::string region_;
  mutable std::mutex mutex_;  // guards granted_
  std::condition_variable_any stopped_;
  Granted granted_;
  std::jthread thread_;  // last: it uses what is above
};

}  // namespace ballast
