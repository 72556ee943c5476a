// What becomes of a data set's manifest when columns or chunks are added: the edits themselves,
// which are pure, and their way into a folder, one writer at a time.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <string_view>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"
#include "worker/data/file.h"

namespace ballast {

// Chunks that are there lack the column: all its values are `column.default_value`, its lists are
// empty. kInvalidInput: the name is taken, or the type does not hold the default.
Result<Manifest> with_column(Manifest manifest, const ColumnSpec& column);

// The chunks keep the column, nobody sees it any more. A label column's histograms go with it.
// kInvalidInput: no such column, or it is the last one.
Result<Manifest> without_column(Manifest manifest, std::string_view name);

// The chunks of `added` behind those of `base`. kInvalidInput: other columns or another label; says
// which.
Result<Manifest> joined(Manifest base, const Manifest& added);

// What becomes of a data set that stands in the folder.
enum class Commit {
  kNew,      // there must be none
  kReplace,  // its chunks are removed
  kAppend,   // it stays, and there must be one
};

// Whether a data set like `written` may be committed there; commit_manifest() asks again.
// kInvalidInput: one is there already, or one of other columns. kNotFound: none is there.
[[nodiscard]] Status check_target(const std::string& folder, const Manifest& written,
                                  Commit commit);

// Makes the chunks of `written`, which stand in the folder, its data set or a part of it. One
// writer at a time, who holds the folder's lock; readers do not take it. Of two who append both
// come in. kConflict: a chunk is not there any more; write again.
[[nodiscard]] Status commit_manifest(const FolderLock& lock, const Manifest& written,
                                     Commit commit);

// Removes these chunks from the folder but for those that `kept` names. One that cannot be removed
// costs space, nothing else: nobody names it any more.
void remove_chunks(const std::string& folder, const std::set<uint64_t>& chunks,
                   const Manifest& kept);
[[nodiscard]] std::set<uint64_t> chunk_names(const Manifest& manifest);
// What the folder holds now; empty when it is no data set.
[[nodiscard]] Manifest manifest_in(const std::string& folder);

// The edits above, of the data set in `folder`.
[[nodiscard]] Status add_column(const std::string& folder, const ColumnSpec& column);
[[nodiscard]] Status drop_column(const std::string& folder, const std::string& name);

}  // namespace ballast
