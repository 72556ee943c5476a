// s3://: who asks, at which address, and what a refusal means.
#include "worker/data/source/s3_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/support/http_server.h"
#include "tests/worker/data/data_fixture.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class S3Source : public DataFixture {
 protected:
  S3Source() { variables_["HOME"] = root_; }

  [[nodiscard]] Environment environment() const {
    return [variables = variables_](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
  }
  void write_profiles(const std::string& credentials, const std::string& config) {
    std::filesystem::create_directory(path(".aws"));
    write_text(".aws/credentials", credentials);
    write_text(".aws/config", config);
  }
  [[nodiscard]] S3Identity identity(const std::string& profile = "") const {
    return find_s3_identity(profile, environment()).value();
  }
  // What the server is asked when an object is read.
  HttpAsked asked_for(const std::string& location, const S3Settings& settings = {}) {
    HttpAsked seen;
    HttpServer server([&](const HttpAsked& asked) {
      seen = asked;
      return answer_with(asked, "0123456789");
    });
    S3Settings here = settings;
    here.endpoint = server.url();
    const auto source = open_s3(location, here, {}, environment()).value();
    std::string bytes(4, '\0');
    const Status status = source->read_now("manifest", 2, std::as_writable_bytes(std::span(bytes)));
    EXPECT_TRUE(status.ok()) << status.to_string();
    EXPECT_EQ(bytes, "2345");
    return seen;
  }
  Status refusal(const HttpAnswer& answer, HttpLimits limits = {.deadline = 300ms}) {
    HttpServer server([&](const HttpAsked&) { return answer; });
    const auto source =
        open_s3("s3://bucket/train", {.endpoint = server.url()}, {}, environment(), limits).value();
    return source->size_of("manifest").status();
  }
  static HttpAnswer xml(int code, const std::string& word, const std::string& more = "") {
    return {.code = code,
            .body = "<?xml version=\"1.0\"?>\n<Error><Code>" + word +
                    "</Code><Message>It is &lt;so&gt;.</Message>" + more + "</Error>"};
  }

  std::map<std::string, std::string> variables_;
};

constexpr auto kProfiles =
    "# a comment\n[default]\naws_access_key_id = ID0\naws_secret_access_key=SECRET0\n"
    "[other]\naws_access_key_id = ID1\naws_secret_access_key = SE=CRET1\naws_session_token = T1\n"
    "[half]\naws_access_key_id = ID2\n";
constexpr auto kConfig =
    "[default]\nregion = eu-west-1\n[profile other]\nregion = ap-south-1\n[profile bare]\n"
    "region = us-west-2\n";

TEST_F(S3Source, FindsCredentialsInTheEnvironment) {
  variables_["AWS_ACCESS_KEY_ID"] = "ID";
  variables_["AWS_SECRET_ACCESS_KEY"] = "SECRET";
  variables_["AWS_SESSION_TOKEN"] = "TOKEN";
  write_profiles(kProfiles, kConfig);

  const S3Identity found = identity();

  EXPECT_EQ(found.credentials.key_id, "ID");
  EXPECT_EQ(found.credentials.secret, "SECRET");
  EXPECT_EQ(found.credentials.token, "TOKEN");
  EXPECT_EQ(found.region, "eu-west-1");
}

TEST_F(S3Source, FindsCredentialsAndRegionInAProfile) {
  write_profiles(kProfiles, kConfig);

  EXPECT_EQ(identity().credentials.key_id, "ID0");
  EXPECT_EQ(identity().region, "eu-west-1");
  EXPECT_EQ(identity("other").credentials.secret, "SE=CRET1");
  EXPECT_EQ(identity("other").credentials.token, "T1");
  EXPECT_EQ(identity("other").region, "ap-south-1");
  variables_["AWS_PROFILE"] = "bare";
  EXPECT_TRUE(identity().credentials.is_anonymous());
  EXPECT_EQ(identity().region, "us-west-2");
}

TEST_F(S3Source, PrefersAProfileThatIsNamedToTheEnvironment) {
  variables_["AWS_ACCESS_KEY_ID"] = "ID";
  variables_["AWS_SECRET_ACCESS_KEY"] = "SECRET";
  write_profiles(kProfiles, kConfig);

  EXPECT_EQ(identity("other").credentials.key_id, "ID1");
}

TEST_F(S3Source, ReadsTheFilesThatTheEnvironmentNames) {
  variables_["AWS_SHARED_CREDENTIALS_FILE"] = write_text("mine", kProfiles);

  EXPECT_EQ(identity().credentials.key_id, "ID0");
}

TEST_F(S3Source, NamesWhatIsMissingOfCredentials) {
  write_profiles(kProfiles, kConfig);

  EXPECT_THAT(find_s3_identity("nobody", environment()).status().to_string(),
              AllOf(HasSubstr("profile \"nobody\""), HasSubstr(".aws/credentials")));
  EXPECT_THAT(find_s3_identity("half", environment()).status().to_string(),
              AllOf(HasSubstr("profile \"half\""), HasSubstr("aws_secret_access_key expected"),
                    Not(HasSubstr("ID2"))));
  variables_["AWS_SECRET_ACCESS_KEY"] = "SECRET";
  EXPECT_THAT(find_s3_identity("", environment()).status().to_string(),
              AllOf(HasSubstr("AWS_ACCESS_KEY_ID expected"), Not(HasSubstr("SECRET:"))));
}

TEST_F(S3Source, SignsWhatItAsks) {
  write_profiles(kProfiles, kConfig);

  const HttpAsked asked = asked_for("s3://bucket/dt=1/train/");

  EXPECT_EQ(asked.path, "/bucket/dt%3D1/train/manifest");
  EXPECT_THAT(asked.headers.at("authorization"),
              AllOf(StartsWith("AWS4-HMAC-SHA256 Credential=ID0/"), HasSubstr("/eu-west-1/s3/"),
                    Not(HasSubstr("SECRET0"))));
  EXPECT_EQ(asked.headers.at("x-amz-content-sha256"), kEmptySha256);
}

TEST_F(S3Source, AsksWithoutASignatureWhereThereAreNoCredentials) {
  EXPECT_FALSE(asked_for("s3://bucket").headers.contains("authorization"));
}

TEST_F(S3Source, PrefersTheRegionOfTheJob) {
  write_profiles(kProfiles, kConfig);

  EXPECT_THAT(asked_for("s3://b", {.region = "mars-1"}).headers.at("authorization"),
              HasSubstr("/mars-1/s3/"));
}

TEST_F(S3Source, RefusesPlacesThatAreNone) {
  for (const char* place : {"s3://", "s3:///x", "s3://a b/c", "s3://me@host/c"}) {
    EXPECT_EQ(open_s3(place, {}, {}, environment()).status().code(), Code::kInvalidInput) << place;
  }
  const auto endpoint = open_s3("s3://b", {.endpoint = "minio:9000"}, {}, environment());
  EXPECT_THAT(endpoint.status().to_string(), HasSubstr("data.s3.endpoint = \"minio:9000\""));
}

TEST_F(S3Source, SaysWhatARefusalMeans) {
  write_profiles(kProfiles, kConfig);

  const auto [code, word, advice] = std::tuple(403, "SignatureDoesNotMatch", "credentials right");
  const Status status = refusal(xml(code, word));
  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(),
              AllOf(HasSubstr("size of s3://bucket/train/manifest: HTTP 403 SignatureDoesNotMatch: "
                              "It is <so>."),
                    HasSubstr(advice)));
  EXPECT_THAT(refusal(xml(400, "ExpiredToken")).to_string(), HasSubstr("have expired"));
  EXPECT_THAT(refusal(xml(403, "RequestTimeTooSkewed")).to_string(), HasSubstr("the clock of"));
  EXPECT_THAT(refusal(xml(403, "AccessDenied")).to_string(), HasSubstr("may these credentials"));
  EXPECT_THAT(refusal(xml(301, "PermanentRedirect", "<Endpoint>b.eu</Endpoint>")).to_string(),
              AllOf(HasSubstr("data.s3.region"), HasSubstr("it is at b.eu")));
  EXPECT_EQ(refusal(xml(404, "NoSuchBucket")).code(), Code::kNotFound);
  EXPECT_EQ(refusal(xml(404, "NoSuchKey")).code(), Code::kNotFound);
}

TEST_F(S3Source, SaysThatNoCredentialsWereFound) {
  EXPECT_THAT(refusal(xml(403, "AccessDenied")).to_string(),
              HasSubstr("no credentials were found"));
}

TEST_F(S3Source, TriesAgainWhatS3CallsPassing) {
  for (const HttpAnswer& answer :
       {xml(503, "SlowDown"), xml(500, "InternalError"), xml(400, "RequestTimeout")}) {
    const Status status = refusal(answer);
    EXPECT_EQ(status.code(), Code::kUnavailable) << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr("is the server up"));
  }
}

}  // namespace
}  // namespace ballast
