// One TOML value -> one KeyValue, or what is wrong with it. Pure; any thread.
#pragma once

#include <toml++/toml.h>

#include <string>

#include "common/base/status.h"
#include "common/config/key_table.h"

namespace ballast {

// kInvalidInput: the wrong type, outside the key's range or not one of its choices. `path` names
// the key in the message, as in "train.batch = 0 is out of range; allowed: 1 to 16777216 samples".
Result<KeyValue> key_value(const Key& key, const std::string& path, const toml::node& node);

// The value of `key=text` on a command line: TOML, but texts and choices need no quotes.
Result<KeyValue> key_value(const Key& key, const std::string& path, const std::string& text);

// "an integer", "a table".
[[nodiscard]] std::string describe_type(const toml::node& node);

}  // namespace ballast
