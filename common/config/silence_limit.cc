#include "common/config/silence_limit.h"

#include <fmt/format.h>

namespace ballast {

Status SilenceLimit::status(const Silence& silence, const std::string& silent,
                            const std::string& waiting_for) const {
  return Status(Code::kDeadline,
                fmt::format("{} for {:.1f} s (cluster.{} = {}); waiting for {}; is the coordinator "
                            "running, and can this host reach it",
                            silent, to_seconds(silence.lasted()), key_, most_ms_, waiting_for));
}

}  // namespace ballast
