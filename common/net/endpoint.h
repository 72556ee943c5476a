// Endpoints: "tcp://host:port" and "ipc://path", checked before the network sees them, and what to
// tell a person when the system refuses one. Pure but for the look at an ipc path; any thread.
#pragma once

#include <string>

#include "common/base/status.h"

namespace ballast {

// kInvalidInput: neither tcp nor ipc, no host or port, or an ipc path over the 107 bytes that a
// unix socket address holds.
[[nodiscard]] Status check_endpoint(const std::string& endpoint);

// For ipc, where libzmq would take the path from whoever listens there: kInvalidInput when somebody
// answers. A socket file that a dead process left is fine.
[[nodiscard]] Status check_not_listening(const std::string& endpoint);

// What bind's errno means for whoever wrote the endpoint.
[[nodiscard]] Status bind_error(const std::string& endpoint, int error);

}  // namespace ballast
