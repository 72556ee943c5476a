#include "worker/data/convert/mds.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/json_value.h"
#include "worker/data/column_values.h"
#include "worker/data/convert/byte_source.h"
#include "worker/data/convert/mds_column.h"
#include "worker/data/convert/mds_shard.h"
#include "worker/data/file.h"

namespace ballast {

namespace {

constexpr uint64_t kIndexBytesMax = uint64_t{1} << 30;
constexpr uint64_t kShardBytesMax = uint64_t{1} << 32;  // its offsets have 32 bits

// What index.json says of one file.
struct MdsFile {
  std::string name;
  uint64_t bytes = 0;
  std::string xxh3;  // empty: it has none; hashes of other kinds are not checked
};

class MdsIndex {
 public:
  MdsIndex(std::string folder, std::string path)
      : folder_(std::move(folder)), path_(std::move(path)) {}

  Status read() {
    BALLAST_ASSIGN(const File file, File::open(path_));
    if (file.size() > kIndexBytesMax) return refused("an index of at most 1 GiB expected");
    std::string text(file.size(), '\0');
    BALLAST_RETURN_IF_ERROR(file.read_at(0, std::as_writable_bytes(std::span(text))));
    const Result<JsonValue> index = JsonValue::parse(text);
    if (!index.ok()) return refused("JSON expected, " + index.status().chain().front());
    const JsonValue* listed = index->find("shards");
    if (listed == nullptr || listed->items.empty()) return refused("a list of shards expected");
    for (const JsonValue& shard : listed->items) BALLAST_RETURN_IF_ERROR(take(shard));
    return {};
  }

  std::vector<MdsColumn> columns;
  std::vector<MdsShard> shards;

 private:
  Status refused(const std::string& what) const {
    return Status(Code::kInvalidInput,
                  shards.empty() ? fmt::format("{}: {}", path_, what)
                                 : fmt::format("{}, shard {}: {}", path_, shards.size(), what));
  }

  Status take(const JsonValue& shard) {
    const JsonValue* format = shard.find("format");
    const JsonValue* version = shard.find("version");
    if (format == nullptr || !format->is_string("mds") || version == nullptr ||
        version->whole_number() != 2) {
      return refused("format mds, version 2 expected");
    }
    BALLAST_ASSIGN(std::vector<MdsColumn> found, columns_of(shard));
    if (shards.empty()) columns = std::move(found);
    for (size_t i = 0; !found.empty() && i < std::max(found.size(), columns.size()); ++i) {
      if (found.size() == columns.size() && found[i].spec == columns[i].spec &&
          found[i].encoding == columns[i].encoding) {
        continue;
      }
      return refused("the columns of the first shard expected, others found");
    }
    return take_file(shard);
  }

  Result<std::vector<MdsColumn>> columns_of(const JsonValue& shard) const {
    const JsonValue* names = shard.find("column_names");
    const JsonValue* encodings = shard.find("column_encodings");
    if (names == nullptr || encodings == nullptr || names->items.empty() ||
        names->items.size() != encodings->items.size()) {
      return refused("as many column_names as column_encodings expected");
    }
    std::vector<MdsColumn> found;
    for (size_t i = 0; i < names->items.size(); ++i) {
      auto column = MdsColumn::parse(names->items[i].text, encodings->items[i].text);
      if (!column.ok()) return refused(column.status().chain().front());
      found.push_back(*std::move(column));
    }
    return found;
  }

  // The file as it is where it is there, else the compressed one.
  Status take_file(const JsonValue& shard) {
    const JsonValue* samples = shard.find("samples");
    if (samples == nullptr || !samples->whole_number()) return refused("samples expected");
    BALLAST_ASSIGN(const MdsFile raw, file_of(shard, "raw_data"));
    MdsShard taken{folder_ + "/" + raw.name,
                   MdsShard::Packing::kNone,
                   *samples->whole_number(),
                   raw.bytes,
                   raw.bytes,
                   raw.xxh3};
    auto found = inspect_source(taken.path);
    const JsonValue* packed = shard.find("zip_data");
    const bool has_packed = packed != nullptr && packed->kind == JsonValue::Kind::kObject;
    if (!found.ok() && found.status().code() == Code::kNotFound && has_packed) {
      BALLAST_RETURN_IF_ERROR(take_packed(shard, taken));
      found = inspect_source(taken.path);
    }
    if (!found.ok()) return found.status();
    if (found->bytes != taken.file_bytes) {
      return Status(Code::kDataLoss, fmt::format("{}: {} bytes expected by index.json, {} found",
                                                 taken.path, taken.file_bytes, found->bytes));
    }
    shards.push_back(std::move(taken));
    return {};
  }

  Status take_packed(const JsonValue& shard, MdsShard& taken) const {
    BALLAST_ASSIGN(const MdsFile file, file_of(shard, "zip_data"));
    const JsonValue* compression = shard.find("compression");
    const std::string text = compression == nullptr ? "" : compression->text;
    const std::string_view codec = std::string_view(text).substr(0, text.find(':'));
    if (codec != "zstd" && codec != "gz") {
      return refused(
          fmt::format("{} is compressed as \"{}\", zstd or gz expected; unpack the shards "
                      "first, or write them with compression=\"zstd\"",
                      file.name, text));
    }
    taken.packing = codec == "zstd" ? MdsShard::Packing::kZstd : MdsShard::Packing::kGzip;
    taken.path = folder_ + "/" + file.name;
    taken.file_bytes = file.bytes;
    taken.xxh3 = file.xxh3;
    if (taken.raw_bytes / kExpansionMax <= taken.file_bytes) return {};
    return refused(fmt::format("{} bytes cannot hold the {} bytes of raw_data", taken.file_bytes,
                               taken.raw_bytes));
  }

  Result<MdsFile> file_of(const JsonValue& shard, const std::string& which) const {
    const JsonValue* file = shard.find(which);
    const JsonValue* name = file == nullptr ? nullptr : file->find("basename");
    const JsonValue* bytes = file == nullptr ? nullptr : file->find("bytes");
    if (name == nullptr || bytes == nullptr || !bytes->whole_number()) {
      return refused(which + " with basename and bytes expected");
    }
    if (name->text.empty() || name->text.find('/') != std::string::npos || name->text == "..") {
      return refused(fmt::format("a file beside index.json expected, \"{}\" found", name->text));
    }
    if (*bytes->whole_number() >= kShardBytesMax) {
      return refused(fmt::format("{}: less than 4 GiB expected, {} bytes found", name->text,
                                 *bytes->whole_number()));
    }
    const JsonValue* hashes = file->find("hashes");
    const JsonValue* xxh3 = hashes == nullptr ? nullptr : hashes->find("xxh3_64");
    return MdsFile{name->text, *bytes->whole_number(), xxh3 == nullptr ? "" : xxh3->text};
  }

  std::string folder_;
  std::string path_;
};

class MdsFormat : public Format {
 public:
  MdsFormat(MdsIndex index, const std::string& index_path, const MdsOptions& options)
      : stored_(std::move(index.columns)),
        shards_(std::move(index.shards)),
        allow_nonfinite_(options.allow_nonfinite),
        files_{index_path} {
    uint64_t row_bytes = 0;  // of the columns without sizes
    for (const MdsColumn& column : stored_) {
      columns_.push_back(column.spec);
      sized_ += column.has_sizes();
      if (!column.has_sizes()) sample_bytes_ += column.stored_bytes();
      if (!column.has_sizes()) row_bytes += column.spec.row_bytes();
      if (column.spec.name == options.label) label_ = options.label;
    }
    sample_bytes_ += sized_ * sizeof(uint32_t);
    for (const MdsShard& shard : shards_) {
      const bool packed = shard.packing != MdsShard::Packing::kNone;
      extents_.push_back(
          {shard.samples, sized_ > 0 ? shard.raw_bytes : shard.samples * row_bytes, !packed});
      files_.push_back(shard.path);
      if (packed) unpacked_bytes_ = std::max(unpacked_bytes_, shard.raw_bytes + shard.file_bytes);
    }
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return label_; }
  const std::vector<std::string>& files() const override { return files_; }
  const std::vector<Extent>& extents() const override { return extents_; }
  uint64_t reader_bytes() const override {
    return unpacked_bytes_ + std::max(MdsReader::kBytesAtOnce, 2 * sample_bytes_);
  }

  Status read(const SourceRange& range, RowSink& rows) const override {
    const MdsShard& shard = shards_[range.source];
    if (range.begin == 0) BALLAST_RETURN_IF_ERROR(shard.check_hash());
    BALLAST_ASSIGN(MdsReader reader, MdsReader::open(shard));
    std::vector<std::byte> row;
    for (uint64_t at = range.begin; at < range.end;) {
      BALLAST_ASSIGN(const MdsReader::Samples samples, reader.read(at, range.end));
      uint64_t offset = samples.offset;
      for (const auto sample : samples.bytes) {
        row.clear();
        BALLAST_RETURN_IF_ERROR(make_row(shard, at, sample, offset, row));
        BALLAST_RETURN_IF_ERROR(rows.add(row));
        offset += sample.size();
        ++at;
      }
    }
    return {};
  }

 private:
  // A sample is the bytes of each value whose column has sizes, u32, and then the values.
  Status make_row(const MdsShard& shard, uint64_t number, std::span<const std::byte> sample,
                  uint64_t offset, std::vector<std::byte>& row) const {
    uint64_t expected = sample_bytes_;
    for (uint64_t i = 0; i < sized_ && sample.size() >= sample_bytes_; ++i) {
      expected += load_value<uint32_t>(sample.data(), i);
    }
    if (sample.size() != expected) {
      return shard.damaged(
          offset, fmt::format("sample {}: {} bytes expected by its columns, {} found", number,
                              expected, sample.size()));
    }
    uint64_t at = sized_ * sizeof(uint32_t);
    uint64_t next_size = 0;
    for (const MdsColumn& column : stored_) {
      const uint64_t bytes = column.has_sizes() ? load_value<uint32_t>(sample.data(), next_size++)
                                                : column.stored_bytes();
      if (const auto fault = column.append(sample.subspan(at, bytes), allow_nonfinite_, row)) {
        return shard.damaged(offset + at + fault->at,
                             fmt::format("column \"{}\": {}", column.spec.name, fault->what),
                             fault->code);
      }
      at += bytes;
    }
    return {};
  }

  std::vector<MdsColumn> stored_;
  std::vector<MdsShard> shards_;
  bool allow_nonfinite_;
  std::string label_;
  std::vector<ColumnSpec> columns_;
  std::vector<std::string> files_;
  std::vector<Extent> extents_;
  uint64_t sized_ = 0;           // columns whose values say their bytes
  uint64_t sample_bytes_ = 0;    // of a sample but for the values of those
  uint64_t unpacked_bytes_ = 0;  // that one packed shard takes
};

}  // namespace

Result<std::unique_ptr<Format>> open_mds(const std::string& folder, const MdsOptions& options) {
  const std::string path = folder + "/index.json";
  MdsIndex index(folder, path);
  BALLAST_RETURN_IF_ERROR(index.read());
  return std::unique_ptr<Format>(std::make_unique<MdsFormat>(std::move(index), path, options));
}

}  // namespace ballast
