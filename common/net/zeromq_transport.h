// The transport over ZeroMQ, tcp:// and ipc://. One ROUTER for those who connect to us, one DEALER
// for each peer we connect to, one I/O thread of libzmq per transport.
#pragma once

#include <memory>

#include "common/net/transport.h"
#include "common/net/zeromq_options.h"

namespace ballast {

// self.incarnation must not be 0.
[[nodiscard]] std::unique_ptr<Transport> make_zeromq_transport(const Peer& self,
                                                               const ZeroMqOptions& options = {});

}  // namespace ballast
