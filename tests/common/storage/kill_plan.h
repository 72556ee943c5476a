// What kill_test and the process it kills agree on.
#pragma once

#include <string>

#include "common/base/time.h"
#include "common/storage/journal_factory.h"
#include "tests/common/storage/images.h"

namespace ballast {

inline constexpr uint32_t kKillUnits = 4;
inline constexpr size_t kKillElements = 20000;  // 240 kB a unit: a write spans many pages

inline JournalOptions kill_journal(const std::string& run_dir) {
  return {run_dir, run_dir + "/journal/0", ShardId(0), Durability::kProcess};
}

}  // namespace ballast
