// The key table for people: `ballast-tool keys`. Pure; any thread.
#pragma once

#include <string>

namespace ballast {

// Every key with its type, range, unit, default and meaning, one paragraph a key.
[[nodiscard]] std::string key_reference();

// The same as a job file that parses: every key with a comment and its default; keys that would
// need another `kind` than the default are commented out. launch/examples/reference.toml is this
// text.
[[nodiscard]] std::string reference_toml();

}  // namespace ballast
