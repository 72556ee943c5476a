#include "worker/data/block_builder.h"

#include <algorithm>
#include <limits>
#include <map>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker/data/codec/codec.h"
#include "worker/data/column_values.h"

namespace ballast {
namespace {

uint64_t round_up(uint64_t value, uint64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

int64_t integer_at(std::span<const std::byte> values, ColumnType type, uint64_t index) {
  if (type == ColumnType::kU8) return load_value<uint8_t>(values.data(), index);
  if (type == ColumnType::kI64) return load_value<int64_t>(values.data(), index);
  return load_value<int32_t>(values.data(), index);
}

// As 4 bytes each where the last one allows it, else as 8.
std::vector<std::byte> encoded_offsets(const std::vector<uint64_t>& offsets) {
  const auto bytes_of = [](const auto& numbers) {
    const auto bytes = std::as_bytes(std::span(numbers));
    return std::vector<std::byte>(bytes.begin(), bytes.end());
  };
  if (offsets.back() > std::numeric_limits<uint32_t>::max()) return bytes_of(offsets);
  return bytes_of(std::vector<uint32_t>(offsets.begin(), offsets.end()));
}

}  // namespace

BlockBuilder::BlockBuilder(std::vector<ColumnSpec> columns, std::vector<Codec> codecs,
                           std::string label)
    : columns_(std::move(columns)),
      codecs_(std::move(codecs)),
      label_(std::move(label)),
      staged_(columns_.size()) {
  BALLAST_CHECK(codecs_.size() == columns_.size());
  for (size_t i = 0; i < columns_.size(); ++i) {
    has_tables_ |= columns_[i].variable || codecs_[i] != Codec::kNone;
    if (columns_[i].variable) staged_[i].offsets.push_back(0);
  }
}

void BlockBuilder::add_row(std::span<const std::byte> row) {
  bytes_ += row.size();  // a count of 4 bytes becomes an offset of as many
  for (size_t i = 0; i < columns_.size(); ++i) {
    Staged& staged = staged_[i];
    uint64_t bytes = columns_[i].item_bytes();
    if (columns_[i].variable) {
      BALLAST_CHECK(row.size() >= sizeof(uint32_t));
      const auto count = load_value<uint32_t>(row.data(), 0);
      row = row.subspan(sizeof(uint32_t));
      bytes *= count;
      staged.offsets.push_back(staged.offsets.back() + count);
    }
    BALLAST_CHECK(row.size() >= bytes);
    const auto values = row.first(bytes);
    staged.values.insert(staged.values.end(), values.begin(), values.end());
    row = row.subspan(bytes);
  }
  BALLAST_CHECK(row.empty());
  ++rows_;
}

BlockBuilder::Built BlockBuilder::take() {
  BALLAST_CHECK(rows_ > 0);
  Built built;
  built.spec.rows = rows_;
  built.spec.labels = count_labels();
  if (has_tables_) built.bytes.resize(first_buffer(columns_, columns_.size()) * kTableEntryBytes);
  for (size_t i = 0; i < columns_.size(); ++i) {
    Staged& staged = staged_[i];
    built.lists.push_back(columns_[i].variable ? staged.values.size() : 0);
    if (columns_[i].variable) append_buffer(encoded_offsets(staged.offsets), codecs_[i], built);
    append_buffer(staged.values, codecs_[i], built);
    staged.values.clear();
    if (columns_[i].variable) staged.offsets = {0};
  }
  if (has_tables_) {
    const std::vector<std::byte> table = encode_block_table(built.spec.buffers);
    std::copy(table.begin(), table.end(), built.bytes.begin());
  }
  built.bytes.resize(round_up(built.bytes.size(), kBlockAlignment));
  built.spec.bytes = built.bytes.size();
  rows_ = 0;
  bytes_ = 0;
  return built;
}

void BlockBuilder::append_buffer(std::span<const std::byte> raw, Codec codec, Built& built) const {
  const std::vector<std::byte> compressed = compress(codec, raw);
  if (compressed.empty()) codec = Codec::kNone;
  const std::span<const std::byte> stored = compressed.empty() ? raw : compressed;
  built.bytes.resize(round_up(built.bytes.size(), kColumnAlignment));
  built.spec.buffers.push_back(
      {built.bytes.size(), stored.size(), raw.size(), xxh3(stored), codec});
  built.bytes.insert(built.bytes.end(), stored.begin(), stored.end());
}

std::vector<LabelCount> BlockBuilder::count_labels() const {
  std::map<int64_t, uint64_t> counts;
  for (size_t i = 0; i < columns_.size(); ++i) {
    const ColumnSpec& column = columns_[i];
    if (column.name != label_ || !is_integer(column.type) || column.variable) continue;
    for (uint64_t k = 0; k < rows_ * column.width(); ++k) {
      ++counts[integer_at(staged_[i].values, column.type, k)];
      if (counts.size() > kBlockLabelsMax) return {};
    }
  }
  std::vector<LabelCount> labels;
  for (const auto& [label, count] : counts) labels.push_back({label, count});
  return labels;
}

}  // namespace ballast
