// Transport: door 1, the wall between deciders and the network. Peers are addressed by incarnation:
// what was meant for a dead process never reaches its successor.
//
// Owner thread: every call but wake(). A thread blocks in receive() and nowhere else; connections
// are made, and made again, while their owners are in receive().
//
// Promises: frames arrive whole and unchanged or not at all; a peer is there from its PeerUp to its
// PeerDown, and only messages between the two are given. Not promised: that a message arrives, that
// it arrives once, or in order. Whoever needs an answer sets a deadline and asks again.
//
// Two lives of one role and index that connect are two peers: neither takes the other's place,
// since a stranger may claim any name. Which of them counts is for the deciders to say.
//
// Between two participants exactly one side connects: workers to shards and feeders,
// everybody to the coordinator. The other side answers over the same connection.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "common/base/status.h"
#include "common/base/time.h"
#include "common/net/message.h"

namespace ballast {

// More payload frames than any sender of ours makes (a message per shard and step, about 1 MiB a
// frame); what a foreign sender may make us hold.
inline constexpr size_t kPayloadsMax = 4096;

struct MessageIn {
  Peer from;
  Message message;
};
// The peer can be reached, with its real incarnation. After a broken connection it comes again.
struct PeerUp {
  Peer peer;
};
// The connection broke or the process died; what was queued for it is gone. A connection that we
// made is made again without being asked, until disconnect().
struct PeerDown {
  Peer peer;
};
// Somebody called wake(); several calls may give one event.
struct Woken {};

using TransportEvent = std::variant<MessageIn, PeerUp, PeerDown, Woken>;

struct TransportStats {
  uint64_t messages_in = 0;
  uint64_t messages_out = 0;
  uint64_t bytes_in = 0;  // of all frames, without the transport's own
  uint64_t bytes_out = 0;
  uint64_t busy = 0;     // sends refused because the peer's queue was full
  uint64_t dropped = 0;  // frames from outside that made no sense, or from a life that is over
};

class Transport {
 public:
  virtual ~Transport() = default;

  [[nodiscard]] virtual const Peer& self() const = 0;

  // Listens. Returns the endpoint to give to others: a tcp port 0 is replaced by the real port.
  // kInvalidInput: port in use, folder not writable, path too long, no such address.
  [[nodiscard]] virtual Result<std::string> bind(const std::string& endpoint) = 0;

  // Starts to connect and goes on trying; PeerUp tells when it is done. peer.incarnation 0: whoever
  // lives there now; otherwise only that life is accepted. Replaces an older connection to the
  // same role and index. kInvalidInput: the endpoint makes no sense.
  [[nodiscard]] virtual Status connect(const Peer& peer, const std::string& endpoint) = 0;

  // Forgets the peer, whatever its incarnation; what was sent before still goes out. No PeerDown.
  virtual void disconnect(const Peer& peer) = 0;

  // Never blocks. to.incarnation 0: whoever lives there now, the newest life of several.
  // kUnavailable: no such peer, or that life is over. kExhausted: its queue is full ("busy").
  // kInvalidInput: a frame or the number of frames is over the limit.
  [[nodiscard]] virtual Status send(const Peer& to, Message message) = 0;

  // The next event; blocks in the kernel until the deadline at most. Nothing: the deadline passed.
  // A deadline in the past asks what is there now.
  [[nodiscard]] virtual std::optional<TransportEvent> receive(Time deadline) = 0;

  // Memory for a frame to `to`, aligned to kBufferAlignment, contents unspecified: the transport
  // gives what travels best (recycled, later pinned or shared).
  [[nodiscard]] virtual Buffer allocate(const Peer& to, size_t bytes) = 0;

  // Any thread: makes receive() return Woken.
  virtual void wake() = 0;

  [[nodiscard]] virtual TransportStats stats() const = 0;
};

}  // namespace ballast
