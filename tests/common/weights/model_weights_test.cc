#include "common/weights/model_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/common/storage/temporary_folder.h"
#include "tests/support/known_weights.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;

class ModelWeightsTest : public ::testing::Test {
 protected:
  // Several units a tensor: 64 x 50 floats in units of 4 KiB.
  const JobConfig job_ = one_layer_job(64, 50);
  const ModelWeights known_ = known_weights(job_);
  TemporaryFolder folder_;
  const std::string path_ = folder_.path() + "/" + kModelFile;
};

TEST_F(ModelWeightsTest, AreWholeAgainFromTheUnitsOfACheckpoint) {
  const CheckpointManifest manifest = commit_weights(job_, known_, folder_.path(), 7);

  const auto loaded = weights_of_checkpoint(job_, folder_.path(), manifest);

  ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
  ASSERT_GT(manifest.parts[0].entries.size(), 1u);
  EXPECT_EQ(loaded->values, known_.values);
  EXPECT_EQ(loaded->xxh3(), known_.xxh3());
}

TEST_F(ModelWeightsTest, AreRefusedFromACheckpointOfAnotherJob) {
  const CheckpointManifest manifest = commit_weights(job_, known_, folder_.path(), 7);
  JobConfig other = job_;
  other.seed = 99;

  const auto loaded = weights_of_checkpoint(other, folder_.path(), manifest);

  EXPECT_EQ(loaded.status().code(), Code::kConflict);
  EXPECT_THAT(loaded.status().to_string(), HasSubstr("checkpoint 7"));
}

TEST_F(ModelWeightsTest, NameTheDamagedPartOfACheckpoint) {
  const CheckpointManifest manifest = commit_weights(job_, known_, folder_.path(), 7);
  flip_bit(checkpoint_folder(folder_.path(), 7) + "/" + manifest.parts[1].file, 1000);

  const auto loaded = weights_of_checkpoint(job_, folder_.path(), manifest);

  EXPECT_EQ(loaded.status().code(), Code::kDataLoss);
  EXPECT_THAT(loaded.status().to_string(), HasSubstr(manifest.parts[1].file));
}

TEST_F(ModelWeightsTest, RefuseAUnitOfAnotherSize) {
  ModelWeights weights = blank_weights(job_);
  const UnitSpec unit = cut_units(weights.parameters, job_.cluster.unit_bytes).front();

  const Status status = weights.put(unit, std::vector<std::byte>(unit.bytes() - 4));

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.to_string(), HasSubstr("layer0.weight"));
}

TEST_F(ModelWeightsTest, ReadBackFromTheirFileAreTheSameBits) {
  ASSERT_TRUE(write_model(path_, job_, known_, {{"checkpoint", "7"}}).ok());

  const auto read = read_model(path_, job_);

  ASSERT_TRUE(read.ok()) << read.status().to_string();
  EXPECT_EQ(read->values, known_.values);
  const auto file = read_safetensors(path_);
  EXPECT_EQ(file->metadata.at("weights_xxh3"), known_.xxh3());
  EXPECT_EQ(file->metadata.at("job_hash"), job_hash(job_));
  EXPECT_EQ(file->metadata.at("checkpoint"), "7");
}

TEST_F(ModelWeightsTest, FindAFlippedBitInTheirFile) {
  ASSERT_TRUE(write_model(path_, job_, known_, {}).ok());
  flip_bit(path_, std::filesystem::file_size(path_) - 1);

  const auto read = read_model(path_, job_);

  EXPECT_EQ(read.status().code(), Code::kDataLoss);
  EXPECT_THAT(read.status().to_string(), HasSubstr(path_));
}

TEST_F(ModelWeightsTest, NameTheTensorThatDoesNotFitTheModel) {
  ASSERT_TRUE(write_model(path_, job_, known_, {}).ok());

  const auto wider = read_model(path_, one_layer_job(65, 50));
  EXPECT_EQ(wider.status().code(), Code::kInvalidInput);
  EXPECT_THAT(wider.status().to_string(), HasSubstr("layer0.weight has shape [64, 50]"));

  JobConfig deeper = job_;
  deeper.model.layers.push_back({.kind = LayerKind::kDense, .units = 2});
  EXPECT_THAT(read_model(path_, deeper).status().to_string(), HasSubstr("no tensor layer1.weight"));

  JobConfig barer = job_;
  barer.model.layers[0].bias = false;
  EXPECT_THAT(read_model(path_, barer).status().to_string(), HasSubstr("2 tensors found"));
}

}  // namespace
}  // namespace ballast
