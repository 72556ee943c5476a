// plain-run CONFIG.toml ROWS.csv: trains the job with the plain loop (plain_loop.h) on rows read
// from text, and prints the `weights_xxh3` that a cluster in sync mode must end with. CONFIG.toml
// is the effective config of a run; each line of ROWS.csv is the features and, last, the label.
// Knows one transform: a factor for all features.
#include <cstdio>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/hash.h"
#include "common/config/job_file.h"
#include "common/storage/safetensors.h"
#include "tests/support/plain_loop.h"
#include "tests/support/plain_order.h"

namespace ballast::testing {
namespace {

struct Rows {
  std::vector<float> features;
  std::vector<float> labels;
};

Rows read_rows(const char* path, double factor) {
  Rows rows;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::vector<float> values;
    for (std::string word; std::getline(words, word, ',');) values.push_back(std::stof(word));
    rows.labels.push_back(values.back());
    values.pop_back();
    for (float value : values) rows.features.push_back(value * static_cast<float>(factor));
  }
  return rows;
}

int run(const char* config_path, const char* rows_path) {
  const Result<JobConfig> job = load_job(config_path);
  if (!job.ok()) {
    std::fprintf(stderr, "%s\n", job.status().to_string().c_str());
    return 2;
  }
  const std::vector<TransformConfig>& transforms = job->data.transforms;
  const Rows rows = read_rows(rows_path, transforms.empty() ? 1 : transforms[0].factor);
  if (job->data.order != Order::kFull) {
    std::fprintf(stderr, "plain-run knows only data.order = full\n");
    return 2;
  }

  const PlainResult result = plain_sync_run(
      *job, rows.features, rows.labels, [&](uint64_t epoch, uint32_t lane, uint64_t position) {
        return plain_row(job->seed, epoch, job->resolved.train_rows,
                         lane + position * job->train.lanes);
      });

  std::vector<Tensor> tensors;
  for (const PlainTensor& tensor : result.weights) {
    tensors.push_back({tensor.name, tensor.shape, tensor.values});
  }
  std::printf("%s\n", hex64(weights_xxh3(tensors)).c_str());
  return 0;
}

}  // namespace
}  // namespace ballast::testing

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: plain-run CONFIG.toml ROWS.csv\n");
    return 2;
  }
  return ballast::testing::run(argv[1], argv[2]);
}
