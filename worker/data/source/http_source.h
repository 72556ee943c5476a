// HttpSource: a data set below an http(s) address, read in ranges. One thread and libcurl's multi
// handle; connections are kept.
//
// What goes wrong on the way is tried again, on a new connection where the old one was slow or
// broke, after a random pause up to what an answer takes x 2^retries (full jitter) or the one the
// server asks for, until nothing has come for `deadline`: refused and broken connections,
// time-outs, short answers, 408, 429 and 5xx. Then it is one error that names server, object,
// attempts and the last cause; a read that gets on may take as long as its link makes it
// (http_settings.h). A read that takes longer than 3 s for that, or behind a server that gives
// nothing at all, says so in the log meanwhile. An address that was never connected to can be given
// up sooner (HttpAccess::first_contact). How many reads are under way at once follows the server:
// more while it answers, fewer when it has too much to do (429, 503, time-outs; read_pace.h). A
// read slower than 95 of 100 is asked for once more beside it, for up to 5 % more bytes, and the
// first to come counts. The first answer's ETag is sent with every later read of the object, so
// that an object that is replaced meanwhile is an error and not a mixture. Nothing is taken from
// the environment, no proxy either. Sources: research in DESIGN.md section 7; Dean and Barroso, The
// Tail at Scale (hedged requests).
#pragma once

#include <memory>
#include <string>
#include <thread>

#include "worker/data/source/http_settings.h"
#include "worker/data/source/source.h"

namespace ballast {

class HttpLoop;

class HttpSource final : public Source {
 public:
  // `url` without the object's name. Does not connect yet. kInvalidInput: an address with a user, a
  // query or a fragment. kExhausted: libcurl has no memory.
  static Result<std::unique_ptr<HttpSource>> open(std::string url, const HttpAccess& access = {},
                                                  HttpDialect dialect = {},
                                                  const HttpLimits& limits = {});
  ~HttpSource() override;

  void read(const std::string& object, uint64_t offset, std::span<std::byte> into,
            Done done) override;
  Result<uint64_t> size_of(const std::string& object) override;
  [[nodiscard]] bool is_remote() const override { return true; }
  [[nodiscard]] std::string name_of(const std::string& object) const override;
  [[nodiscard]] HttpCounters counters() const;

 private:
  HttpSource(std::string url, std::string name, std::unique_ptr<HttpLoop> loop);

  const std::string url_;
  const std::string name_;
  const std::unique_ptr<HttpLoop> loop_;
  std::jthread thread_;  // last: it uses what is above
};

}  // namespace ballast
