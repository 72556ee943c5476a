// s3://bucket/prefix: an HttpSource that signs its requests and reads S3's refusals. Amazon's, or
// any store that speaks its protocol, at an endpoint of its own. Where s3_credentials.h finds no
// credentials the role of the machine is asked (instance_role.h), if the endpoint is Amazon's or
// AWS_EC2_METADATA_SERVICE_ENDPOINT says where. Without any, requests are not signed, which public
// buckets allow.
#pragma once

#include <memory>
#include <string>

#include "worker/data/source/http_source.h"
#include "worker/data/source/s3_credentials.h"

namespace ballast {

struct S3Settings {
  std::string endpoint = {};  // "http://host:port"; empty: Amazon's, of the region
  std::string region = {};    // empty: the profile's, else us-east-1
  std::string profile = {};   // empty: the environment, AWS_PROFILE, default
};

// kInvalidInput: no bucket, no such profile, an endpoint that is no address.
Result<std::unique_ptr<HttpSource>> open_s3(const std::string& location, const S3Settings& settings,
                                            const HttpAccess& access,
                                            const Environment& environment,
                                            const HttpLimits& limits = {});

// What an S3 server says with a refusal (its XML), as one message; nullopt: nothing that HTTP does
// not say. Pure.
[[nodiscard]] std::optional<HttpVerdict> explain_s3(const std::string& at, long answer,
                                                    std::string_view text, bool anonymous);

}  // namespace ballast
