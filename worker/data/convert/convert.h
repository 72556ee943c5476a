// convert: a Format's sources -> a data set. Pieces of the sources are converted by several
// threads, each with a writer of its own; the chunks are the same whatever their number. A
// conversion that was cut short, by kill -9 at any instant too, goes on from its finished pieces
// (convert_state.h) and gives the same data set as one that was not.
//
// Memory: threads x (a block as rows + a block as bytes + what the format's reader keeps).
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "common/base/status.h"
#include "worker/data/convert/format.h"
#include "worker/data/dataset_writer.h"

namespace ballast {

struct ConvertProgress {
  uint64_t rows = 0;
  uint64_t bytes = 0;         // of the sources, about; those of an earlier run included
  uint64_t bytes_all = 0;     // of the sources
  uint64_t bytes_before = 0;  // done by an earlier run
  double seconds = 0;         // of this run
};

struct ConvertOptions {
  DatasetWriterOptions writer;  // but the label, which is the format's
  uint32_t threads = 1;
  // Everything that fixes the result beside the sources; told apart from that of an earlier run.
  std::string settings;
  // On the caller's thread, twice a second and at the end.
  std::function<void(const ConvertProgress&)> progress;
  // What a person should know: that it goes on, or starts over and why.
  std::function<void(const std::string&)> note;
};

// Returns the rows of the data set. What is wrong with the sources comes back as the first error
// in their order, and nothing stays behind; after other failures (disk full) what is finished
// stays, and the same call goes on from there. kConflict: another conversion into the folder runs,
// or a source changed meanwhile.
Result<uint64_t> convert(const Format& format, const std::string& folder,
                         const ConvertOptions& options);

// The sum above, in bytes.
[[nodiscard]] uint64_t convert_memory_bytes(const Format& format, const ConvertOptions& options);

// "1200000 rows, 45 % of 500 MB, 210 MB/s, 2 s left".
[[nodiscard]] std::string progress_text(const ConvertProgress& progress);

}  // namespace ballast
