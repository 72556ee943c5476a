// A folder of its own with a small job in it, and data that exists by decree.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "worker/tool/resolve_command.h"

namespace ballast {

class RunFolder : public testing::Test {
 protected:
  void SetUp() override {
    const auto* test = testing::UnitTest::GetInstance()->current_test_info();
    folder_ = std::filesystem::path(testing::TempDir()) /
              (std::string("ballast_") + test->test_suite_name() + "_" + test->name());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
    options_.job_path = folder_ / "small.toml";
    options_.run_dir = folder_ / "run";
    std::ofstream(options_.job_path) << R"([data]
train = "/data/train"
features = ["pixels"]
label = "label"
[[layer]]
kind = "dense"
units = 100
activation = "relu"
[[layer]]
kind = "dense"
units = 10
[train]
batch = 64
[train.optimizer]
kind = "adam"
[cluster]
servers = 2
workers = 2
)";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // 1000 rows of 64 features whose manifest has this hash.
  static ShapeResolver data_with_hash(const std::string& hash) {
    return [hash](JobConfig& job) {
      job.resolved.train_rows = 1000;
      job.resolved.input_width = 64;
      job.resolved.label_width = 1;
      job.resolved.train_manifest_xxh3 = hash;
      return Status();
    };
  }

  [[nodiscard]] std::string read(const std::filesystem::path& path) const {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }

  std::filesystem::path folder_;
  ResolveOptions options_;
  ShapeResolver data_ = data_with_hash("00000000000000aa");
  std::ostringstream out_;
};

}  // namespace ballast
