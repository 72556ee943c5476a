#include "worker/data/source/instance_role.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <ctime>

#include "common/base/json_value.h"
#include "common/base/log.h"
#include "worker/data/source/text_request.h"

namespace ballast {
namespace {

using WallClock = std::chrono::system_clock;

constexpr std::string_view kTokenPath = "/latest/api/token";
constexpr std::string_view kRolePath = "/latest/meta-data/iam/security-credentials/";
constexpr std::string_view kRegionPath = "/latest/meta-data/placement/region";
constexpr int kTokenSeconds = 300;  // for one round of questions

// Asked behind a token: 401 is not among these, it would be the service's error.
bool says_none(long code) {
  return code == 403 || code == 404 || code == 405;
}

Status strange(const std::string& url, const std::string& what) {
  return Status(Code::kUnavailable,
                fmt::format("credentials of this machine's role from {}: {}", url, what))
      .because("AWS_EC2_METADATA_DISABLED=true goes on without them");
}

// "2026-01-31T12:00:00Z". One far away counts as a year from now: the clock ends before some do.
std::optional<WallClock::time_point> parse_end(const std::string& text) {
  std::tm fields{};
  const char* rest = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &fields);
  if (rest == nullptr || *rest != 'Z') return std::nullopt;
  constexpr time_t kYear = 365 * 24 * 3600;
  const time_t now = WallClock::to_time_t(WallClock::now());
  return WallClock::from_time_t(std::clamp(timegm(&fields), now - kYear, now + kYear));
}

std::string first_line(const std::string& text) {
  return text.substr(0, text.find_first_of("\r\n"));
}

TextRequest question(const InstanceRoleSettings& settings, const std::string& path,
                     const std::string& token, const std::stop_token& stop) {
  return {.url = settings.endpoint + path,
          .headers = {"X-aws-ec2-metadata-token: " + token},
          .timeout = settings.timeout,
          .stop = stop};
}

}  // namespace

Result<std::optional<InstanceRoleSettings>> InstanceRoleSettings::from(
    const Environment& environment) {
  std::string disabled = environment("AWS_EC2_METADATA_DISABLED").value_or("");
  std::transform(disabled.begin(), disabled.end(), disabled.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (disabled == "true") return std::optional<InstanceRoleSettings>();
  InstanceRoleSettings settings;
  const std::string named = environment("AWS_EC2_METADATA_SERVICE_ENDPOINT").value_or("");
  if (!named.empty()) settings.endpoint = named;
  while (settings.endpoint.ends_with('/')) settings.endpoint.pop_back();
  if (settings.endpoint.starts_with("http://") || settings.endpoint.starts_with("https://")) {
    return std::optional(std::move(settings));
  }
  return Status(
      Code::kInvalidInput,
      fmt::format("AWS_EC2_METADATA_SERVICE_ENDPOINT = \"{}\": http://host:port expected", named));
}

Result<std::unique_ptr<InstanceRole>> InstanceRole::find(const InstanceRoleSettings& settings) {
  BALLAST_ASSIGN(const std::optional<std::string> token, ask_token(settings, {}));
  if (!token) return std::unique_ptr<InstanceRole>();
  BALLAST_ASSIGN(std::optional<Granted> granted, ask(settings, *token, {}));
  if (!granted) return std::unique_ptr<InstanceRole>();
  const auto region = ask_text(question(settings, std::string(kRegionPath), *token, {}));
  const bool is_said = region.ok() && region->code == 200;
  return std::unique_ptr<InstanceRole>(
      new InstanceRole(settings, *std::move(granted), is_said ? first_line(region->text) : ""));
}

InstanceRole::InstanceRole(const InstanceRoleSettings& settings, Granted granted,
                           std::string region)
    : settings_(settings),
      region_(std::move(region)),
      granted_(std::move(granted)),
      thread_([this](const std::stop_token& stop) { renew(stop); }) {}

S3Credentials InstanceRole::credentials() const {
  const std::scoped_lock lock(mutex_);
  return granted_.credentials;
}

// Nothing: there is no service, or it gives no tokens.
Result<std::optional<std::string>> InstanceRole::ask_token(const InstanceRoleSettings& settings,
                                                           const std::stop_token& stop) {
  const std::string url = settings.endpoint + std::string(kTokenPath);
  const auto answer =
      ask_text({.method = "PUT",
                .url = url,
                .headers = {fmt::format("X-aws-ec2-metadata-token-ttl-seconds: {}", kTokenSeconds)},
                .timeout = settings.timeout,
                .stop = stop});
  if (!answer.ok() || says_none(answer->code)) return std::optional<std::string>();
  if (answer->code != 200)
    return strange(url, fmt::format("a token expected, HTTP {} found", answer->code));
  return std::optional(first_line(answer->text));
}

// Nothing: the machine has no role.
Result<std::optional<InstanceRole::Granted>> InstanceRole::ask(const InstanceRoleSettings& settings,
                                                               const std::string& token,
                                                               const std::stop_token& stop) {
  std::string path(kRolePath);
  BALLAST_ASSIGN(const TextAnswer roles, ask_text(question(settings, path, token, stop)));
  const std::string role = first_line(roles.text);
  if (says_none(roles.code) || (roles.code == 200 && role.empty())) return std::optional<Granted>();
  if (roles.code != 200) {
    return strange(settings.endpoint + path,
                   fmt::format("the name of a role expected, HTTP {} found", roles.code));
  }
  path += s3_encode(role);
  BALLAST_ASSIGN(const TextAnswer answer, ask_text(question(settings, path, token, stop)));
  const auto tree = JsonValue::parse(answer.text);
  const auto text = [&tree](const char* key) {
    const JsonValue* value = tree.ok() ? tree->find(key) : nullptr;
    return value == nullptr ? std::string() : value->text;
  };
  const auto end = parse_end(text("Expiration"));
  Granted granted{{text("AccessKeyId"), text("SecretAccessKey"), text("Token")}, {}};
  const std::string code = text("Code");
  if (answer.code != 200 || !tree.ok() || granted.credentials.key_id.empty() ||
      granted.credentials.secret.empty() || !end || (!code.empty() && code != "Success")) {
    return strange(settings.endpoint + path,
                   fmt::format("AccessKeyId, SecretAccessKey, Token and Expiration expected, HTTP "
                               "{}{}{} found",
                               answer.code, code.empty() ? "" : " and Code ", code.substr(0, 60)));
  }
  granted.end = *end;
  return std::optional(std::move(granted));
}

void InstanceRole::renew(const std::stop_token& stop) {
  const auto wall = [](Duration duration) {
    return std::chrono::duration_cast<WallClock::duration>(duration);
  };
  auto due = granted_.end - wall(settings_.renew_before);  // nobody else writes it
  for (;;) {
    {
      // The wall clock: a machine that slept has credentials that ended meanwhile.
      std::unique_lock lock(mutex_);
      stopped_.wait_until(lock, stop, due, [] { return false; });
    }
    if (stop.stop_requested()) return;
    const auto token = ask_token(settings_, stop);
    auto granted = token.ok() && *token ? ask(settings_, **token, stop)
                                        : Result<std::optional<Granted>>(std::optional<Granted>());
    if (stop.stop_requested()) return;
    due = WallClock::now() + wall(settings_.retry);
    if (!granted.ok() || !*granted) {
      log::warn("the credentials of this machine's role could not be renewed: {}",
                granted.ok() ? "the metadata service gives none" : granted.status().to_string());
      continue;
    }
    const std::scoped_lock lock(mutex_);
    granted_ = **std::move(granted);
    due = std::max(due, granted_.end - wall(settings_.renew_before));
  }
}

}  // namespace ballast
