#include "common/net/endpoint.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

namespace ballast {
namespace {

using ::testing::HasSubstr;

TEST(Endpoint, TcpAndIpcArePassed) {
  for (const char* endpoint : {"tcp://127.0.0.1:0", "tcp://host.example:5555", "tcp://*:*",
                               "tcp://[::1]:65535", "ipc://shard-0.sock", "ipc:///tmp/x/y.sock"}) {
    EXPECT_TRUE(check_endpoint(endpoint).ok()) << endpoint;
  }
}

TEST(Endpoint, NonsenseIsNamed) {
  for (const char* endpoint : {"", "tcp", "udp://127.0.0.1:1", "tcp://127.0.0.1", "tcp://:5",
                               "tcp://127.0.0.1:", "tcp://127.0.0.1:65536", "tcp://127.0.0.1:-1",
                               "tcp://127.0.0.1:99999999999", "tcp://127.0.0.1:http", "ipc://"}) {
    const Status status = check_endpoint(endpoint);
    EXPECT_EQ(status.code(), Code::kInvalidInput) << endpoint;
    EXPECT_THAT(status.to_string(), HasSubstr(fmt::format("\"{}\"", endpoint)));
  }
}

TEST(Endpoint, AnIpcPathMayHave107Bytes) {
  EXPECT_TRUE(check_endpoint("ipc://" + std::string(107, 'x')).ok());

  const Status status = check_endpoint("ipc://" + std::string(108, 'x'));

  EXPECT_EQ(status.code(), Code::kInvalidInput);
  EXPECT_THAT(status.to_string(), HasSubstr("path has 108 bytes, a unix socket holds at most 107"));
}

TEST(Endpoint, WhatTheUserCanChangeIsInvalidInput) {
  for (int error : {EADDRINUSE, EADDRNOTAVAIL, EACCES, EPERM, ENOENT, ENOTDIR}) {
    EXPECT_EQ(bind_error("tcp://h:1", error).code(), Code::kInvalidInput) << error;
  }
  EXPECT_EQ(bind_error("tcp://h:1", EMFILE).code(), Code::kExhausted);
  EXPECT_EQ(bind_error("tcp://h:1", ENOMEM).code(), Code::kUnavailable);
}

TEST(Endpoint, BindErrorsSayWhatToDo) {
  EXPECT_THAT(bind_error("tcp://h:1", EADDRINUSE).to_string(),
              HasSubstr("cannot listen on tcp://h:1: in use by another process; stop it, or "
                        "choose another port"));
  EXPECT_THAT(bind_error("ipc://x/y", EACCES).to_string(), HasSubstr("folder that you may write"));
}

}  // namespace
}  // namespace ballast
