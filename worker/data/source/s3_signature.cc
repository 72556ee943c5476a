#include "worker/data/source/s3_signature.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <ctime>
#include <map>

#include "common/base/check.h"

namespace ballast {
namespace {

constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string hex(std::string_view bytes) {
  std::string text;
  for (char byte : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
  return text;
}

std::string sha256(std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  BALLAST_CHECK(EVP_Digest(text.data(), text.size(), digest, &bytes, EVP_sha256(), nullptr) == 1);
  return {reinterpret_cast<const char*>(digest), bytes};
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int bytes = 0;
  BALLAST_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                     reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest,
                     &bytes) != nullptr);
  return {reinterpret_cast<const char*>(digest), bytes};
}

std::string encode(std::string_view text, std::string_view kept) {
  std::string encoded;
  for (char c : text) {
    const bool plain = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                       kept.find(c) != std::string_view::npos;
    encoded += plain ? std::string(1, c) : fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return encoded;
}

std::string canonical_query(const S3Request& request) {
  std::vector<std::pair<std::string, std::string>> encoded;
  for (const auto& [name, value] : request.query) {
    encoded.emplace_back(s3_encode(name), s3_encode(value));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string line;
  for (const auto& [name, value] : encoded) {
    line += (line.empty() ? "" : "&") + name + "=" + value;
  }
  return line;
}

}  // namespace

std::string s3_encode(std::string_view text) {
  return encode(text, "-._~");
}

std::string s3_encode_path(std::string_view path) {
  return encode(path, "-._~/");
}

std::vector<std::string> sign_s3(const S3Request& request, const S3Credentials& credentials,
                                 const std::string& region, const std::string& time) {
  std::vector<std::string> lines = {"x-amz-content-sha256: " + request.payload_sha256,
                                    "x-amz-date: " + time};
  std::map<std::string, std::string> headers(request.headers.begin(), request.headers.end());
  headers["host"] = request.host;
  headers["x-amz-content-sha256"] = request.payload_sha256;
  headers["x-amz-date"] = time;
  if (!credentials.token.empty()) {
    headers["x-amz-security-token"] = credentials.token;
    lines.push_back("x-amz-security-token: " + credentials.token);
  }
  std::string header_lines;
  std::string names;
  for (const auto& [name, value] : headers) {
    header_lines += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  const std::string canonical =
      fmt::format("{}\n{}\n{}\n{}\n{}\n{}", request.method, request.path, canonical_query(request),
                  header_lines, names, request.payload_sha256);
  const std::string day = time.substr(0, 8);
  const std::string scope = fmt::format("{}/{}/s3/aws4_request", day, region);
  const std::string to_sign =
      fmt::format("{}\n{}\n{}\n{}", kAlgorithm, time, scope, hex(sha256(canonical)));
  std::string key = "AWS4" + credentials.secret;
  for (const std::string& part : {day, region, std::string("s3"), std::string("aws4_request")}) {
    key = hmac_sha256(key, part);
  }
  lines.push_back(fmt::format("Authorization: {} Credential={}/{}, SignedHeaders={}, Signature={}",
                              kAlgorithm, credentials.key_id, scope, names,
                              hex(hmac_sha256(key, to_sign))));
  return lines;
}

std::string s3_time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &parts);
  return text;
}

}  // namespace ballast
