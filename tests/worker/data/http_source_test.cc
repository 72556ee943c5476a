// What an HttpSource does beyond the contract of a Source: with servers that are slow, broken, busy
// or of another kind.
#include "worker/data/source/http_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <ctime>
#include <future>
#include <latch>

#include "common/base/log.h"
#include "tests/support/http_server.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

const std::string kWhole = [] {
  std::string whole(100'000, '\0');
  for (size_t i = 0; i < whole.size(); ++i) whole[i] = static_cast<char>(i * 31 >> 3);
  return whole;
}();

std::unique_ptr<HttpSource> open(const HttpServer& server, const HttpLimits& limits = {}) {
  return HttpSource::open(server.url(), {}, {}, limits).value();
}

Status read(Source& source, uint64_t offset, std::string& into) {
  return source.read_now("object", offset, std::as_writable_bytes(std::span(into)));
}

// Some bytes from the middle are right.
testing::AssertionResult reads_right(Source& source) {
  std::string bytes(5000, '\0');
  const Status status = read(source, 777, bytes);
  if (!status.ok()) return testing::AssertionFailure() << status.to_string();
  return bytes == kWhole.substr(777, bytes.size()) ? testing::AssertionSuccess()
                                                   : testing::AssertionFailure() << "other bytes";
}

Status failure_of(Source& source, uint64_t offset = 777) {
  std::string bytes(5000, '\0');
  return read(source, offset, bytes);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The first answers are these, one each; then the object.
HttpServer::Handler after(std::vector<HttpAnswer> first) {
  return [first = std::move(first)](const HttpAsked& asked) {
    return asked.number < first.size() ? first[asked.number] : answer_with(asked, kWhole);
  };
}

TEST(HttpSource, TriesAgainWhatMayPass) {
  for (const HttpAnswer& trouble :
       {HttpAnswer{.code = 503, .body = "slow down"}, HttpAnswer{.code = 500},
        HttpAnswer{.code = 429}, HttpAnswer{.code = 408},
        HttpAnswer{.code = 206, .body = std::string(5000, 'x'), .sent = 2000}}) {
    HttpServer server(after({trouble}));
    const auto source = open(server);

    EXPECT_TRUE(reads_right(*source)) << trouble.code;
    EXPECT_EQ(source->counters().retries, 1u);
    EXPECT_EQ(server.requests(), 2u);
  }
}

TEST(HttpSource, DoesNotTryAgainWhatStays) {
  for (const auto& [code, expected] : {std::pair{404, Code::kNotFound},
                                       {410, Code::kNotFound},
                                       {403, Code::kInvalidInput},
                                       {400, Code::kInvalidInput},
                                       {501, Code::kInvalidInput},
                                       {416, Code::kDataLoss}}) {
    HttpServer server(after({{.code = code, .body = "no\nnever"}}));
    const auto source = open(server);

    const Status status = failure_of(*source);

    EXPECT_EQ(status.code(), expected) << status.to_string();
    EXPECT_THAT(status.to_string(), HasSubstr(server.url() + "/object at byte 777"));
    EXPECT_EQ(server.requests(), 1u);
  }
}

TEST(HttpSource, KeepsItsConnections) {
  HttpServer server(after({{.code = 503}, {.code = 503}}));
  const auto source = open(server);

  for (int i = 0; i < 30; ++i) ASSERT_TRUE(reads_right(*source));

  EXPECT_EQ(server.connections(), 1u);
  EXPECT_EQ(source->counters().connections, 1u);
}

TEST(HttpSource, TakesANewConnectionAfterOneThatBroke) {
  HttpServer server(
      after({{.code = 206, .body = std::string(5000, 'x'), .sent = 1, .hangs = true}}));
  const auto source = open(server, {.stall = 1s});

  EXPECT_TRUE(reads_right(*source));
  EXPECT_EQ(server.connections(), 2u);
}

TEST(HttpSource, EndsAtItsDeadlineWithAllThereIsToSay) {
  for (const HttpAnswer& trouble :
       {HttpAnswer{.silent = true},
        HttpAnswer{.code = 206, .body = std::string(5000, 'x'), .sent = 1, .hangs = true},
        HttpAnswer{.code = 503, .body = "slow down"}}) {
    HttpServer server([&](const HttpAsked&) { return trouble; });
    // The stall is longer than the deadline: that alone has to end a silent attempt.
    const auto source = open(server, {.stall = 60s, .deadline = 1s});

    const auto start = std::chrono::steady_clock::now();
    const Status status = failure_of(*source);

    EXPECT_LT(seconds_since(start), 3);
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_THAT(status.to_string(), AllOf(HasSubstr(server.url() + "/object at byte 777"),
                                          HasSubstr("attempt"), HasSubstr("is the server up")));
  }
}

TEST(HttpSource, EndsReadsThatWaitForTheirTurnBehindASilentServer) {
  constexpr int kReads = 300;
  HttpServer server([](const HttpAsked&) { return HttpAnswer{.silent = true}; });
  const auto source = open(server, {.deadline = 1s, .reads_most = 4});

  const auto start = std::chrono::steady_clock::now();
  std::vector<std::string> bytes(kReads, std::string(10, '\0'));
  std::latch all(kReads);
  for (std::string& each : bytes) {
    source->read("object", 0, std::as_writable_bytes(std::span(each)), [&](const Status& status) {
      EXPECT_EQ(status.code(), Code::kUnavailable);
      all.count_down();
    });
  }
  all.wait();

  EXPECT_LT(seconds_since(start), 5);
}

TEST(HttpSource, GivesUpSoonerOnAnAddressThatWasNeverConnectedTo) {
  std::string url;
  { url = HttpServer(after({})).url(); }  // nobody listens there any more
  const HttpAccess access{.first_contact = 500ms};
  for (const std::string& nowhere : {url, std::string("http://no-such-host.invalid")}) {
    const auto source = HttpSource::open(nowhere, access).value();

    const auto start = std::chrono::steady_clock::now();
    const Status status = failure_of(*source);

    EXPECT_LT(seconds_since(start), 10) << nowhere;
    EXPECT_EQ(status.code(), Code::kUnavailable);
    EXPECT_THAT(status.to_string(), HasSubstr("is the server up, and the address right?"));
  }
}

TEST(HttpSource, KeepsItsDeadlineForAServerThatHasAnswered) {
  HttpServer server(after({{.code = 503}, {.code = 503}, {.code = 503}, {.code = 503}}));
  const auto source = HttpSource::open(server.url(), {.first_contact = 1ms}).value();

  EXPECT_TRUE(reads_right(*source));
}

TEST(HttpSource, SaysAfterThreeSecondsWhomItWaitsFor) {
  ASSERT_TRUE(log::open("", "test", log::Level::kWarning).ok());
  HttpServer server([](const HttpAsked&) { return HttpAnswer{.silent = true}; });
  const auto source = open(server, {.stall = 60s, .deadline = 4s});

  EXPECT_EQ(failure_of(*source).code(), Code::kUnavailable);

  EXPECT_THAT(log::tail(), testing::ContainsRegex("read " + server.url() +
                                                  "/object at byte 777: no answer yet: 1 attempt "
                                                  "in [34] s, given up after 4 s"));
  log::close();
}

TEST(HttpSource, NamesAServerThatIsNotThere) {
  std::string url;
  { url = HttpServer(after({})).url(); }  // nobody listens there any more
  const auto source = HttpSource::open(url, {}, {}, {.deadline = 500ms}).value();

  const Status status = failure_of(*source);

  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.to_string(), AllOf(HasSubstr(url), HasSubstr("onnect"), HasSubstr("in 0 s")));
}

TEST(HttpSource, RefusesAServerWithoutRanges) {
  HttpServer server([](const HttpAsked&) { return HttpAnswer{.body = kWhole}; });
  const auto source = open(server);

  for (uint64_t offset : {0u, 777u, 99'000u}) {
    std::string bytes(1000, '\0');
    const Status status = read(*source, offset, bytes);
    EXPECT_EQ(status.code(), Code::kInvalidInput);
    EXPECT_THAT(status.to_string(), HasSubstr("the server does not read ranges"));
  }
  EXPECT_EQ(source->size_of("object").value(), kWhole.size());
  std::string whole(kWhole.size(), '\0');
  EXPECT_TRUE(read(*source, 0, whole).ok());  // all of it is the same with and without ranges
}

TEST(HttpSource, ChecksThatTheRangeIsTheOneAskedFor) {
  HttpServer server(after({{.code = 206,
                            .headers = {"Content-Range: bytes 0-4999/100000"},
                            .body = kWhole.substr(0, 5000)}}));
  const auto source = open(server);

  EXPECT_TRUE(reads_right(*source));
  EXPECT_EQ(source->counters().retries, 1u);
}

TEST(HttpSource, SeesThatAnObjectWasReplaced) {
  std::atomic<int> version = 1;
  HttpServer server([&](const HttpAsked& asked) {
    return answer_with(asked, kWhole, version == 1 ? "\"one\"" : "\"two\"");
  });
  const auto source = open(server);
  ASSERT_TRUE(reads_right(*source));

  version = 2;
  const Status status = failure_of(*source);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.to_string(), HasSubstr("replaced while it was being read"));
}

TEST(HttpSource, SeesBySizeThatAnObjectWithoutETagWasReplaced) {
  HttpServer server([&](const HttpAsked& asked) {
    HttpAnswer answer = answer_with(asked, asked.number == 0 ? kWhole : kWhole + "more");
    std::erase_if(answer.headers, [](const std::string& line) { return line.starts_with("ETag"); });
    return answer;
  });
  const auto source = open(server);
  ASSERT_TRUE(reads_right(*source));

  const Status status = failure_of(*source);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.to_string(), HasSubstr("100000 bytes expected, 100004 found"));
}

TEST(HttpSource, WaitsAsLongAsTheServerAsks) {
  HttpServer server(after({{.code = 503, .headers = {"Retry-After: 1"}}}));
  const auto source = open(server);

  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(reads_right(*source));

  EXPECT_GE(seconds_since(start), 1);
}

TEST(HttpSource, AsksAgainWithinItsDeadlineWhenTheServerAsksForAPauseBehindIt) {
  HttpServer server(after({{.code = 503, .headers = {"Retry-After: 9999999999"}}}));
  const auto source = open(server, {.deadline = 600ms});

  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(reads_right(*source));

  EXPECT_GE(seconds_since(start), 0.25);  // half of the deadline
  EXPECT_LT(seconds_since(start), 3);
}

TEST(HttpSource, SaysThatTheServerAskedForAPauseBehindTheDeadline) {
  HttpServer server([](const HttpAsked&) {
    return HttpAnswer{.code = 503, .headers = {"Retry-After: 120"}, .body = "slow down"};
  });
  const auto source = open(server, {.deadline = 600ms});

  const auto start = std::chrono::steady_clock::now();
  const Status status = failure_of(*source);

  EXPECT_GE(seconds_since(start), 0.25);
  EXPECT_LT(seconds_since(start), 3);
  EXPECT_GT(server.requests(), 1u);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(
      status.to_string(),
      AllOf(HasSubstr("slow down"), HasSubstr("the server asks for a pause of 120 s"),
            HasSubstr("the server has too much to do"), Not(HasSubstr("is the server up"))));
}

// The whole object in pieces, one in 50 ms.
HttpServer::Handler in_pieces(size_t piece) {
  return [piece](const HttpAsked& asked) {
    HttpAnswer answer = answer_with(asked, kWhole);
    answer.piece = piece;
    answer.piece_pause = 50ms;
    return answer;
  };
}

TEST(HttpSource, EndsNoReadThatGetsOn) {
  HttpServer server(in_pieces(5'000));  // a second in all
  const auto source = open(server, {.deadline = 500ms});

  std::string whole(kWhole.size(), '\0');
  const Status status = read(*source, 0, whole);

  EXPECT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(whole, kWhole);
  EXPECT_EQ(server.requests(), 1u);
}

TEST(HttpSource, EndsNoReadThatWaitsForItsTurnBehindOneThatGetsOn) {
  HttpServer server(in_pieces(5'000));
  const auto source = open(server, {.deadline = 500ms, .reads_most = 1});

  std::vector<std::string> whole(2, std::string(kWhole.size(), '\0'));
  std::latch both(2);
  for (std::string& each : whole) {
    source->read("object", 0, std::as_writable_bytes(std::span(each)), [&](const Status& status) {
      EXPECT_TRUE(status.ok()) << status.to_string();
      both.count_down();
    });
  }
  both.wait();

  EXPECT_EQ(whole[0], kWhole);
  EXPECT_EQ(whole[1], kWhole);
}

TEST(HttpSource, EndsAReadThatTrickles) {
  HttpServer server(in_pieces(1));
  const auto source = open(server, {.deadline = 500ms});

  const auto start = std::chrono::steady_clock::now();
  const Status status = failure_of(*source);

  EXPECT_LT(seconds_since(start), 3);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.to_string(), HasSubstr("of 5000 bytes came, and hardly one more for"));
}

// Each attempt gets on for as long as it lasts, and none further than the one before.
TEST(HttpSource, EndsAReadThatAlwaysBreaksOffAtTheSamePlace) {
  const auto pieces = in_pieces(20'000);
  HttpServer server([&](const HttpAsked& asked) {
    HttpAnswer answer = pieces(asked);
    answer.sent = 60'000;
    return answer;
  });
  const auto source = open(server, {.deadline = 500ms});

  std::string whole(kWhole.size(), '\0');
  const auto start = std::chrono::steady_clock::now();
  const Status status = read(*source, 0, whole);

  EXPECT_LT(seconds_since(start), 5);
  EXPECT_EQ(status.code(), Code::kUnavailable);
  EXPECT_THAT(status.to_string(), HasSubstr("attempts in"));
}

TEST(HttpSource, FollowsToAnotherServer) {
  HttpServer other(after({}));
  HttpServer server([&](const HttpAsked& asked) {
    return HttpAnswer{.code = 307, .headers = {"Location: " + other.url() + asked.path}};
  });
  const auto source = open(server);

  EXPECT_TRUE(reads_right(*source));
  EXPECT_EQ(other.requests(), 1u);
}

TEST(HttpSource, EndsARingOfRedirections) {
  HttpServer server([&](const HttpAsked& asked) {
    return HttpAnswer{.code = 307, .headers = {"Location: " + asked.path}};
  });
  const auto source = open(server);

  EXPECT_FALSE(failure_of(*source).ok());
  EXPECT_LT(server.requests(), 10u);
}

TEST(HttpSource, AsksASecondTimeForWhatIsSlow) {
  HttpServer server([](const HttpAsked& asked) {
    HttpAnswer answer = answer_with(asked, kWhole);
    if (asked.number == 60) answer.pause = 20s;
    return answer;
  });
  const auto source = open(server, {.stall = 60s});

  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 61; ++i) ASSERT_TRUE(reads_right(*source));

  EXPECT_LT(seconds_since(start), 10);
  EXPECT_EQ(source->counters().hedges_won, 1u);
  EXPECT_EQ(server.requests(), 62u);
}

TEST(HttpSource, StaysWithinWhatHedgingMayCost) {
  HttpServer server([](const HttpAsked& asked) {
    HttpAnswer answer = answer_with(asked, kWhole);
    if (asked.number % 2 == 1 && asked.number > 40) answer.pause = 60ms;
    return answer;
  });
  const auto source = open(server);

  for (int i = 0; i < 80; ++i) ASSERT_TRUE(reads_right(*source));

  EXPECT_GT(source->counters().hedges, 0u);
  EXPECT_LE(source->counters().hedges, 4u);  // 5 % of 80
}

// Also while a read is slow, and while a second one for it would cost too much.
TEST(HttpSource, SleepsWhileItWaits) {
  HttpServer server([](const HttpAsked& asked) {
    HttpAnswer answer = answer_with(asked, kWhole);
    if (asked.number >= 25) answer.pause = 1s;
    return answer;
  });
  const auto source = open(server);
  for (int i = 0; i < 25; ++i) ASSERT_TRUE(reads_right(*source));
  std::string large(90'000, '\0');  // more than 5 % of what was read

  const clock_t before = std::clock();
  ASSERT_TRUE(read(*source, 0, large).ok());
  const double spent = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;

  EXPECT_LT(spent, 0.015);  // a poll a millisecond takes several times that
}

TEST(HttpSource, RefusesAddressesThatHoldSecrets) {
  const auto user = HttpSource::open("https://me:hush@host/data");
  const auto query = HttpSource::open("https://host/data?sig=hush");
  const auto nothing = HttpSource::open("http:///data");

  ASSERT_FALSE(user.ok());
  ASSERT_FALSE(query.ok());
  ASSERT_FALSE(nothing.ok());
  EXPECT_EQ(user.status().code(), Code::kInvalidInput);
  EXPECT_THAT(user.status().to_string(), AllOf(HasSubstr("host host"), Not(HasSubstr("hush"))));
  EXPECT_THAT(query.status().to_string(),
              AllOf(HasSubstr("https://host/data"), Not(HasSubstr("hush"))));
  EXPECT_THAT(nothing.status().to_string(), HasSubstr("it names no host"));
}

TEST(HttpSource, TakesNoProxyFromTheEnvironment) {
  ::setenv("http_proxy", "http://127.0.0.1:1", 1);
  ::setenv("all_proxy", "http://127.0.0.1:1", 1);
  HttpServer server(after({}));

  EXPECT_TRUE(reads_right(*open(server)));

  ::unsetenv("http_proxy");
  ::unsetenv("all_proxy");
}

TEST(HttpSource, ReadsThroughTheProxyItIsGiven) {
  std::string path;
  HttpServer proxy([&](const HttpAsked& asked) {
    path = asked.path;
    return answer_with(asked, kWhole);
  });
  const auto source =
      HttpSource::open("http://nowhere.invalid/data", {.proxy = proxy.url()}).value();

  EXPECT_TRUE(reads_right(*source));
  EXPECT_EQ(path, "http://nowhere.invalid/data/object");
}

TEST(HttpSource, SaysWhichFileOfCertificatesItCannotRead) {
  HttpServer server(after({}));
  const std::string url = "https" + server.url().substr(4);
  const auto source = HttpSource::open(url, {.ca_file = "/nowhere/ca.pem"}).value();

  const Status status = failure_of(*source);

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(), AllOf(HasSubstr("/nowhere/ca.pem"), HasSubstr("data.ca_file")));
}

}  // namespace
}  // namespace ballast
