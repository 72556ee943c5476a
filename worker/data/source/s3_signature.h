// Signature version 4 of S3 requests: which headers prove who asks. From AWS's "Authenticating
// Requests (AWS Signature Version 4)" for Amazon S3; its examples are the tests. Pure; any thread.
//
// Three things go wrong in practice, libcurl 7.88's own signer among them: the query has to be
// sorted by encoded name, the path is signed as it is sent (encoded once, by S3's rules: '=' and
// '$' too), and x-amz-content-sha256 has to be sent.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ballast {

struct S3Credentials {
  std::string key_id;  // empty: none, requests are not signed
  std::string secret;
  std::string token;  // of a session; empty: none

  [[nodiscard]] bool is_anonymous() const { return key_id.empty(); }
};

struct S3Request {
  std::string method = "GET";
  std::string host = {};  // with the port where it is not the scheme's own
  std::string path = {};  // encoded, with its first '/'
  std::vector<std::pair<std::string, std::string>> query = {};    // not encoded, in any order
  std::vector<std::pair<std::string, std::string>> headers = {};  // besides host and x-amz-*
  std::string payload_sha256 = {};  // hex, or kUnsignedPayload; of nothing: kEmptySha256
};

inline constexpr std::string_view kEmptySha256 =
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

// All but A-Z a-z 0-9 - . _ ~ as %XX; encode_path leaves '/'.
[[nodiscard]] std::string s3_encode(std::string_view text);
[[nodiscard]] std::string s3_encode_path(std::string_view path);

// The header lines to send: Authorization, x-amz-content-sha256, x-amz-date and, with a session,
// x-amz-security-token. `time`: "20130524T000000Z".
[[nodiscard]] std::vector<std::string> sign_s3(const S3Request& request,
                                               const S3Credentials& credentials,
                                               const std::string& region, const std::string& time);

// Now, as sign_s3 wants it.
[[nodiscard]] std::string s3_time_now();

}  // namespace ballast
