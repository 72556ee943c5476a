// The sets of training rows that a job names, data.train and each data.mix, and the one Dataset
// that they make together. Pure but for opening.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/config/job_config.h"
#include "worker/data/dataset.h"

namespace ballast {

struct TrainSet {
  std::string table;     // "data", "data.mix[0]": where its keys stand
  std::string location;  // folder or address
  double rate = 1;       // samples that an epoch takes of each of its rows
};

// data.train first.
[[nodiscard]] std::vector<TrainSet> train_sets(const DataConfig& data);

// "data/a", "data/a + data/b": how messages name all of them.
[[nodiscard]] std::string train_name(const DataConfig& data);

// Their rows, one set after another. Errors: those of Dataset::open and Dataset::join;
// kInvalidInput: one has no rows. Where there are several, an error names the key of the one.
Result<std::shared_ptr<const Dataset>> open_train_sets(const DataConfig& data);
Result<std::shared_ptr<const Dataset>> open_train_sets(const DataConfig& data,
                                                       const Access& access);

// Their chunks, to be streamed.
Result<std::unique_ptr<Source>> open_train_source(const DataConfig& data, const Reading& reading);

// Dataset::open, and kInvalidInput when it has no rows.
Result<std::shared_ptr<const Dataset>> open_filled_dataset(const std::string& folder,
                                                           const Access& access = {});

}  // namespace ballast
