// The examples of AWS's "Authenticating Requests (AWS Signature Version 4)" for Amazon S3: host
// examplebucket.s3.amazonaws.com, 24 May 2013, us-east-1.
#include "worker/data/source/s3_signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ballast {
namespace {

using testing::Contains;
using testing::HasSubstr;

const S3Credentials kCredentials{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
                                 ""};

S3Request example(const std::string& path) {
  return {.host = "examplebucket.s3.amazonaws.com",
          .path = path,
          .payload_sha256 = std::string(kEmptySha256)};
}

std::string signature_of(const S3Request& request) {
  const auto lines = sign_s3(request, kCredentials, "us-east-1", "20130524T000000Z");
  const std::string& authorization = lines.back();
  return authorization.substr(authorization.find("Signature=") + 10);
}

TEST(S3Signature, SignsARangeOfAnObject) {
  S3Request request = example("/test.txt");
  request.headers = {{"range", "bytes=0-9"}};

  EXPECT_EQ(signature_of(request),
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(S3Signature, SortsTheQuery) {
  S3Request request = example("/");
  request.query = {{"prefix", "J"}, {"max-keys", "2"}};

  EXPECT_EQ(signature_of(request),
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(S3Signature, SignsAQueryWithoutAValue) {
  S3Request request = example("/");
  request.query = {{"lifecycle", ""}};

  EXPECT_EQ(signature_of(request),
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(S3Signature, SignsThePathAsItIsSent) {
  S3Request request = example(s3_encode_path("/test$file.text"));
  request.method = "PUT";
  request.headers = {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
                     {"x-amz-storage-class", "REDUCED_REDUNDANCY"}};
  request.payload_sha256 = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";

  EXPECT_EQ(request.path, "/test%24file.text");
  EXPECT_EQ(signature_of(request),
            "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(S3Signature, EncodesByTheRulesOfS3) {
  EXPECT_EQ(s3_encode_path("dt=2024-01-01/a b~c+d.e_f"), "dt%3D2024-01-01/a%20b~c%2Bd.e_f");
  EXPECT_EQ(s3_encode("a/b"), "a%2Fb");
  EXPECT_EQ(s3_encode("\xc3\xbc"), "%C3%BC");
}

TEST(S3Signature, SendsTheHashOfThePayloadTheTimeAndTheSessionsToken) {
  S3Credentials session = kCredentials;
  session.token = "token";

  const auto lines = sign_s3(example("/test.txt"), session, "us-east-1", "20130524T000000Z");

  EXPECT_THAT(lines, Contains("x-amz-content-sha256: " + std::string(kEmptySha256)));
  EXPECT_THAT(lines, Contains("x-amz-date: 20130524T000000Z"));
  EXPECT_THAT(lines, Contains("x-amz-security-token: token"));
  EXPECT_THAT(lines.back(),
              HasSubstr("SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-security-token"));
}

}  // namespace
}  // namespace ballast
