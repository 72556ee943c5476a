// One small question over http, answered as text, for services beside the data: nothing is tried
// again, followed or sent through a proxy. Blocks; any thread.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/base/time.h"

namespace ballast {

struct TextRequest {
  std::string method = "GET";
  std::string url = {};
  std::vector<std::string> headers = {};  // "name: value"
  Duration timeout = 1s;                  // of all of it
  std::stop_token stop = {};
};

struct TextAnswer {
  long code = 0;
  std::string text = {};
};

// kUnavailable: no answer in that time, or more text than 64 KiB; the message holds no text of it.
// kStopped.
Result<TextAnswer> ask_text(const TextRequest& request);

}  // namespace ballast
