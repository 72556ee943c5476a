// A small job whose weights are numbers that can be told by heart, and its checkpoint.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "common/config/job_dump.h"
#include "common/weights/model_weights.h"

namespace ballast {

// One dense layer of `units` over `width` pixels of the set that `DataFixture::write_pixels` makes,
// scaled by 1/256.
inline JobConfig one_layer_job(uint32_t width, uint32_t units) {
  JobConfig job;
  job.name = "known";
  job.data.train = "/data/train";
  job.data.features = {"pixels"};
  job.data.label = "label";
  TransformConfig scale;
  scale.column = "pixels";
  scale.factor = 1.0 / 256;
  job.data.transforms = {scale};
  job.model.layers = {{.kind = LayerKind::kDense, .units = units}};
  job.train.batch = 16;
  job.train.lanes = 4;
  job.cluster.unit_bytes = 4096;
  job.resolved.train_rows = 100;
  job.resolved.input_width = width;
  return job;
}

// Element e of parameter p: p + 1 + e / 8, the sign alternating.
inline ModelWeights known_weights(const JobConfig& job) {
  ModelWeights weights = blank_weights(job);
  for (size_t p = 0; p < weights.values.size(); ++p) {
    for (size_t e = 0; e < weights.values[p].size(); ++e) {
      weights.values[p][e] =
          (static_cast<float>(p) + 1 + static_cast<float>(e) / 8) * (e % 2 == 0 ? 1.0f : -1.0f);
    }
  }
  return weights;
}

// Commits the weights as checkpoint `id` of two shards, units dealt in turn.
inline CheckpointManifest commit_weights(const JobConfig& job, const ModelWeights& weights,
                                         const std::string& run_dir, CutId id) {
  std::vector<std::vector<UnitImage>> shards(2);
  for (const UnitSpec& unit : cut_units(weights.parameters, job.cluster.unit_bytes)) {
    const std::span<const float> values = weights.values[unit.parameter];
    UnitImage image;
    image.unit = unit.id;
    image.version = id;
    image.weights =
        Buffer::copy_of(std::as_bytes(values.subspan(unit.first_element, unit.element_count)));
    shards[unit.id.value() % 2].push_back(std::move(image));
  }
  CheckpointManifest manifest;
  manifest.id = id;
  manifest.clock = id;
  manifest.lanes = job.train.lanes;
  manifest.job_hash = job_hash(job);
  manifest.config = dump_job(job);
  for (uint32_t shard = 0; shard < 2; ++shard) {
    Result<CheckpointPart> part = write_part(run_dir, id, shard, shards[shard]);
    EXPECT_TRUE(part.ok()) << part.status().to_string();
    manifest.parts.push_back(std::move(part).value());
  }
  const Status status = commit_manifest(run_dir, manifest);
  EXPECT_TRUE(status.ok()) << status.to_string();
  return manifest;
}

}  // namespace ballast
