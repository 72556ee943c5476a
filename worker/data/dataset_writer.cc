#include "worker/data/dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "common/base/hash.h"
#include "common/base/utf8.h"
#include "common/config/nearest.h"
#include "worker/data/codec/codec.h"
#include "worker/data/dataset.h"
#include "worker/data/manifest_edit.h"
#include "worker/data/sealed.h"

namespace ballast {

namespace {

// A job file is UTF-8 and could not name it.
Status check_column_name(const std::string& name) {
  if (is_utf8(name)) return {};
  return Status(Code::kInvalidInput,
                fmt::format("column \"{}\": a name in UTF-8 expected, other bytes found; name it "
                            "otherwise, or bring the source to UTF-8, as with iconv",
                            escaped(name)));
}

Status check_columns(const std::vector<ColumnSpec>& columns) {
  if (columns.empty()) return Status(Code::kInvalidInput, "a data set needs at least one column");
  std::set<std::string> names;
  for (const ColumnSpec& column : columns) {
    if (column.name.empty() || column.width() == 0) {
      return Status(Code::kInvalidInput,
                    fmt::format("column {}: a name and values expected", column.to_string()));
    }
    BALLAST_RETURN_IF_ERROR(check_column_name(column.name));
    if (!names.insert(column.name).second) {
      return Status(Code::kInvalidInput, fmt::format("two columns named \"{}\"", column.name));
    }
  }
  return {};
}

// One for each column.
Result<std::vector<Codec>> choose_codecs(const std::vector<ColumnSpec>& columns,
                                         const std::vector<ColumnCodec>& choices) {
  std::vector<Codec> codecs(columns.size(), Codec::kNone);
  std::vector<std::string> names;
  for (const ColumnSpec& column : columns) names.push_back(column.name);
  for (const ColumnCodec& choice : choices) {
    bool found = choice.column.empty();
    for (size_t i = 0; i < columns.size(); ++i) {
      if (!choice.column.empty() && choice.column != names[i]) continue;
      codecs[i] = choice.codec;
      found = true;
    }
    if (found) continue;
    const std::string hint = did_you_mean(choice.column, names);
    return Status(Code::kInvalidInput,
                  fmt::format("codec {} of column \"{}\": no such column{} there are: {}",
                              codec_name(choice.codec), choice.column, hint.empty() ? ";" : hint,
                              fmt::join(names, ", ")));
  }
  return codecs;
}

Commit commit_of(const DatasetWriterOptions& options) {
  if (options.append) return Commit::kAppend;
  return options.overwrite ? Commit::kReplace : Commit::kNew;
}

}  // namespace

Result<ColumnCodec> parse_column_codec(const std::string& text) {
  const size_t equals = text.rfind('=');
  const bool named = equals != std::string::npos;
  BALLAST_ASSIGN(const Codec codec, parse_codec(named ? text.substr(equals + 1) : text));
  if (equals == 0) {
    return Status(Code::kInvalidInput, fmt::format("codec {}: the name of a column expected before "
                                                   "\"=\"",
                                                   text));
  }
  return ColumnCodec{named ? text.substr(0, equals) : "", codec};
}

Result<DatasetWriter> DatasetWriter::create(const std::string& folder,
                                            std::vector<ColumnSpec> columns,
                                            const DatasetWriterOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_columns(columns));
  BALLAST_ASSIGN(std::vector<Codec> codecs, choose_codecs(columns, options.codecs));
  std::vector<std::string> missing = missing_folders(folder);
  if (!options.append) BALLAST_RETURN_IF_ERROR(make_folder(folder));
  DatasetWriter writer(folder, std::move(columns), std::move(codecs), options);
  BALLAST_RETURN_IF_ERROR(check_target(folder, writer.manifest_, commit_of(options)));
  BALLAST_ASSIGN(const NewFile probe, NewFile::create(folder));  // may we write here?
  writer.made_folders_ = std::move(missing);
  return writer;
}

DatasetWriter::DatasetWriter(std::string folder, std::vector<ColumnSpec> columns,
                             std::vector<Codec> codecs, const DatasetWriterOptions& options)
    : folder_(std::move(folder)),
      options_(options),
      block_(columns, std::move(codecs), options.label) {
  for (const ColumnSpec& column : columns) {
    row_bytes_ += column.variable ? sizeof(uint32_t) : column.row_bytes();
  }
  manifest_.label = options.label;
  manifest_.columns = columns;
  if (block_.has_tables()) {
    manifest_.layouts = {plain_chunks(columns)};
    manifest_.layouts[0].tables = true;
    footer_.minor = kChunkMinor;
  }
  footer_.columns = std::move(columns);
}

DatasetWriter::~DatasetWriter() {
  if (committed_) return;
  file_.reset();  // a named temporary file would be in the way
  if (!manifest_.chunks.empty()) {
    const auto lock = FolderLock::try_take(folder_);
    // Somebody works in the folder, and may be about to name one of them.
    if (lock.ok()) remove_chunks(folder_, chunk_names(manifest_), manifest_in(folder_));
  }
  std::error_code ignored;  // not empty: somebody else put something there
  for (const std::string& folder : made_folders_) std::filesystem::remove(folder, ignored);
}

Status DatasetWriter::add_row(std::span<const std::byte> row) {
  BALLAST_CHECK(row.size() >= row_bytes_);
  const bool full = block_.bytes() + row.size() > options_.block_bytes;
  if (block_.rows() > 0 && full) BALLAST_RETURN_IF_ERROR(close_block());
  block_.add_row(row);
  ++rows_;
  const bool closes = block_.bytes() + row_bytes_ > options_.block_bytes;
  return closes || block_.rows() == kBlockRowsMax ? close_block() : Status();
}

Status DatasetWriter::commit() {
  BALLAST_RETURN_IF_ERROR(close_block());
  BALLAST_RETURN_IF_ERROR(close_chunk());
  BALLAST_ASSIGN(const FolderLock lock, FolderLock::take(folder_));
  BALLAST_RETURN_IF_ERROR(commit_manifest(lock, manifest_, commit_of(options_)));
  committed_ = true;
  return {};
}

Result<Manifest> DatasetWriter::finish() {
  BALLAST_RETURN_IF_ERROR(close_block());
  BALLAST_RETURN_IF_ERROR(close_chunk());
  committed_ = true;
  return manifest_;
}

Status DatasetWriter::close_block() {
  if (block_.rows() == 0) return {};
  if (!file_) BALLAST_RETURN_IF_ERROR(open_chunk());
  BlockBuilder::Built built = block_.take();
  built.spec.offset = file_->size();
  BALLAST_RETURN_IF_ERROR(file_->append(built.bytes));
  manifest_.blocks.push_back({built.spec.offset, built.spec.bytes, xxh3(std::span(built.bytes)),
                              static_cast<uint32_t>(manifest_.chunks.size()),
                              static_cast<uint32_t>(built.spec.rows)});
  for (size_t i = 0; i < built.lists.size() && !manifest_.layouts.empty(); ++i) {
    ListBytes& lists = manifest_.layouts[0].lists[i];
    lists.largest = std::max(lists.largest, built.lists[i]);
    lists.total += built.lists[i];
  }
  footer_.blocks.push_back(std::move(built.spec));
  return file_->size() + built.bytes.size() > options_.chunk_bytes ? close_chunk() : Status();
}

Status DatasetWriter::open_chunk() {
  BALLAST_ASSIGN(file_, NewFile::create(folder_));
  std::vector<std::byte> head = chunk_head(footer_.minor);
  head.resize(kBlockAlignment);
  return file_->append(head);
}

Status DatasetWriter::close_chunk() {
  if (!file_) return {};
  const std::vector<std::byte> encoded = encode(footer_);
  BALLAST_RETURN_IF_ERROR(file_->append(seal(encoded, file_->size(), kChunkMagic)));
  const uint64_t name = xxh3(std::span(encoded));
  if (options_.before_naming) BALLAST_RETURN_IF_ERROR(options_.before_naming(name));
  BALLAST_RETURN_IF_ERROR(file_->publish(hex64(name) + ".blc"));
  manifest_.chunks.push_back({name, file_->size(), footer_.rows()});
  if (!manifest_.layouts.empty()) manifest_.chunk_layouts.push_back(0);
  footer_.blocks.clear();
  file_.reset();
  return {};
}

std::vector<std::string> missing_folders(const std::string& folder) {
  namespace fs = std::filesystem;
  std::vector<std::string> missing;
  std::error_code ignored;
  fs::path path = fs::absolute(folder).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "out/"
  for (; path.has_relative_path() && !fs::exists(path, ignored); path = path.parent_path()) {
    missing.push_back(path.string());
  }
  return missing;
}

}  // namespace ballast
