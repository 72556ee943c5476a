// What an HttpSource can be told: how long it waits, how it reaches the server, and what the server
// speaks beyond plain http (S3 signs its requests and explains its refusals). Values.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/status.h"
#include "common/base/time.h"

namespace ballast {

struct HttpLimits {
  Duration connect = 5s;
  Duration stall = 5s;  // of one attempt, without any byte
  // Of one read, all attempts together, from its begin or since it last got on: by kProgressBytes
  // more than ever. So a narrow link ends no read, and a server that trickles or always breaks off
  // at the same place does.
  Duration deadline = 120s;
  Duration pause_most = 8s;  // between two attempts, unless the server asks for more
  uint32_t reads_most = 64;  // at a time
};

// In 120 s: 137 B/s. Eight reads at a time get that from a link of 1.1 kB/s.
inline constexpr uint64_t kProgressBytes = 16u << 10;

struct HttpAccess {
  std::string ca_file = {};  // certificates to trust, PEM; empty: those of the system
  std::string proxy = {};    // "http://host:port"; empty: none, whatever the environment says
  // A read ends so long after its begin while no connection was ever made: its server's name is
  // unknown, or the address is nobody's. Nothing: at the deadline of every read.
  std::optional<Duration> first_contact = {};
};

// What one attempt came to.
struct HttpVerdict {
  Status status = {};       // OK: all bytes are there
  bool may_pass = false;    // with time
  bool overloaded = false;  // the server, or the way to it: read less at a time
  bool fresh = false;       // not on this connection again
  bool unreached = false;   // nobody was there to ask
  Duration wait = 0s;       // the server asks for this long a pause
};

struct HttpDialect {
  // How messages name the place; empty: by its url.
  std::string name;
  // Header lines for a GET of `url`; asked for each attempt, because they carry the time.
  std::function<std::vector<std::string>(const std::string& url)> headers;
  // What an answer that is no data means; nullopt: what http says. `at`: what was tried.
  std::function<std::optional<HttpVerdict>(const std::string& at, long answer,
                                           std::string_view text)>
      explain;
  bool follows = true;  // redirections; a signature is good for one address only
};

struct HttpCounters {
  uint64_t requests = 0;
  uint64_t retries = 0;
  uint64_t hedges = 0;
  uint64_t hedges_won = 0;
  uint64_t connections = 0;
  uint64_t bytes = 0;  // delivered
};

}  // namespace ballast
