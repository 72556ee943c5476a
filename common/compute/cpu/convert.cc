#include "common/base/check.h"
#include "common/base/half.h"
#include "common/compute/cpu/kernels.h"

namespace ballast::cpu {
namespace {

template <typename Value, typename ToFloat>
void convert_rows(const Value* in, uint32_t rows, uint32_t columns, ConstMatrix center,
                  ConstMatrix factor, ConstMatrix shift, float* out, ToFloat to_float) {
  const bool one_for_all = center.columns == 1;
  for (uint32_t r = 0; r < rows; ++r, in += columns, out += columns) {
    if (center.empty()) {
      for (uint32_t c = 0; c < columns; ++c) out[c] = to_float(in[c]);
      continue;
    }
    for (uint32_t c = 0; c < columns; ++c) {
      const uint32_t at = one_for_all ? 0 : c;
      out[c] = (to_float(in[c]) - center.device_data[at]) * factor.device_data[at] +
               shift.device_data[at];
    }
  }
}

}  // namespace

void convert(StoredMatrix x, ConstMatrix center, ConstMatrix factor, ConstMatrix shift, Matrix y) {
  BALLAST_CHECK(x.rows == y.rows && x.columns == y.columns);
  BALLAST_CHECK(center.size() == factor.size() && center.size() == shift.size());
  BALLAST_CHECK(center.empty() || center.columns == 1 || center.columns == x.columns);
  const void* in = x.device_data;
  switch (x.type) {
    case StoredType::kU8:
      return convert_rows(static_cast<const uint8_t*>(in), x.rows, x.columns, center, factor, shift,
                          y.device_data, [](uint8_t value) { return static_cast<float>(value); });
    case StoredType::kF16:
      return convert_rows(static_cast<const uint16_t*>(in), x.rows, x.columns, center, factor,
                          shift, y.device_data, half_to_float);
  }
}

}  // namespace ballast::cpu
