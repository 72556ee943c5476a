#include "worker/data/convert/convert.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <limits>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "common/base/hash.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/convert/convert_state.h"
#include "worker/data/convert/piece_plan.h"
#include "worker/data/dataset.h"
#include "worker/data/manifest_edit.h"

namespace ballast {

namespace {

constexpr auto kProgressEvery = std::chrono::milliseconds(500);
constexpr uint64_t kRowsPerReport = 1024;
constexpr size_t kNone = std::numeric_limits<size_t>::max();
// Of a chunk: a piece whose rows are a little larger than estimated still fits one.
constexpr double kPieceOfChunk = 0.9;

bool chunks_are_there(const std::string& folder, const Manifest& part) {
  return std::all_of(part.chunks.begin(), part.chunks.end(), [&](const ManifestChunk& chunk) {
    const auto reader =
        ChunkReader::open(fmt::format("{}/{}.blc", folder, hex64(chunk.footer_xxh3)));
    return reader.ok() && reader->footer_xxh3() == chunk.footer_xxh3 &&
           reader->file().size() == chunk.bytes;
  });
}

// Of a row whose lists are empty.
uint64_t least_row_bytes(const std::vector<ColumnSpec>& columns) {
  uint64_t bytes = 0;
  for (const ColumnSpec& column : columns) {
    bytes += column.variable ? sizeof(uint32_t) : column.row_bytes();
  }
  return bytes;
}

// The chunks of `part` stand in `whole` behind so many others.
bool holds_chunks(const Manifest& whole, uint64_t behind, const Manifest& part) {
  const auto same = [](const ManifestChunk& a, const ManifestChunk& b) {
    return a.footer_xxh3 == b.footer_xxh3;
  };
  return whole.chunks.size() >= behind + part.chunks.size() &&
         std::equal(part.chunks.begin(), part.chunks.end(),
                    whole.chunks.begin() + static_cast<std::ptrdiff_t>(behind), same);
}

// The same call would fail again in the same way, so nothing of it is worth keeping.
bool is_final(Code code) {
  return code == Code::kInvalidInput || code == Code::kNotFound || code == Code::kDataLoss ||
         code == Code::kConflict;
}

// thread   owns                    takes from         gives to
// caller   manifest, state file                       progress
// workers  one piece's writer      next_ (mutex)      parts_, state file (mutex)
class Conversion {
 public:
  Conversion(const Format& format, const std::string& folder, const ConvertOptions& options)
      : format_(format), folder_(folder), options_(options) {}

  Result<uint64_t> run();

 private:
  class PieceSink;

  [[nodiscard]] Status begin();
  [[nodiscard]] std::string settings() const;
  [[nodiscard]] Status look_back();
  [[nodiscard]] Status convert_pieces();
  void work();
  Result<Manifest> convert_piece(size_t piece);
  void finish_piece(size_t piece, Result<Manifest> part);
  void report();
  [[nodiscard]] Status commit();
  [[nodiscard]] Status failed(Status status);
  [[nodiscard]] Commit commit_kind() const {
    if (options_.writer.append) return Commit::kAppend;
    return options_.writer.overwrite ? Commit::kReplace : Commit::kNew;
  }
  [[nodiscard]] Manifest nothing() const;  // the data set without rows
  [[nodiscard]] Manifest whole() const;    // of all pieces
  [[nodiscard]] bool all_done() const {
    return std::all_of(parts_.begin(), parts_.end(), [](const auto& part) { return bool(part); });
  }
  void note(const std::string& text) const {
    if (options_.note) options_.note(text);
  }

  const Format& format_;
  const std::string& folder_;
  const ConvertOptions& options_;
  std::vector<SourcePiece> pieces_;
  std::vector<std::string> made_folders_;
  std::optional<FolderLock> lock_;  // one conversion at a time
  ConvertRecord record_;
  bool committed_ = false;  // by an earlier run that did not come to its end
  uint64_t source_bytes_ = 0;
  uint64_t stored_all_ = 0;     // of the pieces, about
  uint64_t stored_before_ = 0;  // done by an earlier run
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();

  std::mutex mutex_;  // guards all below but the atomic ones
  std::condition_variable ended_;
  size_t working_ = 0;
  size_t next_ = 0;
  std::vector<std::optional<Manifest>> parts_;  // one a piece, as they are done
  std::optional<ConvertState> state_;
  Status failure_;  // of the first piece that failed, in the order of the sources
  std::atomic<size_t> failed_piece_ = kNone;
  std::atomic<uint64_t> rows_ = 0;
  std::atomic<uint64_t> stored_ = 0;
};

// Rows of one piece into a writer. Stops when an earlier piece has failed.
class Conversion::PieceSink : public RowSink {
 public:
  PieceSink(Conversion& conversion, size_t piece, DatasetWriter writer)
      : conversion_(conversion), piece_(piece), writer_(std::move(writer)) {}

  Status add(std::span<const std::byte> row) override {
    if (++unreported_ == kRowsPerReport) {
      if (conversion_.failed_piece_.load(std::memory_order_relaxed) < piece_) {
        return Status(Code::kStopped, "an earlier piece failed");
      }
      report();
    }
    unreported_bytes_ += row.size();
    return writer_.add_row(row);
  }
  Result<Manifest> finish() {
    report();
    // From here on the piece counts as estimated.
    conversion_.stored_ += conversion_.pieces_[piece_].stored_bytes - stored_;
    return writer_.finish();
  }

 private:
  void report() {
    conversion_.rows_ += unreported_;
    const uint64_t left = conversion_.pieces_[piece_].stored_bytes - stored_;
    const uint64_t more = std::min(left, unreported_bytes_);
    stored_ += more;
    conversion_.stored_ += more;
    unreported_ = 0;
    unreported_bytes_ = 0;
  }

  Conversion& conversion_;
  const size_t piece_;
  DatasetWriter writer_;
  uint64_t unreported_ = 0;  // rows
  uint64_t unreported_bytes_ = 0;
  uint64_t stored_ = 0;
};

Result<uint64_t> Conversion::run() {
  made_folders_ = missing_folders(folder_);
  if (Status begun = begin(); !begun.ok()) {
    std::error_code ignored;
    for (const std::string& folder : made_folders_) std::filesystem::remove(folder, ignored);
    return begun;
  }
  Status done = convert_pieces();
  if (done.ok()) done = commit();
  if (!done.ok()) return failed(std::move(done));
  return whole().rows();
}

Status Conversion::begin() {
  const auto piece_bytes =
      static_cast<uint64_t>(kPieceOfChunk * static_cast<double>(options_.writer.chunk_bytes));
  pieces_ = plan_pieces(format_.extents(), piece_bytes);
  parts_.resize(pieces_.size());
  for (const SourcePiece& piece : pieces_) stored_all_ += piece.stored_bytes;
  BALLAST_RETURN_IF_ERROR(make_folder(folder_));
  BALLAST_ASSIGN(FolderLock lock, FolderLock::try_take(folder_));
  lock_.emplace(std::move(lock));
  BALLAST_ASSIGN(record_.identity, ConvertIdentity::of(settings(), format_.files()));
  for (const auto& source : record_.identity.sources) source_bytes_ += source.bytes;
  BALLAST_RETURN_IF_ERROR(look_back());
  // Also those that the new manifest will replace: what is recorded is removed if nobody names it.
  record_.chunks.merge(chunk_names(manifest_in(folder_)));
  BALLAST_ASSIGN(ConvertState state, ConvertState::start(folder_, record_));
  state_.emplace(std::move(state));
  return {};
}

std::string Conversion::settings() const {
  std::string text =
      fmt::format("{} block={} chunk={} label={}", options_.settings, options_.writer.block_bytes,
                  options_.writer.chunk_bytes, format_.label());
  for (const ColumnSpec& column : format_.columns()) text += ", " + column.to_string();
  return text;
}

// What an earlier run left: goes on with it, or removes it.
Status Conversion::look_back() {
  std::optional<ConvertRecord> before = ConvertRecord::read(folder_);
  if (!before) return check_target(folder_, nothing(), commit_kind());
  const std::string difference = record_.identity.difference(before->identity);
  if (!difference.empty()) {
    BALLAST_RETURN_IF_ERROR(check_target(folder_, nothing(), commit_kind()));
    note(fmt::format("{}: starts over what an earlier run began: {}", folder_, difference));
    remove_chunks(folder_, before->chunks, manifest_in(folder_));
    return {};
  }
  record_.chunks = std::move(before->chunks);
  size_t done = 0;
  for (auto& [piece, part] : before->pieces) {
    if (piece >= pieces_.size() || !chunks_are_there(folder_, part)) continue;
    stored_before_ += pieces_[piece].stored_bytes;
    rows_ += part.rows();
    record_.pieces[piece] = part;
    parts_[piece] = std::move(part);
    ++done;
  }
  stored_ = stored_before_;
  // Killed between the manifest and the end: only the end is left to do.
  const Manifest there = manifest_in(folder_);
  record_.appends_at = before->appends_at;
  committed_ =
      all_done() && (options_.writer.append
                         ? before->appends_at && holds_chunks(there, *before->appends_at, whole())
                         : encode(whole()) == encode(there));
  if (!committed_) BALLAST_RETURN_IF_ERROR(check_target(folder_, nothing(), commit_kind()));
  note(fmt::format("{}: goes on; {} of {} pieces were finished before", folder_, done,
                   pieces_.size()));
  return {};
}

Status Conversion::convert_pieces() {
  std::vector<std::thread> threads;
  working_ = std::clamp<size_t>(options_.threads, 1, std::max<size_t>(pieces_.size(), 1));
  for (size_t i = working_; i > 0; --i) threads.emplace_back([this] { work(); });
  {
    std::unique_lock lock(mutex_);
    while (!ended_.wait_for(lock, kProgressEvery, [this] { return working_ == 0; })) {
      lock.unlock();
      report();
      lock.lock();
    }
  }
  for (std::thread& thread : threads) thread.join();
  report();
  return failure_;
}

void Conversion::work() {
  for (;;) {
    size_t piece = 0;
    {
      const std::scoped_lock lock(mutex_);
      while (next_ < pieces_.size() && parts_[next_]) ++next_;
      if (next_ == pieces_.size() || failed_piece_ != kNone) {
        --working_;
        ended_.notify_all();
        return;
      }
      piece = next_++;
    }
    finish_piece(piece, convert_piece(piece));
  }
}

Result<Manifest> Conversion::convert_piece(size_t piece) {
  DatasetWriterOptions writer = options_.writer;
  writer.label = format_.label();
  writer.overwrite = true;  // asked before
  writer.append = false;
  writer.before_naming = [this](uint64_t chunk) {
    const std::scoped_lock lock(mutex_);
    BALLAST_RETURN_IF_ERROR(state_->add_chunk(chunk));
    return options_.writer.before_naming ? options_.writer.before_naming(chunk) : Status();
  };
  BALLAST_ASSIGN(DatasetWriter rows, DatasetWriter::create(folder_, format_.columns(), writer));
  PieceSink sink(*this, piece, std::move(rows));
  for (const SourceRange& range : pieces_[piece].ranges) {
    BALLAST_RETURN_IF_ERROR(format_.read(range, sink));
  }
  return sink.finish();
}

void Conversion::finish_piece(size_t piece, Result<Manifest> part) {
  const std::scoped_lock lock(mutex_);
  Status status = part.status();
  if (status.ok()) status = state_->add_piece(piece, *part);
  if (status.ok()) {
    parts_[piece] = std::move(*part);
  } else if (piece < failed_piece_) {
    failed_piece_ = piece;
    failure_ = std::move(status);
  }
}

void Conversion::report() {
  if (!options_.progress) return;
  const auto bytes = [this](uint64_t stored) {
    return static_cast<uint64_t>(static_cast<double>(source_bytes_) * static_cast<double>(stored) /
                                 static_cast<double>(std::max<uint64_t>(stored_all_, 1)));
  };
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - started_;
  options_.progress({rows_, bytes(stored_), source_bytes_, bytes(stored_before_), passed.count()});
}

Manifest Conversion::nothing() const {
  Manifest manifest;
  manifest.columns = format_.columns();
  manifest.label = format_.label();
  return manifest;
}

Manifest Conversion::whole() const {
  Manifest manifest = nothing();
  for (const auto& part : parts_) manifest = joined(std::move(manifest), *part).value();
  manifest.minor = manifest.layouts.empty() ? 0 : kChunkMinor;
  return manifest;
}

Status Conversion::commit() {
  BALLAST_ASSIGN(const ConvertIdentity now, ConvertIdentity::of(settings(), format_.files()));
  if (const std::string difference = now.difference(record_.identity); !difference.empty()) {
    return Status(Code::kConflict, difference + " while it was being converted: convert it anew");
  }
  const Manifest manifest = whole();
  if (manifest.rows() == 0) {
    return Status(Code::kInvalidInput,
                  fmt::format("data set {}: at least one row expected, none found in the files "
                              "given",
                              folder_));
  }
  if (!committed_) {
    // Asked before whether one may be there, and this one holds the lock since.
    const Commit kind = options_.writer.append ? Commit::kAppend : Commit::kReplace;
    if (options_.writer.append) {
      BALLAST_RETURN_IF_ERROR(state_->add_append(manifest_in(folder_).chunks.size()));
    }
    BALLAST_RETURN_IF_ERROR(commit_manifest(*lock_, manifest, kind));
  }
  remove_chunks(folder_, record_.chunks, manifest_in(folder_));
  remove_convert_state(folder_);
  return {};
}

Status Conversion::failed(Status status) {
  state_.reset();
  if (!is_final(status.code())) {
    return std::move(status).because(
        "what is converted stays: the same command again goes on from there");
  }
  if (const auto record = ConvertRecord::read(folder_)) {
    remove_chunks(folder_, record->chunks, manifest_in(folder_));
  }
  remove_convert_state(folder_);
  std::error_code ignored;  // not empty: somebody else put something there
  for (const std::string& folder : made_folders_) std::filesystem::remove(folder, ignored);
  return status;
}

}  // namespace

Result<uint64_t> convert(const Format& format, const std::string& folder,
                         const ConvertOptions& options) {
  return Conversion(format, folder, options).run();
}

uint64_t convert_memory_bytes(const Format& format, const ConvertOptions& options) {
  const uint64_t block_bytes =
      std::max(options.writer.block_bytes, least_row_bytes(format.columns()));
  return options.threads * (2 * block_bytes + format.reader_bytes());
}

std::string progress_text(const ConvertProgress& progress) {
  constexpr double kMegabyte = 1e6;
  const auto all = static_cast<double>(std::max<uint64_t>(progress.bytes_all, 1));
  const auto done = static_cast<double>(progress.bytes - progress.bytes_before);
  const double rate = progress.seconds > 0 ? done / progress.seconds : 0;
  const auto left = static_cast<double>(progress.bytes_all - progress.bytes);
  std::string text =
      fmt::format("{} rows, {:.0f} % of {:.0f} MB, {:.0f} MB/s", progress.rows,
                  100.0 * static_cast<double>(progress.bytes) / all,
                  static_cast<double>(progress.bytes_all) / kMegabyte, rate / kMegabyte);
  if (rate > 0) text += fmt::format(", {:.0f} s left", left / rate);
  return text;
}

}  // namespace ballast
