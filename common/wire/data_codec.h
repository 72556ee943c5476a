// Tables of schemas/wire.fbs for the messages between workers and shards. Pure.
#pragma once

#include "common/wire/data_messages.h"
#include "common/wire/parts.h"
#include "schemas/wire_generated.h"

namespace ballast::wire {

Offset<fb::Push> pack(Packer& packer, const Push& push);
Offset<fb::Pull> pack(Packer& packer, const Pull& pull);
Offset<fb::Reply> pack(Packer& packer, const Reply& reply);

Push unpack(Unpacker& unpacker, const fb::Push& table);
Pull unpack(Unpacker& unpacker, const fb::Pull& table);
Reply unpack(Unpacker& unpacker, const fb::Reply& table);

}  // namespace ballast::wire
