// pull-weights RUN_DIR TENSOR|all VERSION|newest TIMEOUT_MS OUT: pulls from a running job with
// nothing but the C API, as another program would. Writes the floats to OUT and prints the versions
// of the oldest and the newest unit. The exit code is the ballast_code.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "worker/client/ballast_client.h"

namespace {

int pull(ballast_client* client, char** words, std::vector<float>& values,
         ballast_versions* versions) {
  const auto timeout_ms = static_cast<uint32_t>(std::strtoul(words[4], nullptr, 10));
  if (std::strcmp(words[2], "all") != 0) {
    ballast_tensor tensor;
    const size_t index = std::strtoul(words[2], nullptr, 10);
    if (int code = ballast_client_tensor(client, index, &tensor)) return code;
    values.resize(tensor.element_count);
    const uint64_t version = std::strcmp(words[3], "newest") == 0
                                 ? BALLAST_NEWEST
                                 : std::strtoull(words[3], nullptr, 10);
    return ballast_client_pull(client, index, version, timeout_ms, values.data(), values.size(),
                               versions);
  }
  std::vector<size_t> firsts;
  for (size_t i = 0; i < ballast_client_tensor_count(client); ++i) {
    ballast_tensor tensor;
    if (int code = ballast_client_tensor(client, i, &tensor)) return code;
    firsts.push_back(values.size());
    values.resize(values.size() + tensor.element_count);
  }
  std::vector<float*> tensors;
  for (size_t first : firsts) tensors.push_back(values.data() + first);
  return ballast_client_pull_model(client, timeout_ms, tensors.data(), versions);
}

bool write(const char* path, const std::vector<float>& values) {
  std::FILE* file = std::fopen(path, "wb");
  if (file == nullptr) return false;
  const size_t written = std::fwrite(values.data(), sizeof(float), values.size(), file);
  return std::fclose(file) == 0 && written == values.size();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::fputs("usage: pull-weights RUN_DIR TENSOR|all VERSION|newest TIMEOUT_MS OUT\n", stderr);
    return BALLAST_INVALID;
  }
  ballast_client* client = nullptr;
  std::vector<float> values;
  ballast_versions versions{};
  int code = ballast_client_open(argv[1], &client);
  if (code == BALLAST_OK) code = pull(client, argv, values, &versions);
  if (code != BALLAST_OK) {
    std::fprintf(stderr, "%s\n", ballast_client_error(client));
  } else if (!write(argv[5], values)) {
    code = BALLAST_FAILED;
  } else {
    std::printf("%llu %llu\n", static_cast<unsigned long long>(versions.least),
                static_cast<unsigned long long>(versions.highest));
  }
  ballast_client_close(client);
  return code;
}
