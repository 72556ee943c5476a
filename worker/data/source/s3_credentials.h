// Who asks, and of which region: from the environment or a profile of ~/.aws, as every S3 client
// reads them. The one thing that may come from the environment: secrets belong into no job file.
// Never written to any log, message or config.toml. Any thread.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "common/base/status.h"
#include "worker/data/source/s3_signature.h"

namespace ballast {

// A variable of the environment; nullopt: not set.
using Environment = std::function<std::optional<std::string>(const char* name)>;
[[nodiscard]] Environment process_environment();

struct S3Identity {
  S3Credentials credentials;
  std::string region;  // empty: named nowhere
};

// Credentials: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, unless `profile` is
// named; else the profile (AWS_PROFILE, "default") of AWS_SHARED_CREDENTIALS_FILE
// (~/.aws/credentials) and AWS_CONFIG_FILE (~/.aws/config); else none. Region: of the same
// profile. kInvalidInput: half a pair of keys; a profile that is named and is nowhere.
Result<S3Identity> find_s3_identity(const std::string& profile, const Environment& environment);

}  // namespace ballast
