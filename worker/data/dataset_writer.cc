#include "worker/data/dataset_writer.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>

#include "common/base/hash.h"
#include "worker/data/dataset.h"
#include "worker/data/sealed.h"

namespace ballast {

namespace {

constexpr size_t kLabelsMax = 1024;  // more distinct values than that are not classes

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t integer_at(std::span<const std::byte> values, ColumnType type, uint64_t index) {
  const std::byte* at = values.data() + index * element_bytes(type);
  if (type == ColumnType::kU8) return static_cast<int64_t>(*at);
  if (type == ColumnType::kI64) {
    int64_t wide;
    std::memcpy(&wide, at, sizeof wide);
    return wide;
  }
  int32_t narrow;
  std::memcpy(&narrow, at, sizeof narrow);
  return narrow;
}

Status check_columns(const std::vector<ColumnSpec>& columns) {
  if (columns.empty()) return Status(Code::kInvalidInput, "a data set needs at least one column");
  std::set<std::string> names;
  for (const ColumnSpec& column : columns) {
    if (column.name.empty() || column.width() == 0) {
      return Status(Code::kInvalidInput,
                    fmt::format("column {}: a name and values expected", column.to_string()));
    }
    if (!names.insert(column.name).second) {
      return Status(Code::kInvalidInput, fmt::format("two columns named \"{}\"", column.name));
    }
  }
  return {};
}

// What the folder holds now; empty when it is no data set.
Manifest manifest_in(const std::string& folder) {
  const auto dataset = Dataset::open(folder);
  return dataset.ok() ? (*dataset)->manifest() : Manifest();
}

}  // namespace

Result<DatasetWriter> DatasetWriter::create(const std::string& folder,
                                            std::vector<ColumnSpec> columns,
                                            const DatasetWriterOptions& options) {
  BALLAST_RETURN_IF_ERROR(check_columns(columns));
  std::vector<std::string> missing = missing_folders(folder);
  BALLAST_RETURN_IF_ERROR(make_folder(folder));
  std::error_code ignored;
  const std::string path = folder + "/" + std::string(kManifestName);
  if (!options.overwrite && std::filesystem::exists(path, ignored)) {
    return Status(Code::kInvalidInput, fmt::format("{} already holds a data set: choose another "
                                                   "folder, or replace it with --overwrite",
                                                   folder));
  }
  BALLAST_ASSIGN(const NewFile probe, NewFile::create(folder));  // may we write here?
  DatasetWriter writer(folder, std::move(columns), options);
  writer.made_folders_ = std::move(missing);
  return writer;
}

DatasetWriter::DatasetWriter(std::string folder, std::vector<ColumnSpec> columns,
                             const DatasetWriterOptions& options)
    : folder_(std::move(folder)), options_(options), staged_(columns.size()) {
  for (const ColumnSpec& column : columns) row_bytes_ += column.row_bytes();
  block_rows_ = std::clamp<uint64_t>(options.block_bytes / row_bytes_, 1, kBlockRowsMax);
  manifest_.label = options.label;
  manifest_.columns = columns;
  footer_.columns = std::move(columns);
}

DatasetWriter::~DatasetWriter() {
  if (committed_) return;
  file_.reset();  // a named temporary file would be in the way
  if (!manifest_.chunks.empty()) {
    remove_chunks(folder_, chunk_names(manifest_), manifest_in(folder_));
  }
  std::error_code ignored;  // not empty: somebody else put something there
  for (const std::string& folder : made_folders_) std::filesystem::remove(folder, ignored);
}

Status DatasetWriter::add_row(std::span<const std::byte> row) {
  BALLAST_CHECK(row.size() == row_bytes_);
  for (size_t i = 0; i < staged_.size(); ++i) {
    const auto values = row.first(footer_.columns[i].row_bytes());
    staged_[i].insert(staged_[i].end(), values.begin(), values.end());
    row = row.subspan(values.size());
  }
  ++rows_;
  ++staged_rows_;
  return staged_rows_ == block_rows_ ? close_block() : Status();
}

Status DatasetWriter::commit() {
  BALLAST_RETURN_IF_ERROR(close_block());
  BALLAST_RETURN_IF_ERROR(close_chunk());
  const Manifest replaced = manifest_in(folder_);
  const std::vector<std::byte> sealed = seal(encode(manifest_), 0, kManifestMagic);
  BALLAST_RETURN_IF_ERROR(replace_file(folder_, std::string(kManifestName), sealed));
  committed_ = true;
  remove_chunks(folder_, chunk_names(replaced), manifest_);
  return {};
}

Result<Manifest> DatasetWriter::finish() {
  BALLAST_RETURN_IF_ERROR(close_block());
  BALLAST_RETURN_IF_ERROR(close_chunk());
  committed_ = true;
  return manifest_;
}

Status DatasetWriter::close_block() {
  if (staged_rows_ == 0) return {};
  if (!file_) BALLAST_RETURN_IF_ERROR(open_chunk());
  BlockSpec block{file_->size(), 0, staged_rows_, {}, count_labels()};
  std::vector<std::byte> bytes;
  for (const std::vector<std::byte>& values : staged_) {
    bytes.resize(round_up(bytes.size(), kColumnAlignment));
    block.buffers.push_back(
        {bytes.size(), values.size(), values.size(), xxh3(std::span(values)), Codec::kNone});
    bytes.insert(bytes.end(), values.begin(), values.end());
  }
  bytes.resize(round_up(bytes.size(), kBlockAlignment));
  block.bytes = bytes.size();
  BALLAST_RETURN_IF_ERROR(file_->append(bytes));
  manifest_.blocks.push_back({block.offset, block.bytes, xxh3(std::span(bytes)),
                              static_cast<uint32_t>(manifest_.chunks.size()),
                              static_cast<uint32_t>(block.rows)});
  footer_.blocks.push_back(std::move(block));
  for (std::vector<std::byte>& values : staged_) values.clear();
  staged_rows_ = 0;
  return file_->size() + bytes.size() > options_.chunk_bytes ? close_chunk() : Status();
}

Status DatasetWriter::open_chunk() {
  BALLAST_ASSIGN(file_, NewFile::create(folder_));
  std::vector<std::byte> head = chunk_head();
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
  footer_.blocks.clear();
  file_.reset();
  return {};
}

std::vector<LabelCount> DatasetWriter::count_labels() const {
  std::map<int64_t, uint64_t> counts;
  for (size_t i = 0; i < staged_.size(); ++i) {
    const ColumnSpec& column = footer_.columns[i];
    if (column.name != options_.label || !is_integer(column.type)) continue;
    for (uint64_t k = 0; k < staged_rows_ * column.width(); ++k) {
      ++counts[integer_at(staged_[i], column.type, k)];
      if (counts.size() > kLabelsMax) return {};
    }
  }
  std::vector<LabelCount> labels;
  for (const auto& [label, count] : counts) labels.push_back({label, count});
  return labels;
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

std::set<uint64_t> chunk_names(const Manifest& manifest) {
  std::set<uint64_t> names;
  for (const ManifestChunk& chunk : manifest.chunks) names.insert(chunk.footer_xxh3);
  return names;
}

void remove_chunks(const std::string& folder, const std::set<uint64_t>& chunks,
                   const Manifest& kept) {
  const std::set<uint64_t> named = chunk_names(kept);
  for (const uint64_t chunk : chunks) {
    if (named.contains(chunk)) continue;
    std::error_code ignored;
    std::filesystem::remove(fmt::format("{}/{}.blc", folder, hex64(chunk)), ignored);
  }
}

}  // namespace ballast
