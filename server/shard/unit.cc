#include "server/shard/unit.h"

#include <fmt/format.h>

namespace ballast {

Status Unit::restore_common(UnitImage image) {
  if (!image.ledger.empty() && image.ledger.size() != schedule_.lanes()) {
    return Status(Code::kDataLoss,
                  fmt::format("unit {}: image has the ledger of {} lanes, expected {}",
                              id().value(), image.ledger.size(), schedule_.lanes()));
  }
  std::vector<uint64_t> ledger = std::move(image.ledger);
  BALLAST_RETURN_IF_ERROR(weights_.restore(std::move(image)));
  ledger_ = std::move(ledger);
  return Status();
}

}  // namespace ballast
