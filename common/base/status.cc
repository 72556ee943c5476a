#include "common/base/status.h"

namespace ballast {

std::string_view code_name(Code code) {
  switch (code) {
    case Code::kOk:
      return "ok";
    case Code::kInvalidInput:
      return "invalid input";
    case Code::kNotFound:
      return "not found";
    case Code::kDataLoss:
      return "data loss";
    case Code::kUnavailable:
      return "unavailable";
    case Code::kDeadline:
      return "deadline";
    case Code::kExhausted:
      return "exhausted";
    case Code::kConflict:
      return "conflict";
    case Code::kStopped:
      return "stopped";
    case Code::kInternal:
      return "internal";
    case Code::kDiverged:
      return "diverged";
  }
  return "unknown";
}

Status Status::because(std::string context) && {
  BALLAST_CHECK(!ok());
  chain_.push_back(std::move(context));
  return std::move(*this);
}

Status Status::because(std::string context) const& {
  Status copy = *this;
  return std::move(copy).because(std::move(context));
}

std::string Status::to_string() const {
  if (ok()) return "ok";
  std::string text;
  for (const std::string& line : chain_) {
    if (!text.empty()) text += "; ";
    text += line;
  }
  return text;
}

int exit_code(const Status& status) {
  switch (status.code()) {
    case Code::kOk:
      return 0;
    case Code::kInternal:
      return 1;
    case Code::kInvalidInput:
    case Code::kNotFound:
    case Code::kDataLoss:
      return 2;
    case Code::kStopped:
      return 75;
    default:
      return 3;
  }
}

}  // namespace ballast
