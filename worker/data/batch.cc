#include "worker/data/batch.h"

#include <fmt/format.h>

#include "worker/data/dataset.h"

namespace ballast {

std::string Batch::row_name(uint32_t i) const {
  if (i >= row_ids.size()) return fmt::format("row {} of the batch", i);
  return dataset ? dataset->row_name(row_ids[i]) : fmt::format("row {}", row_ids[i]);
}

}  // namespace ballast
