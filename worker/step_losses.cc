#include "worker/step_losses.h"

#include <fmt/format.h>

#include <cmath>
#include <span>

namespace ballast {

Status not_finite(std::string what) {
  return Status(Code::kDiverged,
                what +
                    " is NaN or infinite; lower the learning rate, set clip_value, or check the "
                    "features");
}

RowLosses::RowLosses(StepStreams& streams, LossKind kind, uint32_t label_width, uint32_t rows_max)
    : streams_(streams), kind_(kind), label_width_(label_width), rows_max_(rows_max) {}

Status RowLosses::allocate() {
  const size_t floats = size_t{2} * rows_max_;
  BALLAST_ASSIGN(memory_, streams_.backend.allocate(floats));
  host_ = streams_.backend.allocate_host(floats * sizeof(float));
  computed_ = streams_.backend.create_event();
  here_ = streams_.backend.create_event();
  return Status();
}

void RowLosses::put(ConstMatrix outputs, const DeviceRows& rows, Matrix dz) {
  const DeviceTrace::Part part(streams_.trace.get(), streams_.compute, "loss");
  const Matrix both = memory_.matrix(2, outputs.rows);
  const Matrix loss{both.device_data, 1, outputs.rows};
  const Matrix correct{both.device_data + outputs.rows, 1, outputs.rows};
  streams_.backend.loss(streams_.compute, kind_, outputs, rows.labels, rows.row_weights, loss,
                        correct, dz);
}

void RowLosses::start(uint32_t rows) {
  streams_.let_downloads_follow(computed_);
  const DeviceTrace::Part part(streams_.trace.get(), streams_.downloads, "download");
  streams_.backend.download(streams_.downloads, memory_.matrix(2, rows),
                            host_.floats().first(size_t{2} * rows));
  streams_.backend.record(here_, streams_.downloads);
}

Result<StepResult> RowLosses::read(const StepRows& batch, const StepHooks& hooks) {
  BALLAST_RETURN_IF_ERROR(streams_.backend.synchronize(here_));
  const std::span<const float> loss = host_.floats().first(batch.rows);
  const std::span<const float> correct = host_.floats().subspan(batch.rows, batch.rows);
  StepResult result;
  for (uint32_t r = 0; r < batch.rows; ++r) {
    const double weight = batch.weights.empty() ? 1.0 : batch.weights[r];
    if (weight == 0) continue;
    if (!std::isfinite(loss[r])) {
      const std::string row = hooks.row_name ? hooks.row_name(r) : fmt::format("row {}", r);
      return not_finite("bad loss: that of " + row);
    }
    result.weight_sum += weight;
    result.loss_sum += weight * loss[r];
    result.correct += weight * correct[r];
  }
  if (kind_ != LossKind::kMeanSquaredError) {
    result.label_weight = result.weight_sum * label_width_;
  }
  return result;
}

}  // namespace ballast
