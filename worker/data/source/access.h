// Access: what a job says of how its data sets are reached, beside where they lie. Values.
#pragma once

#include <cstdint>
#include <string>

#include "common/config/job_config.h"
#include "worker/data/source/http_settings.h"
#include "worker/data/source/s3_source.h"

namespace ballast {

struct Access {
  HttpAccess http = {};
  S3Settings s3 = {};
  std::string cache = {};  // folder; empty: nothing is kept
  uint64_t cache_bytes = 0;
};

[[nodiscard]] inline Access access_of(const DataConfig& data) {
  return {
      .http = {.ca_file = data.ca_file, .proxy = data.proxy},
      .s3 = {.endpoint = data.s3.endpoint, .region = data.s3.region, .profile = data.s3.profile},
      .cache = data.cache,
      .cache_bytes = data.cache_mib << 20};
}

// Of an address that a person has just written down: what nobody answers at is a slip as a rule,
// and is told within seconds. A job that has begun has the patience of access_of().
constexpr Duration kFirstContact = 10s;
[[nodiscard]] inline Access first_access_of(const DataConfig& data) {
  Access access = access_of(data);
  access.http.first_contact = kFirstContact;
  return access;
}

}  // namespace ballast
