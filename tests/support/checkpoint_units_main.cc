// checkpoint-units RUN_DIR: what the newest checkpoint says of each unit, one JSON object a line:
// {"unit": 3, "updates": 412, "samples": 15292, "marks": [null, 104]}. A mark is the next clock of
// a lane, null when the unit has all of the lane's steps; sync keeps none. Exit code 1: no whole
// checkpoint.
#include <fmt/format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "common/storage/checkpoint.h"

namespace ballast::testing {
namespace {

std::string line_of(const UnitImage& image) {
  std::string marks;
  for (Clock mark : image.marks) {
    if (!marks.empty()) marks += ", ";
    marks += mark == kNever ? "null" : std::to_string(mark);
  }
  return fmt::format(R"({{"unit": {}, "updates": {}, "samples": {}, "marks": [{}]}})",
                     image.unit.value(), image.updates, image.samples_applied, marks);
}

Status print_units(const std::string& run_dir) {
  BALLAST_ASSIGN(const NewestCheckpoint newest, newest_checkpoint(run_dir));
  std::vector<UnitId> units;
  for (const CheckpointPart& part : newest.manifest.parts) {
    for (const CheckpointEntry& entry : part.entries) units.push_back(entry.unit);
  }
  BALLAST_ASSIGN(const std::vector<UnitImage> images, load_units(run_dir, newest.manifest, units));
  for (const UnitImage& image : images) fmt::print("{}\n", line_of(image));
  return Status();
}

}  // namespace
}  // namespace ballast::testing

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: checkpoint-units RUN_DIR\n", stderr);
    return 2;
  }
  const ballast::Status status = ballast::testing::print_units(argv[1]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", status.to_string().c_str());
  return status.ok() ? 0 : 1;
}
