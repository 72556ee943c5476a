// The credentials of a machine's role, from a metadata service on this machine.
#include "worker/data/source/instance_role.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <ctime>
#include <mutex>

#include "tests/support/http_server.h"
#include "worker/data/source/s3_source.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

// "2026-01-31T12:00:00Z", from now.
std::string end_in(std::chrono::seconds seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}",
                     fmt::gmtime(std::time(nullptr) + static_cast<time_t>(seconds.count())));
}

class InstanceRoleTest : public testing::Test {
 protected:
  static std::string granted(int number, std::chrono::seconds lasts) {
    return fmt::format(R"({{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": "ID{}",
        "SecretAccessKey": "SECRET{}", "Token": "SESSION{}", "Expiration": "{}"}})",
                       number, number, number, end_in(lasts));
  }
  // What a role of these credentials answers, with the token asked for.
  HttpAnswer answer(const HttpAsked& asked, const std::string& credentials) {
    {
      const std::scoped_lock lock(mutex_);
      seen_.push_back(asked.method + " " + asked.path);
    }
    if (asked.method == "PUT" && asked.path == "/latest/api/token") {
      EXPECT_TRUE(asked.headers.contains("x-aws-ec2-metadata-token-ttl-seconds"));
      return {.body = "TOKEN\n"};
    }
    const auto token = asked.headers.find("x-aws-ec2-metadata-token");
    if (token == asked.headers.end() || token->second != "TOKEN") return {.code = 401};
    if (asked.path == "/latest/meta-data/placement/region") return {.body = "eu-north-1"};
    constexpr std::string_view kRoles = "/latest/meta-data/iam/security-credentials/";
    if (asked.path == kRoles) return {.body = "reader@lab\n"};
    if (asked.path == std::string(kRoles) + "reader%40lab") return {.body = credentials};
    return {.code = 404};
  }
  static Result<std::unique_ptr<InstanceRole>> find_at(const HttpServer& server,
                                                       InstanceRoleSettings settings = {}) {
    settings.endpoint = server.url();
    return InstanceRole::find(settings);
  }
  static Environment environment(std::map<std::string, std::string> variables) {
    return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
      const auto found = variables.find(name);
      return found == variables.end() ? std::nullopt : std::optional(found->second);
    };
  }

  std::mutex mutex_;  // guards seen_
  std::vector<std::string> seen_;
};

TEST_F(InstanceRoleTest, AsksForATokenTheRoleAndItsCredentials) {
  HttpServer server(
      [this](const HttpAsked& asked) { return answer(asked, granted(1, std::chrono::hours(6))); });

  const auto role = find_at(server).value();

  ASSERT_NE(role, nullptr);
  EXPECT_EQ(role->credentials().key_id, "ID1");
  EXPECT_EQ(role->credentials().secret, "SECRET1");
  EXPECT_EQ(role->credentials().token, "SESSION1");
  EXPECT_EQ(role->region(), "eu-north-1");
  EXPECT_THAT(
      seen_, ElementsAre("PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/",
                         "GET /latest/meta-data/iam/security-credentials/reader%40lab",
                         "GET /latest/meta-data/placement/region"));
}

TEST_F(InstanceRoleTest, RenewsBeforeTheEndAndTriesAgainWhatFails) {
  std::atomic<int> rounds = 0;
  HttpServer server([&](const HttpAsked& asked) {
    if (asked.method == "PUT") ++rounds;
    if (rounds == 2) return HttpAnswer{.code = 500};
    // The first would be good for four minutes: less than renew_before.
    return answer(
        asked, granted(rounds, rounds == 1 ? std::chrono::minutes(4) : std::chrono::minutes(600)));
  });
  const auto role = find_at(server, {.retry = 10ms}).value();
  ASSERT_NE(role, nullptr);

  const Time deadline = monotonic_now() + 10s;
  while (role->credentials().key_id != "ID3" && monotonic_now() < deadline) {
    std::this_thread::yield();
  }

  EXPECT_EQ(role->credentials().key_id, "ID3");
  EXPECT_EQ(role->credentials().token, "SESSION3");
  EXPECT_EQ(rounds, 3) << "and none before it is due again";
}

TEST_F(InstanceRoleTest, BearsAnEndThatNoClockReaches) {
  std::atomic<int> rounds = 0;
  HttpServer server([&](const HttpAsked& asked) {
    if (asked.path.ends_with("/reader%40lab")) ++rounds;
    return answer(asked,
                  R"({"AccessKeyId": "ID", "SecretAccessKey": "SECRET", "Token": "SESSION",
                      "Expiration": "9999-12-31T23:59:59Z"})");
  });
  const auto role = find_at(server, {.retry = 1ms}).value();
  ASSERT_NE(role, nullptr);

  std::this_thread::sleep_for(50ms);

  EXPECT_EQ(rounds, 1) << "renewed though it has not ended";
}

TEST_F(InstanceRoleTest, KeepsTheOldCredentialsWhileItCannotRenew) {
  std::atomic<int> rounds = 0;
  HttpServer server([&](const HttpAsked& asked) {
    if (asked.method == "PUT") ++rounds;
    return rounds == 1 ? answer(asked, granted(1, std::chrono::minutes(1)))
                       : HttpAnswer{.code = 404};
  });
  const auto role = find_at(server, {.retry = 1ms}).value();
  const Time deadline = monotonic_now() + 10s;
  while (rounds < 4 && monotonic_now() < deadline) std::this_thread::yield();

  EXPECT_EQ(role->credentials().key_id, "ID1");
}

TEST_F(InstanceRoleTest, EndsAtOnceWhileTheServiceHangs) {
  std::atomic<int> rounds = 0;
  HttpServer server([&](const HttpAsked& asked) {
    if (asked.method == "PUT" && ++rounds == 2) return HttpAnswer{.silent = true};
    return answer(asked, granted(1, std::chrono::minutes(1)));
  });
  auto role = find_at(server, {.timeout = 30s}).value();
  const Time deadline = monotonic_now() + 10s;
  while (rounds < 2 && monotonic_now() < deadline) std::this_thread::yield();

  const Time begun = monotonic_now();
  role.reset();

  EXPECT_LT(to_seconds(monotonic_now() - begun), 5);
}

TEST_F(InstanceRoleTest, FindsNoneWhereThereIsNoServiceOrNoRole) {
  for (const long code : {403, 404, 405}) {
    HttpServer none([&](const HttpAsked&) { return HttpAnswer{.code = static_cast<int>(code)}; });
    EXPECT_EQ(find_at(none).value(), nullptr) << code;
  }
  HttpServer no_role([&](const HttpAsked& asked) {
    return asked.method == "PUT" ? HttpAnswer{.body = "TOKEN"} : HttpAnswer{.code = 404};
  });
  EXPECT_EQ(find_at(no_role).value(), nullptr);
  HttpServer hangs([](const HttpAsked&) { return HttpAnswer{.silent = true}; });
  EXPECT_EQ(find_at(hangs, {.timeout = 50ms}).value(), nullptr);
  std::string gone;
  {
    HttpServer server([](const HttpAsked&) { return HttpAnswer(); });
    gone = server.url();
  }
  EXPECT_EQ(InstanceRole::find({.endpoint = gone}).value(), nullptr);
}

TEST_F(InstanceRoleTest, NamesWhatTheServiceShouldHaveAnsweredAndNoSecret) {
  const auto refusal = [this](const std::string& credentials) {
    HttpServer server([&](const HttpAsked& asked) { return answer(asked, credentials); });
    const auto role = find_at(server);
    EXPECT_EQ(role.status().code(), Code::kUnavailable);
    EXPECT_THAT(role.status().to_string(), Not(HasSubstr("SECRET")));
    return role.status().to_string();
  };
  EXPECT_THAT(refusal("<html>SECRET</html>"),
              AllOf(HasSubstr("credentials of this machine's role from http://127.0.0.1:"),
                    HasSubstr("security-credentials/reader%40lab: AccessKeyId, SecretAccessKey, "
                              "Token and Expiration expected, HTTP 200 found"),
                    HasSubstr("AWS_EC2_METADATA_DISABLED=true goes on without them")));
  EXPECT_THAT(refusal(R"({"Code": "AssumeRoleUnauthorizedAccess"})"),
              HasSubstr("HTTP 200 and Code AssumeRoleUnauthorizedAccess found"));
  EXPECT_THAT(refusal(R"({"AccessKeyId": "I", "SecretAccessKey": "SECRET", "Token": "T",
                          "Expiration": "tomorrow"})"),
              HasSubstr("Expiration expected"));
  EXPECT_THAT(refusal(""), HasSubstr("HTTP 200 found"));
  HttpServer broken([](const HttpAsked&) { return HttpAnswer{.code = 500}; });
  EXPECT_THAT(find_at(broken).status().to_string(), HasSubstr("a token expected, HTTP 500 found"));
  HttpServer rude([](const HttpAsked& asked) {
    return asked.method == "PUT" ? HttpAnswer{.body = "T"} : HttpAnswer{.code = 401};
  });
  EXPECT_THAT(find_at(rude).status().to_string(),
              HasSubstr("the name of a role expected, HTTP 401 found"));
}

TEST_F(InstanceRoleTest, IsToldByTheEnvironmentWhereToAskAndWhetherTo) {
  EXPECT_FALSE(
      InstanceRoleSettings::from(environment({{"AWS_EC2_METADATA_DISABLED", "True"}})).value());
  EXPECT_EQ(InstanceRoleSettings::from(environment({})).value()->endpoint,
            "http://169.254.169.254");
  EXPECT_EQ(InstanceRoleSettings::from(
                environment({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://[fd00:ec2::254]/"}}))
                .value()
                ->endpoint,
            "http://[fd00:ec2::254]");
  EXPECT_THAT(InstanceRoleSettings::from(
                  environment({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", "metadata:80"}}))
                  .status()
                  .to_string(),
              HasSubstr("AWS_EC2_METADATA_SERVICE_ENDPOINT = \"metadata:80\": http://host:port"));
}

TEST_F(InstanceRoleTest, SignsWhatAnS3SourceAsks) {
  HttpServer metadata(
      [this](const HttpAsked& asked) { return answer(asked, granted(7, std::chrono::hours(6))); });
  const auto asked_with = [&](std::map<std::string, std::string> variables) {
    HttpAsked seen;
    HttpServer store([&](const HttpAsked& asked) {
      seen = asked;
      return answer_with(asked, "0123456789");
    });
    variables["HOME"] = "/nowhere";
    const auto source =
        open_s3("s3://b", {.endpoint = store.url()}, {}, environment(variables)).value();
    EXPECT_EQ(source->size_of("manifest").value(), 10u);
    return seen.headers;
  };
  const std::string where = metadata.url();

  const auto signed_by_role = asked_with({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", where}});
  EXPECT_THAT(signed_by_role.at("authorization"),
              AllOf(HasSubstr("Credential=ID7/"), HasSubstr("/eu-north-1/s3/")));
  EXPECT_EQ(signed_by_role.at("x-amz-security-token"), "SESSION7");
  EXPECT_FALSE(asked_with({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", where},
                           {"AWS_EC2_METADATA_DISABLED", "true"}})
                   .contains("authorization"));
  seen_.clear();
  EXPECT_THAT(asked_with({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", where},
                          {"AWS_ACCESS_KEY_ID", "MINE"},
                          {"AWS_SECRET_ACCESS_KEY", "HUSH"}})
                  .at("authorization"),
              HasSubstr("Credential=MINE/"));
  EXPECT_FALSE(asked_with({}).contains("authorization")) << "not Amazon's store, and nothing said";
  EXPECT_FALSE(asked_with({{"AWS_EC2_METADATA_SERVICE_ENDPOINT", ""}}).contains("authorization"))
      << "set to nothing is not set";
  EXPECT_TRUE(seen_.empty()) << "the service was asked";
}

}  // namespace
}  // namespace ballast
