#include "common/net/peer_code.h"

#include <gtest/gtest.h>

namespace ballast {
namespace {

TEST(PeerCode, ComesBackAsThePeerItWas) {
  for (const Peer& peer : {Peer{Role::kCoordinator, 0, 1}, Peer{Role::kTool, 0xffffffff, 2},
                           Peer{Role::kWorker, 258, 0x8877665544332211}}) {
    EXPECT_EQ(decode_peer(encode_peer(peer)), peer);
  }
}

TEST(PeerCode, NoOtherBytesAreAPeer) {
  const PeerCode good = encode_peer({Role::kWorker, 1, 17});

  EXPECT_FALSE(decode_peer({}));
  EXPECT_FALSE(decode_peer(std::span(good).first(16)));
  for (size_t i : {0, 1, 2, 3}) {  // the magic bytes
    PeerCode bad = good;
    bad[i] ^= std::byte{0x80};
    EXPECT_FALSE(decode_peer(bad)) << i;
  }
  PeerCode bad_role = good;
  bad_role[4] = std::byte{5};
  EXPECT_FALSE(decode_peer(bad_role));
  EXPECT_FALSE(decode_peer(encode_peer({Role::kWorker, 1, 0})));
}

TEST(Peer, IsWrittenAsRoleIndexAndLife) {
  EXPECT_EQ(to_string(Peer{Role::kWorker, 1, 17}), "worker-1#17");
  EXPECT_EQ(to_string(Peer{Role::kCoordinator, 0, 3}), "coordinator-0#3");
}

}  // namespace
}  // namespace ballast
