#include "worker/data/convert/mds.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/json_value.h"
#include "worker/data/column_values.h"
#include "worker/data/convert/element_kind.h"
#include "worker/data/file.h"

namespace ballast {

namespace {

constexpr uint64_t kIndexBytesMax = uint64_t{1} << 30;
constexpr uint64_t kSamplesAtOnce = 1024;

struct MdsColumn {
  std::string encoding;
  ElementKind kind;
  ColumnSpec spec;

  [[nodiscard]] uint64_t stored_bytes() const { return spec.width() * kind.bytes; }
};

// "ndarray:float32:3,224,224" -> its kind and shape. Nothing: another encoding, or a type or shape
// that each sample says for itself.
std::optional<MdsColumn> parse_encoding(const std::string& name, const std::string& encoding) {
  MdsColumn column{encoding, {}, {name, ColumnType::kF32, {}}};
  std::string type = encoding == "int" ? "int64" : encoding;
  if (type.starts_with("ndarray:")) {
    const size_t colon = type.find(':', 8);
    if (colon == std::string::npos) return std::nullopt;
    std::string_view extents = std::string_view(encoding).substr(colon + 1);
    while (!extents.empty()) {
      uint32_t extent = 0;
      const auto [end, error] =
          std::from_chars(extents.data(), extents.data() + extents.size(), extent);
      if (error != std::errc() || extent == 0) return std::nullopt;
      column.spec.shape.push_back(extent);
      extents.remove_prefix(static_cast<size_t>(end - extents.data()));
      if (!extents.empty() && extents.front() != ',') return std::nullopt;
      extents.remove_prefix(std::min<size_t>(1, extents.size()));
    }
    type = type.substr(8, colon - 8);
  }
  const auto kind = element_kind_named(type);
  if (!kind || kind->family == ElementKind::Family::kBool || !kind->column_type()) {
    return std::nullopt;
  }
  column.kind = *kind;
  column.spec.type = *kind->column_type();
  return column;
}

struct MdsShard {
  File file;
  uint64_t samples = 0;
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
    return open_file(shard);
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
      const std::string& encoding = encodings->items[i].text;
      auto column = parse_encoding(names->items[i].text, encoding);
      if (!column) {
        return refused(fmt::format(
            "column \"{}\": int, int8 to int64, uint8 to uint32, float16 to float64 or ndarray "
            "with type and shape expected, {} found{}",
            names->items[i].text, encoding,
            encoding == "pkl" ? "; a pickle is a program, nothing here runs it" : ""));
      }
      found.push_back(std::move(*column));
    }
    return found;
  }

  Status open_file(const JsonValue& shard) {
    const JsonValue* raw = shard.find("raw_data");
    const JsonValue* name = raw == nullptr ? nullptr : raw->find("basename");
    const JsonValue* bytes = raw == nullptr ? nullptr : raw->find("bytes");
    const JsonValue* samples = shard.find("samples");
    if (name == nullptr || bytes == nullptr || samples == nullptr || !bytes->whole_number() ||
        !samples->whole_number()) {
      return refused("raw_data with basename and bytes, and samples, expected");
    }
    if (name->text.empty() || name->text.find('/') != std::string::npos || name->text == "..") {
      return refused(fmt::format("a file beside index.json expected, \"{}\" found", name->text));
    }
    auto file = File::open(folder_ + "/" + name->text);
    const JsonValue* packed = shard.find("zip_data");
    if (!file.ok() && packed != nullptr && packed->kind == JsonValue::Kind::kObject) {
      return refused(name->text + " is compressed; unpack the shards first, as with zstd -d");
    }
    if (!file.ok()) return file.status();
    if (file->size() != *bytes->whole_number()) {
      return Status(Code::kDataLoss,
                    fmt::format("{}: {} bytes expected by index.json, {} found", file->path(),
                                *bytes->whole_number(), file->size()));
    }
    shards.push_back({std::move(*file), *samples->whole_number()});
    return {};
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
    for (const MdsColumn& column : stored_) {
      columns_.push_back(column.spec);
      sample_bytes_ += column.stored_bytes();
      row_bytes_ += column.spec.row_bytes();
      if (column.spec.name == options.label) label_ = options.label;
    }
    for (const MdsShard& shard : shards_) {
      extents_.push_back({shard.samples, shard.samples * row_bytes_, true});
      files_.push_back(shard.file.path());
    }
  }

  const std::vector<ColumnSpec>& columns() const override { return columns_; }
  const std::string& label() const override { return label_; }
  const std::vector<std::string>& files() const override { return files_; }
  const std::vector<Extent>& extents() const override { return extents_; }
  uint64_t reader_bytes() const override { return at_once() * (sample_bytes_ + 4) + row_bytes_; }

  Status read(const SourceRange& range, RowSink& rows) const override {
    const MdsShard& shard = shards_[range.source];
    BALLAST_RETURN_IF_ERROR(check_count(shard));
    std::vector<std::byte> samples;
    std::vector<std::byte> row(row_bytes_);
    for (uint64_t first = range.begin; first < range.end; first += at_once()) {
      const uint64_t count = std::min(at_once(), range.end - first);
      BALLAST_ASSIGN(const uint64_t offset, read_samples(shard, first, count, samples));
      for (uint64_t i = 0; i < count; ++i) {
        BALLAST_RETURN_IF_ERROR(store(shard, std::span(samples).subspan(i * sample_bytes_),
                                      offset + i * sample_bytes_, row));
        BALLAST_RETURN_IF_ERROR(rows.add(row));
      }
    }
    return {};
  }

 private:
  [[nodiscard]] uint64_t at_once() const {
    return std::clamp<uint64_t>((1u << 20) / sample_bytes_, 1, kSamplesAtOnce);
  }

  static Status damaged(const MdsShard& shard, uint64_t byte, const std::string& what) {
    return Status(Code::kDataLoss, fmt::format("{} at byte {}: {}", shard.file.path(), byte, what));
  }

  Status check_count(const MdsShard& shard) const {
    std::byte bytes[4];
    BALLAST_RETURN_IF_ERROR(shard.file.read_at(0, bytes));
    const auto count = load_value<uint32_t>(bytes, 0);
    if (count == shard.samples) return {};
    return damaged(
        shard, 0, fmt::format("{} samples expected by index.json, {} found", shard.samples, count));
  }

  // Where the first of them begins.
  Result<uint64_t> read_samples(const MdsShard& shard, uint64_t first, uint64_t count,
                                std::vector<std::byte>& samples) const {
    std::vector<std::byte> offsets(4 * (count + 1));
    const uint64_t table = 4 * (first + 1);
    BALLAST_RETURN_IF_ERROR(shard.file.read_at(table, offsets));
    for (uint64_t i = 0; i < count; ++i) {
      const uint64_t begin = load_value<uint32_t>(offsets.data(), i);
      const uint64_t end = load_value<uint32_t>(offsets.data(), i + 1);
      if (end - begin == sample_bytes_ && end > begin && end <= shard.file.size()) continue;
      return damaged(shard, table + 4 * i,
                     fmt::format("sample {}: {} bytes inside of the file expected, {} to {} found",
                                 first + i, sample_bytes_, begin, end));
    }
    samples.resize(count * sample_bytes_);
    const uint64_t offset = load_value<uint32_t>(offsets.data(), 0);
    BALLAST_RETURN_IF_ERROR(shard.file.read_at(offset, samples));
    return offset;
  }

  Status store(const MdsShard& shard, std::span<const std::byte> sample, uint64_t offset,
               std::span<std::byte> row) const {
    for (const MdsColumn& column : stored_) {
      const auto values = row.first(column.spec.row_bytes());
      convert_elements(column.kind, sample.first(column.stored_bytes()), values);
      const auto wrong =
          allow_nonfinite_ ? std::nullopt : first_nonfinite(column.spec.type, values);
      if (wrong) {
        return Status(Code::kInvalidInput,
                      fmt::format("{} at byte {}, column \"{}\": a finite number expected, {} "
                                  "found; --allow-nonfinite keeps it",
                                  shard.file.path(), offset + *wrong * column.kind.bytes,
                                  column.spec.name, value_text(column.spec.type, values, *wrong)));
      }
      sample = sample.subspan(column.stored_bytes());
      offset += column.stored_bytes();
      row = row.subspan(values.size());
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
  uint64_t sample_bytes_ = 0;
  uint64_t row_bytes_ = 0;
};

}  // namespace

Result<std::unique_ptr<Format>> open_mds(const std::string& folder, const MdsOptions& options) {
  const std::string path = folder + "/index.json";
  MdsIndex index(folder, path);
  BALLAST_RETURN_IF_ERROR(index.read());
  return std::unique_ptr<Format>(std::make_unique<MdsFormat>(std::move(index), path, options));
}

}  // namespace ballast
