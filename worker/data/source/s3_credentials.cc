#include "worker/data/source/s3_credentials.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <map>

namespace ballast {
namespace {

using Section = std::map<std::string, std::string>;

std::string trimmed(const std::string& text) {
  constexpr auto kSpace = " \t\r";
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return "";
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

// One section of a file of "[name]" and "key = value" lines. nullopt: no such file or section.
std::optional<Section> read_section(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::optional<Section> section;
  bool inside = false;
  for (std::string line; std::getline(file, line);) {
    const std::string text = trimmed(line);
    if (text.empty() || text[0] == '#' || text[0] == ';') continue;
    if (text[0] == '[') {
      inside = trimmed(text.substr(1, text.find(']') - 1)) == name;
      if (inside && !section) section.emplace();
      continue;
    }
    const size_t equals = text.find('=');
    if (!inside || equals == std::string::npos) continue;
    (*section)[trimmed(text.substr(0, equals))] = trimmed(text.substr(equals + 1));
  }
  return section;
}

std::string value_or(const Environment& environment, const char* name, const std::string& other) {
  const std::optional<std::string> value = environment(name);
  return value && !value->empty() ? *value : other;
}

Status half(const std::string& where, const char* there, const char* missing) {
  return Status(
      Code::kInvalidInput,
      fmt::format("S3 credentials in {}: {} is there, {} expected too", where, there, missing));
}

Result<S3Credentials> from_section(const Section& section, const std::string& where) {
  const auto value = [&section](const char* key) {
    const auto found = section.find(key);
    return found == section.end() ? std::string() : found->second;
  };
  S3Credentials credentials{value("aws_access_key_id"), value("aws_secret_access_key"),
                            value("aws_session_token")};
  if (credentials.key_id.empty() != credentials.secret.empty()) {
    const bool has_id = !credentials.key_id.empty();
    return half(where, has_id ? "aws_access_key_id" : "aws_secret_access_key",
                has_id ? "aws_secret_access_key" : "aws_access_key_id");
  }
  return credentials;
}

Result<S3Credentials> from_environment(const Environment& environment) {
  S3Credentials credentials{value_or(environment, "AWS_ACCESS_KEY_ID", ""),
                            value_or(environment, "AWS_SECRET_ACCESS_KEY", ""),
                            value_or(environment, "AWS_SESSION_TOKEN", "")};
  if (credentials.key_id.empty() != credentials.secret.empty()) {
    const bool has_id = !credentials.key_id.empty();
    return half("the environment", has_id ? "AWS_ACCESS_KEY_ID" : "AWS_SECRET_ACCESS_KEY",
                has_id ? "AWS_SECRET_ACCESS_KEY" : "AWS_ACCESS_KEY_ID");
  }
  return credentials;
}

}  // namespace

Environment process_environment() {
  return [](const char* name) -> std::optional<std::string> {
    const char* value = std::getenv(name);
    return value == nullptr ? std::nullopt : std::optional<std::string>(value);
  };
}

Result<S3Identity> find_s3_identity(const std::string& profile, const Environment& environment) {
  const std::string named = profile.empty() ? value_or(environment, "AWS_PROFILE", "") : profile;
  const std::string name = named.empty() ? "default" : named;
  const std::string home = value_or(environment, "HOME", "") + "/.aws/";
  const std::string secrets_file =
      value_or(environment, "AWS_SHARED_CREDENTIALS_FILE", home + "credentials");
  const std::string config_file = value_or(environment, "AWS_CONFIG_FILE", home + "config");
  const auto secrets = read_section(secrets_file, name);
  const auto config = read_section(config_file, name == "default" ? name : "profile " + name);
  if (!named.empty() && !secrets && !config) {
    return Status(Code::kInvalidInput, fmt::format("S3 profile \"{}\": neither in {} nor in {}",
                                                   named, secrets_file, config_file));
  }
  S3Identity identity;
  for (const auto* section : {&secrets, &config}) {
    if (!*section) continue;
    const auto region = (*section)->find("region");
    if (region != (*section)->end() && identity.region.empty()) identity.region = region->second;
  }
  if (profile.empty()) {
    BALLAST_ASSIGN(identity.credentials, from_environment(environment));
  }
  for (const auto& [section, file] :
       {std::pair(&secrets, &secrets_file), {&config, &config_file}}) {
    if (!*section || !identity.credentials.is_anonymous()) continue;
    BALLAST_ASSIGN(identity.credentials,
                   from_section(**section, fmt::format("profile \"{}\" of {}", name, *file)));
  }
  return identity;
}

}  // namespace ballast
