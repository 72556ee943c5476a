// Admission: whether a process that wants to join belongs to this job. Pure.
#pragma once

#include <optional>
#include <string>

#include "common/wire/control_messages.h"
#include "server/coordinator/membership.h"

namespace ballast {

// What makes a process one of ours.
struct JobIdentity {
  std::string job_hash;
  std::string run;  // ResolvedConfig::run
};

// Why not, in one line: what was expected, what was found, what to do. Nothing: welcome.
[[nodiscard]] std::optional<std::string> refusal_of(const wire::Join& join, const Peer& from,
                                                    const JobIdentity& job,
                                                    const Membership& membership);

// Why a life ends whose role and index belong to another one now. Nothing: `from` is nobody's past.
[[nodiscard]] std::optional<std::string> displacement_of(const Peer& from,
                                                         const Membership& membership);

}  // namespace ballast
