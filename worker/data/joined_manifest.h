// The manifest that several data sets have together: the chunks of all, and the columns on which
// they agree. It is in memory only. Pure.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/dataset.h"

namespace ballast {

struct JoinedManifest {
  Manifest manifest;                            // `label`: if it is the same in all parts
  std::map<std::string, std::string> left_out;  // by column: why the sets do not agree on it
};

// kInvalidInput: no column is in all of them.
Result<JoinedManifest> join_manifests(std::span<const std::shared_ptr<const Dataset>> parts);

}  // namespace ballast
