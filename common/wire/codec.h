// Between plain message structs and what a transport carries: one FlatBuffers envelope frame and
// raw payload frames. Float data never lies inside the FlatBuffer. Pure; any thread.
//
// encode() does not copy payloads: each non-empty Buffer of an entry becomes a payload frame, in
// entry order; a data message has at most kEntriesMax entries. decode() verifies the envelope
// (FlatBuffers verifier, sizes, counts, enum ranges, that every payload frame is used exactly once
// and that float payloads are multiples of 4 bytes) before anything is read; bytes from outside
// never abort. kInvalidInput: which message, which field, expected, found.
#pragma once

#include "common/base/status.h"
#include "common/net/message.h"
#include "common/wire/messages.h"

namespace ballast::wire {

[[nodiscard]] Message encode(const Any& message);
[[nodiscard]] Result<Any> decode(Message message);

}  // namespace ballast::wire
