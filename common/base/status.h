// Status and Result: how every failure that comes from outside (a peer, a disk, a user, memory) is
// reported. Our own bugs are BALLAST_CHECK (check.h). Pure values; any thread.
//
// A message says what was attempted, on which thing (ids), what was expected and found, and what to
// do; lower case, no full stop, greppable. Each layer that knows more adds one line with because().
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace ballast {

// Chosen by what the caller does next, not by where it happened.
enum class Code {
  kOk,
  kInvalidInput,  // the user must change something; never retry (exit code 2)
  kNotFound,      // the thing named does not exist
  kDataLoss,      // stored bytes are not what was stored (hash, truncation); never retry
  kUnavailable,   // a peer or a device is away; a retry may help
  kDeadline,      // waited as long as allowed; the message says for whom and why
  kExhausted,     // a limit is full: disk, memory, queue, file descriptors
  kConflict,      // the state does not allow it: fenced, wrong epoch, already taken
  kStopped,       // stopped on request
  kInternal,      // a bug of ours that was caught before it did harm
  kDiverged,      // training left the finite numbers: a loss or gradient is NaN or infinite
};

[[nodiscard]] std::string_view code_name(Code code);

class [[nodiscard]] Status {
 public:
  Status() = default;  // ok
  Status(Code code, std::string message) : code_(code) {
    BALLAST_CHECK(code != Code::kOk);
    chain_.push_back(std::move(message));
  }

  [[nodiscard]] bool ok() const { return code_ == Code::kOk; }
  [[nodiscard]] Code code() const { return code_; }

  // Adds what the caller knows: "while loading epoch 3 on worker 2".
  Status because(std::string context) &&;
  Status because(std::string context) const&;

  // The innermost message first, then one context a layer. Empty when ok.
  [[nodiscard]] const std::vector<std::string>& chain() const { return chain_; }
  // All lines joined by "; ", or "ok".
  [[nodiscard]] std::string to_string() const;

 private:
  Code code_ = Code::kOk;
  std::vector<std::string> chain_;
};

// Exit codes of every process: 0 done, 1 our bug, 2 bad input (what was given, damaged bytes among
// it: the same start again ends the same, whenever it was noticed), 3 failed while running, 75
// stopped on request with a checkpoint written.
[[nodiscard]] int exit_code(const Status& status);

// A value or the reason why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}  // NOLINT: implicit on purpose, as is the next
  Result(Status status) : status_(std::move(status)) { BALLAST_CHECK(!status_.ok()); }

  [[nodiscard]] bool ok() const { return value_.has_value(); }
  [[nodiscard]] const Status& status() const { return status_; }

  [[nodiscard]] T& value() & { return checked(); }
  [[nodiscard]] const T& value() const& { return const_cast<Result*>(this)->checked(); }
  [[nodiscard]] T&& value() && { return std::move(checked()); }
  T& operator*() { return checked(); }
  const T& operator*() const { return value(); }
  T* operator->() { return &checked(); }
  const T* operator->() const { return &value(); }

 private:
  T& checked() {
    BALLAST_CHECK_MSG(value_.has_value(), status_.to_string());
    return *value_;
  }

  std::optional<T> value_;
  Status status_;
};

}  // namespace ballast

// Returns the status of `expression` from the enclosing function unless it is ok.
#define BALLAST_RETURN_IF_ERROR(expression)                                      \
  do {                                                                           \
    if (::ballast::Status status_ = (expression); !status_.ok()) return status_; \
  } while (false)

#define BALLAST_JOIN_INNER(a, b) a##b
#define BALLAST_JOIN(a, b) BALLAST_JOIN_INNER(a, b)

// BALLAST_ASSIGN(auto rows, reader.rows(3)): declares `rows`, or returns why it could not.
#define BALLAST_ASSIGN(declaration, expression)                                               \
  auto BALLAST_JOIN(result_, __LINE__) = (expression);                                        \
  if (!BALLAST_JOIN(result_, __LINE__).ok()) return BALLAST_JOIN(result_, __LINE__).status(); \
  declaration = std::move(BALLAST_JOIN(result_, __LINE__)).value()
