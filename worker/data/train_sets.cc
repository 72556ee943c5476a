#include "worker/data/train_sets.h"

#include <fmt/format.h>

#include <algorithm>

#include "worker/data/source/joined_source.h"

namespace ballast {

namespace {

Status of_set(const TrainSet& set, bool several, const Status& status) {
  if (!several) return status;
  return Status(status.code(), fmt::format("{}.train: {}", set.table, status.to_string()));
}

}  // namespace

std::vector<TrainSet> train_sets(const DataConfig& data) {
  std::vector<TrainSet> sets = {{"data", data.train, data.rate}};
  for (size_t i = 0; i < data.mix.size(); ++i) {
    sets.push_back({fmt::format("data.mix[{}]", i), data.mix[i].train, data.mix[i].rate});
  }
  return sets;
}

std::string train_name(const DataConfig& data) {
  std::string name = data.train;
  for (const MixConfig& set : data.mix) name += " + " + set.train;
  return name;
}

Result<std::shared_ptr<const Dataset>> open_train_sets(const DataConfig& data) {
  return open_train_sets(data, access_of(data));
}

Result<std::shared_ptr<const Dataset>> open_train_sets(const DataConfig& data,
                                                       const Access& access) {
  std::vector<std::shared_ptr<const Dataset>> parts;
  for (const TrainSet& set : train_sets(data)) {
    const auto part = open_filled_dataset(set.location, access);
    if (!part.ok()) return of_set(set, !data.mix.empty(), part.status());
    parts.push_back(*part);
  }
  return Dataset::join(std::move(parts));
}

Result<std::unique_ptr<Source>> open_train_source(const DataConfig& data, const Reading& reading) {
  if (data.mix.empty()) return open_source(data.train, access_of(data), reading);
  const std::vector<TrainSet> sets = train_sets(data);
  const Access access = access_of(data);
  // As many threads as one set would have, and one folder that hears when blocks of all sets are
  // needed.
  Reading of_part = reading;
  of_part.threads = std::max<uint32_t>(1, reading.threads / static_cast<uint32_t>(sets.size()));
  const bool any_remote =
      std::ranges::any_of(sets, [](const TrainSet& set) { return is_remote(set.location); });
  if (any_remote) {
    BALLAST_ASSIGN(of_part.cache, open_cache(access, reading));
  }
  std::vector<std::shared_ptr<Source>> parts;
  for (const TrainSet& set : sets) {
    BALLAST_ASSIGN(std::unique_ptr<Source> part, open_source(set.location, access, of_part));
    parts.push_back(std::move(part));
  }
  return std::unique_ptr<Source>(std::make_unique<JoinedSource>(std::move(parts)));
}

Result<std::shared_ptr<const Dataset>> open_filled_dataset(const std::string& folder,
                                                           const Access& access) {
  BALLAST_ASSIGN(std::shared_ptr<const Dataset> dataset, Dataset::open(folder, access));
  if (dataset->rows() > 0) return dataset;
  return Status(Code::kInvalidInput,
                "data set " + folder + ": at least one row expected, none found");
}

}  // namespace ballast
