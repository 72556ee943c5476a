#include "worker/data/source/s3_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "worker/data/source/instance_role.h"

namespace ballast {
namespace {

constexpr std::string_view kScheme = "s3://";
constexpr size_t kTextShown = 200;

// The text between <tag> and </tag>; the few characters that XML escapes, plain again.
std::string element(std::string_view text, const std::string& tag) {
  const std::string open = fmt::format("<{}>", tag);
  const size_t begin = text.find(open);
  if (begin == std::string_view::npos) return "";
  const size_t end = text.find(fmt::format("</{}>", tag), begin);
  if (end == std::string_view::npos) return "";
  std::string found(text.substr(begin + open.size(), end - begin - open.size()));
  for (const auto& [from, to] :
       {std::pair("&lt;", "<"), {"&gt;", ">"}, {"&quot;", "\""}, {"&apos;", "'"}, {"&amp;", "&"}}) {
    for (size_t at = found.find(from); at != std::string::npos; at = found.find(from, at + 1)) {
      found = found.substr(0, at).append(to).append(found, at + std::string_view(from).size());
    }
  }
  return found.substr(0, kTextShown);
}

// What a user has to do about it.
std::string advice(const std::string& code, bool anonymous) {
  if (code == "ExpiredToken" || code == "TokenRefreshRequired") {
    return "the session's credentials have expired: get new ones and resume";
  }
  if (code == "RequestTimeTooSkewed") {
    return "the clock of this machine is wrong: set it";
  }
  if (code == "AuthorizationHeaderMalformed" || code == "PermanentRedirect" ||
      code == "TemporaryRedirect" || code == "IllegalLocationConstraintException") {
    return "set data.s3.region to the bucket's region";
  }
  if (code == "SignatureDoesNotMatch" || code == "InvalidAccessKeyId" || code == "InvalidToken") {
    return "are the credentials right, and of this endpoint?";
  }
  if (anonymous) return "no credentials were found: set data.s3.profile or AWS_ACCESS_KEY_ID";
  return "may these credentials read it?";
}

bool passes_with_time(const std::string& code) {
  constexpr std::array kCodes = {"SlowDown",        "InternalError",       "ServiceUnavailable",
                                 "RequestTimeout",  "OperationAborted",    "Throttling",
                                 "TooManyRequests", "RequestLimitExceeded"};
  return std::find(kCodes.begin(), kCodes.end(), code) != kCodes.end();
}

struct S3Place {
  std::string bucket;
  std::string prefix;  // without slashes at its ends
};

Result<S3Place> parse_place(const std::string& location) {
  const std::string path = location.substr(kScheme.size());
  const size_t slash = std::min(path.find('/'), path.size());
  S3Place place{path.substr(0, slash), path.substr(slash)};
  place.prefix =
      place.prefix.substr(std::min(place.prefix.find_first_not_of('/'), place.prefix.size()));
  while (place.prefix.ends_with('/')) place.prefix.pop_back();
  const bool plain = std::all_of(place.bucket.begin(), place.bucket.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '.' || c == '-' || c == '_';
  });
  if (!place.bucket.empty() && plain) return place;
  return Status(Code::kInvalidInput,
                fmt::format("data set {}: s3://BUCKET/PREFIX expected", location));
}

struct S3Address {
  std::string scheme_and_host;  // "https://bucket.s3.eu-west-1.amazonaws.com"
  std::string base;             // "/bucket" where it is part of the path
};

// A bucket's name is part of the host at Amazon, unless a dot in it would defeat the certificate,
// and of the path at an endpoint of one's own, which often has one name only.
Result<S3Address> address_of(const S3Place& place, const S3Settings& settings,
                             const std::string& region) {
  if (settings.endpoint.empty()) {
    const std::string host = fmt::format("s3.{}.amazonaws.com", region);
    if (place.bucket.find('.') != std::string::npos) {
      return S3Address{fmt::format("https://{}", host), fmt::format("/{}", place.bucket)};
    }
    return S3Address{fmt::format("https://{}.{}", place.bucket, host), ""};
  }
  std::string endpoint = settings.endpoint;
  while (endpoint.ends_with('/')) endpoint.pop_back();
  const bool http = endpoint.starts_with("http://") || endpoint.starts_with("https://");
  if (!http || endpoint.find('/', endpoint.find("://") + 3) != std::string::npos) {
    return Status(Code::kInvalidInput,
                  fmt::format("data.s3.endpoint = \"{}\": http://host:port or https://host:port "
                              "expected",
                              settings.endpoint));
  }
  return S3Address{endpoint, fmt::format("/{}", place.bucket)};
}

// As curl sends it: without the port that belongs to the scheme.
std::string host_of(const std::string& scheme_and_host) {
  const bool tls = scheme_and_host.starts_with("https://");
  const std::string host = scheme_and_host.substr(scheme_and_host.find("://") + 3);
  const std::string_view own = tls ? ":443" : ":80";
  return host.ends_with(own) ? host.substr(0, host.size() - own.size()) : host;
}

// The role of the machine is Amazon's, and means nothing to the store of somebody else.
bool is_amazons(const std::string& endpoint) {
  if (endpoint.empty()) return true;
  const std::string host =
      endpoint.substr(0, endpoint.find_first_of(":/", endpoint.find("://") + 3));
  return host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn");
}

// Null: none is asked, or there is none.
Result<std::unique_ptr<InstanceRole>> find_role(const S3Settings& settings,
                                                const Environment& environment) {
  const bool is_named = !environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("").empty();
  if (!is_named && !is_amazons(settings.endpoint)) return std::unique_ptr<InstanceRole>();
  BALLAST_ASSIGN(const auto asked, InstanceRoleSettings::from(environment));
  if (!asked) return std::unique_ptr<InstanceRole>();
  return InstanceRole::find(*asked);
}

}  // namespace

std::optional<HttpVerdict> explain_s3(const std::string& at, long answer, std::string_view text,
                                      bool anonymous) {
  const std::string code = element(text, "Code");
  if (code.empty() || code == "NoSuchKey" || code == "PreconditionFailed" ||
      code == "InvalidRange") {
    return std::nullopt;
  }
  const std::string said =
      fmt::format("{}: HTTP {} {}: {}", at, answer, code, element(text, "Message"));
  if (code == "NoSuchBucket") return HttpVerdict{.status = Status(Code::kNotFound, said)};
  if (passes_with_time(code)) {
    return HttpVerdict{.status = Status(Code::kUnavailable, said),
                       .may_pass = true,
                       .overloaded = answer == 503 || answer == 429};
  }
  if (answer >= 500) return std::nullopt;
  std::string where = element(text, "Region");
  if (where.empty()) where = element(text, "Endpoint");
  if (!where.empty()) where = fmt::format(" (it is at {})", where);
  return HttpVerdict{
      .status = Status(Code::kInvalidInput, said + where).because(advice(code, anonymous))};
}

Result<std::unique_ptr<HttpSource>> open_s3(const std::string& location, const S3Settings& settings,
                                            const HttpAccess& access,
                                            const Environment& environment,
                                            const HttpLimits& limits) {
  BALLAST_ASSIGN(const S3Place place, parse_place(location));
  BALLAST_ASSIGN(S3Identity identity, find_s3_identity(settings.profile, environment));
  std::shared_ptr<InstanceRole> role;  // shared: by the copies of the dialect's function below
  if (identity.credentials.is_anonymous()) {
    BALLAST_ASSIGN(role, find_role(settings, environment));
    if (role && identity.region.empty()) identity.region = role->region();
  }
  if (!settings.region.empty()) identity.region = settings.region;
  if (identity.region.empty()) identity.region = std::string("us-east-1");
  BALLAST_ASSIGN(const S3Address address, address_of(place, settings, identity.region));
  const std::string prefix =
      place.prefix.empty() ? "" : fmt::format("/{}", s3_encode_path(place.prefix));
  const bool anonymous = identity.credentials.is_anonymous() && !role;
  HttpDialect dialect;
  dialect.name =
      fmt::format("s3://{}{}{}", place.bucket, place.prefix.empty() ? "" : "/", place.prefix);
  dialect.explain = [anonymous](const std::string& at, long answer, std::string_view text) {
    return explain_s3(at, answer, text, anonymous);
  };
  if (!anonymous) {
    dialect.follows = false;
    dialect.headers = [identity, role, origin = address.scheme_and_host](const std::string& url) {
      S3Request request{.host = host_of(origin), .path = url.substr(origin.size())};
      request.payload_sha256 = kEmptySha256;
      return sign_s3(request, role ? role->credentials() : identity.credentials, identity.region,
                     s3_time_now());
    };
  }
  return HttpSource::open(address.scheme_and_host + address.base + prefix, access,
                          std::move(dialect), limits);
}

}  // namespace ballast
