// predict, evaluate and export on a run directory that no training made: its weights are known, so
// what comes out can be computed by hand.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/config/job_dump.h"
#include "tests/common/storage/temporary_folder.h"
#include "tests/support/known_weights.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/tool/evaluate_command.h"
#include "worker/tool/export_command.h"
#include "worker/tool/predict_command.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr uint32_t kWidth = 3;
constexpr uint32_t kUnits = 4;
constexpr uint64_t kRows = 1100;  // three batches of a slice, the last one short

class ModelCommands : public DataFixture {
 protected:
  void SetUp() override {
    std::filesystem::create_directories(run_);
    std::ofstream(run_ + "/config.toml") << dump_job(job_);
    data_ = write_pixels("data", kRows, kWidth, kUnits);
  }

  void write_model_file() {
    const Status status = write_model(run_ + "/" + kModelFile, job_, known_, {});
    ASSERT_TRUE(status.ok()) << status.to_string();
  }

  // Softmax of x W + b for row r of write_pixels, in double.
  [[nodiscard]] std::vector<double> expected(uint64_t r) const {
    std::vector<double> y(kUnits);
    double sum = 0;
    for (uint32_t j = 0; j < kUnits; ++j) {
      double z = known_.values[1][j];
      for (uint32_t k = 0; k < kWidth; ++k) {
        z += static_cast<uint8_t>(r * 7 + k) / 256.0 * known_.values[0][k * kUnits + j];
      }
      sum += y[j] = std::exp(z);
    }
    for (double& value : y) value /= sum;
    return y;
  }

  [[nodiscard]] static std::string read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  const JobConfig job_ = one_layer_job(kWidth, kUnits);
  const ModelWeights known_ = known_weights(job_);
  const std::string run_ = path("run");
  std::string data_;
  std::ostringstream out_;
};

TEST_F(ModelCommands, PredictGivesTheSoftmaxOfEachRowInStoredOrder) {
  write_model_file();

  const Status status = run_predict({run_, data_, "", ""}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  std::istringstream lines(out_.str());
  std::string line;
  std::getline(lines, line);
  EXPECT_EQ(line, "class,p0,p1,p2,p3");
  for (uint64_t r = 0; r < kRows; ++r) {
    ASSERT_TRUE(std::getline(lines, line)) << "row " << r;
    std::istringstream fields(line);
    const std::vector<double> y = expected(r);
    size_t best = 0;
    char comma = 0;
    fields >> best;
    EXPECT_EQ(best, static_cast<size_t>(std::max_element(y.begin(), y.end()) - y.begin()));
    for (uint32_t j = 0; j < kUnits; ++j) {
      double found = 0;
      fields >> comma >> found;
      ASSERT_NEAR(found, y[j], 1e-5) << "row " << r << " class " << j;  // float32 of 3 terms
    }
  }
  EXPECT_FALSE(std::getline(lines, line));
}

TEST_F(ModelCommands, PredictNeedsNoLabel) {
  write_model_file();
  ASSERT_TRUE(run_predict({run_, data_, "", ""}, out_).ok());
  auto writer = DatasetWriter::create(path("bare"), {{"pixels", ColumnType::kU8, {kWidth}}}, {});
  std::vector<std::byte> row(kWidth);
  for (uint64_t r = 0; r < kRows; ++r) {
    for (uint32_t k = 0; k < kWidth; ++k) row[k] = static_cast<std::byte>(r * 7 + k);
    ASSERT_TRUE(writer->add_row(row).ok());
  }
  ASSERT_TRUE(writer->commit().ok());
  std::ostringstream bare;

  const Status status = run_predict({run_, path("bare"), "", ""}, bare);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(bare.str(), out_.str());
  EXPECT_THAT(run_evaluate({run_, path("bare"), false}, out_).to_string(),
              HasSubstr("no column \"label\""));
}

TEST_F(ModelCommands, PredictWritesTheSameNumbersAsNpy) {
  write_model_file();
  const std::string file = path("y.npy");

  const Status status = run_predict({run_, data_, file, ""}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  const std::string bytes = read(file);
  EXPECT_THAT(bytes, StartsWith("\x93NUMPY"));
  EXPECT_THAT(bytes.substr(0, 128), HasSubstr("'descr': '<f4', 'fortran_order': False, "
                                              "'shape': (1100, 4)"));
  const size_t first = 10 + static_cast<uint8_t>(bytes[8]) + 256 * static_cast<uint8_t>(bytes[9]);
  EXPECT_EQ(first % 64, 0u);
  ASSERT_EQ(bytes.size(), first + kRows * kUnits * sizeof(float));
  for (uint64_t r = 0; r < kRows; ++r) {
    float found[kUnits];
    std::memcpy(found, bytes.data() + first + r * sizeof found, sizeof found);
    const std::vector<double> y = expected(r);
    for (uint32_t j = 0; j < kUnits; ++j) ASSERT_NEAR(found[j], y[j], 1e-5);
  }
}

TEST_F(ModelCommands, PredictAsksForAFileForNpy) {
  const Status status = run_predict({run_, data_, "", "npy"}, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("--out FILE"));
}

TEST_F(ModelCommands, EvaluateCountsAndAveragesOverAllRows) {
  write_model_file();
  double loss = 0;
  uint64_t correct = 0;
  for (uint64_t r = 0; r < kRows; ++r) {
    const std::vector<double> y = expected(r);
    loss -= std::log(y[r % kUnits]);
    const auto best = static_cast<uint64_t>(std::max_element(y.begin(), y.end()) - y.begin());
    correct += best == r % kUnits ? 1 : 0;
  }

  const Status status = run_evaluate({run_, data_, true}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  double found_loss = 0, found_accuracy = 0;
  const std::string text = out_.str();
  ASSERT_EQ(std::sscanf(text.c_str(), "{\"rows\":1100,\"metrics\":{\"loss\":%lf,\"accuracy\":%lf",
                        &found_loss, &found_accuracy),
            2)
      << text;
  EXPECT_NEAR(found_loss, loss / kRows, 1e-5);
  EXPECT_EQ(found_accuracy, static_cast<double>(correct) / kRows);
  EXPECT_THAT(text, HasSubstr("\"weights_xxh3\":\"" + known_.xxh3() + "\""));
}

TEST_F(ModelCommands, ExportWritesTheNewestCheckpointAsTheModelOfTheRun) {
  commit_weights(job_, blank_weights(job_), run_, 10);
  commit_weights(job_, known_, run_, 20);

  const Status status = run_export({run_, "", std::nullopt, false}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_THAT(out_.str(), AllOf(HasSubstr("checkpoint 20"), HasSubstr(known_.xxh3())));
  EXPECT_EQ(read_model(run_ + "/" + kModelFile, job_)->values, known_.values);
  EXPECT_TRUE(run_evaluate({run_, data_, false}, out_).ok()) << "the model is there now";
}

TEST_F(ModelCommands, ExportOfAnOlderCheckpointLeavesTheModelAlone) {
  commit_weights(job_, known_, run_, 10);
  commit_weights(job_, blank_weights(job_), run_, 20);

  const Status status = run_export({run_, "", 10, false}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_FALSE(std::filesystem::exists(run_ + "/" + kModelFile));
  EXPECT_EQ(read_model(run_ + "/model-10.safetensors", job_)->values, known_.values);
}

TEST_F(ModelCommands, ExportPassesOverADamagedCheckpoint) {
  commit_weights(job_, known_, run_, 10);
  const CheckpointManifest newer = commit_weights(job_, blank_weights(job_), run_, 20);
  flip_bit(checkpoint_folder(run_, 20) + "/" + newer.parts[0].file, 100);

  const Status status = run_export({run_, path("m.safetensors"), std::nullopt, false}, out_);

  ASSERT_TRUE(status.ok()) << status.to_string();
  EXPECT_EQ(read_model(path("m.safetensors"), job_)->values, known_.values);
  EXPECT_EQ(run_export({run_, "", 20, false}, out_).code(), Code::kDataLoss)
      << "asked for by its id";
}

TEST_F(ModelCommands, ExportNamesTheNewestWhenTheOneAskedForIsNotThere) {
  EXPECT_EQ(exit_code(run_export({run_, "", std::nullopt, false}, out_)), 2) << "none at all";
  commit_weights(job_, known_, run_, 10);

  const Status status = run_export({run_, "", 11, false}, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("no checkpoint 11; the newest is 10"));
}

TEST_F(ModelCommands, SayWhatIsMissing) {
  EXPECT_THAT(run_predict({path("nowhere"), data_, "", ""}, out_).to_string(),
              HasSubstr("nowhere: no such run directory"));
  EXPECT_THAT(run_evaluate({data_, data_, false}, out_).to_string(), HasSubstr("no config.toml"));
  const Status no_model = run_evaluate({run_, data_, false}, out_);
  EXPECT_EQ(exit_code(no_model), 2);
  EXPECT_THAT(no_model.to_string(), HasSubstr("`ballast export " + run_ + "`"));
}

TEST_F(ModelCommands, TellAConfigThatCannotBeReachedFromOneThatIsNotThere) {
  const std::filesystem::path run = path("unreachable");
  std::filesystem::create_directory(run);
  std::filesystem::create_symlink("config.toml", run / "config.toml");  // a loop

  const Status status = run_evaluate({run.string(), data_, false}, out_);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("config.toml: cannot be read: Too many levels"));
}

TEST_F(ModelCommands, RefuseDataOfAnotherShapeAndFilesThatAreNotConverted) {
  write_model_file();
  const std::string wide = write_pixels("wide", 20, kWidth + 1, kUnits);
  const std::string csv = path("rows.csv");
  std::ofstream(csv) << "1,2,3,0\n";

  const Status wrong_width = run_predict({run_, wide, "", ""}, out_);
  EXPECT_EQ(exit_code(wrong_width), 2);
  EXPECT_THAT(wrong_width.to_string(),
              HasSubstr("4 features a row found, the model was trained on 3 features"));
  const Status not_converted = run_evaluate({run_, csv, false}, out_);
  EXPECT_EQ(exit_code(not_converted), 2);
  EXPECT_THAT(not_converted.to_string(), HasSubstr("ballast data convert"));
}

TEST_F(ModelCommands, RefuseAnOutputThatCannotBeAFileBeforeAnyWork) {
  std::filesystem::create_directory(path("folder"));
  std::ofstream(path("file")) << "x";
  // No model and no checkpoint: whoever began to work would complain of these.
  for (const auto& [out, found] :
       {std::pair{path("folder"), "a folder found"}, std::pair{path("folder/"), "a folder found"},
        std::pair{path("no/such/file"), "no folder"},
        std::pair{path("file/y"), "is a file and no folder"},
        std::pair{std::string("/dev/null"), "a device or pipe found"},
        std::pair{path(std::string(255, 'n')), "File name too long"}}) {
    for (const Status& status : {run_predict({run_, data_, out, ""}, out_),
                                 run_export({run_, out, std::nullopt, false}, out_),
                                 run_export({run_, out, std::nullopt, true}, out_)}) {
      EXPECT_EQ(exit_code(status), 2) << status.to_string();
      EXPECT_THAT(status.to_string(), AllOf(HasSubstr("output " + out), HasSubstr(found)));
    }
  }
  EXPECT_EQ(read(path("file")), "x");
}

TEST_F(ModelCommands, FindADamagedModelAndLeaveNoHalfFile) {
  write_model_file();
  const std::string file = run_ + "/" + kModelFile;
  flip_bit(file, std::filesystem::file_size(file) - 3);

  const Status status = run_predict({run_, data_, path("y.csv"), ""}, out_);

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_FALSE(std::filesystem::exists(path("y.csv")));
}

}  // namespace
}  // namespace ballast
