// Tables of schemas/feed.fbs. Pure. The stamp lies in the envelope (codec.cc), not here.
#pragma once

#include "common/wire/feed_messages.h"
#include "common/wire/parts.h"
#include "schemas/feed_generated.h"

namespace ballast::wire {

Offset<fb::FeedAsk> pack(Packer& packer, const FeedAsk& ask);
Offset<fb::FeedAnswer> pack(Packer& packer, const FeedAnswer& answer);

FeedAsk unpack(Unpacker& unpacker, const fb::FeedAsk& table);
FeedAnswer unpack(Unpacker& unpacker, const fb::FeedAnswer& table);

}  // namespace ballast::wire
