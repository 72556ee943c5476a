// Any bytes as a job file and, after the first zero byte, as one `key=value`: refused with a
// reason, or a job whose effective config reads back to the same job.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/config/job_dump.h"
#include "common/config/job_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t end = input.find('\0');
  std::vector<std::string> overrides;
  if (end != std::string_view::npos) overrides.emplace_back(input.substr(end + 1));
  const auto read = ballast::parse_job(input.substr(0, end), "input", overrides);
  if (!read.ok()) {
    BALLAST_CHECK(!read.status().to_string().empty());
    return 0;
  }
  const auto again = ballast::parse_job(ballast::dump_job(*read), "again");
  BALLAST_CHECK_MSG(again.ok(), again.status().to_string());
  BALLAST_CHECK(*again == *read);
  return 0;
}
