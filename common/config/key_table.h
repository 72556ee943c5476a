// The one table of keys: what a job file may hold. It drives the parser, its messages, the written
// config, the job hash, the key reference and the commented example, so that none of them can
// forget a key. Immutable after the first call; any thread.
#pragma once

#include <string_view>
#include <vector>

#include "common/config/key.h"

namespace ballast {

// In the order in which a job file is best read.
[[nodiscard]] const std::vector<Section>& key_table();
[[nodiscard]] const Section* find_section(std::string_view name);

}  // namespace ballast
