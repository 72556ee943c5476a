// ConvertState: what an interrupted conversion leaves in its folder, so that the same command goes
// on where it stopped: the options and sources (with size and time of change), the chunks that got
// a name, the pieces that are finished. A file of lines, each with its XXH3-64; lines are only
// added, and a line that a kill cut short counts as not written. Owner thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "common/base/status.h"
#include "common/wire/chunk/chunk_format.h"

namespace ballast {

inline constexpr const char* kConvertStateName = "convert.state";

// What fixes the result of a conversion.
struct ConvertIdentity {
  struct Source {
    std::string path;
    uint64_t bytes = 0;
    int64_t changed_ns = 0;
    bool operator==(const Source&) const = default;
  };
  std::string settings;
  std::vector<Source> sources;
  bool operator==(const ConvertIdentity&) const = default;

  // kNotFound: a source has gone.
  static Result<ConvertIdentity> of(std::string settings, const std::vector<std::string>& files);
  // "a.csv has changed", "the options have"; empty: nothing.
  [[nodiscard]] std::string difference(const ConvertIdentity& before) const;
};

// What a state file says.
struct ConvertRecord {
  ConvertIdentity identity;
  std::set<uint64_t> chunks;            // named, or about to be
  std::map<uint64_t, Manifest> pieces;  // finished, with their part of the manifest
  // Of the data set, when all of it was about to be appended there: the chunks before it.
  std::optional<uint64_t> appends_at;

  // Nothing: there is no state in the folder, or none that can be read.
  static std::optional<ConvertRecord> read(const std::string& folder);
};

class ConvertState {
 public:
  // Writes `record` anew, at once, and goes on behind it.
  static Result<ConvertState> start(const std::string& folder, const ConvertRecord& record);
  ~ConvertState();
  ConvertState(ConvertState&& other) noexcept;
  ConvertState& operator=(ConvertState&&) = delete;

  // Before the chunk gets its name: whoever starts over knows what to remove.
  [[nodiscard]] Status add_chunk(uint64_t footer_xxh3);
  [[nodiscard]] Status add_piece(uint64_t piece, const Manifest& part);
  // Before the manifest is swapped: whoever goes on tells these chunks from the same ones that an
  // earlier append of the same rows left.
  [[nodiscard]] Status add_append(uint64_t chunks_before);

 private:
  ConvertState(std::string path, int descriptor);
  [[nodiscard]] Status add_line(const std::string& payload);

  std::string path_;
  int descriptor_;
};

void remove_convert_state(const std::string& folder);

}  // namespace ballast
