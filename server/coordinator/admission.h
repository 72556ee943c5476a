// Admission: whether a process that wants to join belongs to this job. Pure.
#pragma once

#include <optional>
#include <string>

#include "common/wire/messages.h"
#include "server/coordinator/membership.h"

namespace ballast {

// Why not, in one line: what was expected, what was found, what to do. Nothing: welcome.
[[nodiscard]] std::optional<std::string> refusal_of(const wire::Join& join, const Peer& from,
                                                    const std::string& job_hash,
                                                    const Membership& membership);

}  // namespace ballast
