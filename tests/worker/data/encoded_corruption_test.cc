// Damage in what codecs and lists add to a chunk: found, named and survived, as a job reads it and
// as `verify` does.
#include <gmock/gmock.h>

#include <map>

#include "common/base/hash.h"
#include "common/base/random.h"
#include "tests/worker/data/kinds_fixture.h"
#include "worker/data/block_store.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/examine.h"
#include "worker/data/memory_table.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class EncodedCorruptionTest : public KindsFixture {
 protected:
  static DataConfig job() {
    DataConfig data;
    data.features = {"pixels", "words"};
    data.label = "label";
    TransformConfig pad;
    pad.kind = TransformKind::kPad;
    pad.column = "words";
    pad.items = 2;
    data.transforms = {pad};
    return data;
  }
  static Status load(const std::string& folder) {
    BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
    BALLAST_ASSIGN(const RowPlan plan, plan_rows(*dataset, job()));
    const auto table = MemoryTable::load(dataset, plan, 1);
    return table.ok() ? Status() : table.status();
  }
  static Status stream(const std::string& folder) {
    BALLAST_ASSIGN(const std::shared_ptr<const Dataset> dataset, Dataset::open(folder));
    BALLAST_ASSIGN(const RowPlan plan, plan_rows(*dataset, job()));
    BALLAST_ASSIGN(std::unique_ptr<Source> source, open_source(folder, {}));
    BALLAST_ASSIGN(const auto store, BlockStore::open(dataset, plan, std::move(source), 1));
    for (uint64_t block = 0; block < dataset->block_count(); ++block) {
      const auto got = store->get(block);
      if (!got.ok()) return got.status();
    }
    return {};
  }

  // A data set of one block whose bytes `damage` changed, and whose every hash was made right
  // again: what only the decoders can find.
  template <typename Damage>
  std::string resealed(const std::string& name, Codec codec, Damage damage,
                       const std::vector<LabelCount>& labels = {}) {
    DatasetWriterOptions options = kinds_options(codec);
    options.block_bytes = 1u << 20;
    EXPECT_TRUE(try_kinds(name, 0, 100, options).ok());
    const auto dataset = Dataset::open(path(name)).value();
    const std::string chunk_path = dataset->chunk_path(0);
    ChunkFooter footer = ChunkReader::open(chunk_path)->footer();
    std::vector<std::byte> file = read_file(chunk_path);
    BlockSpec& block = footer.blocks[0];
    if (!labels.empty()) block.labels = labels;
    const auto bytes = std::span(file).subspan(block.offset, block.bytes);
    damage(bytes, block.buffers);
    for (BufferSpec& buffer : block.buffers) {
      buffer.xxh3 =
          xxh3(std::span<const std::byte>(bytes.subspan(buffer.offset, buffer.stored_bytes)));
    }
    const std::vector<std::byte> table = encode_block_table(block.buffers);
    std::copy(table.begin(), table.end(), bytes.begin());
    Manifest manifest = dataset->manifest();
    manifest.blocks[0].xxh3 = xxh3(std::span<const std::byte>(bytes));
    file.resize(block.offset + block.bytes);
    const std::vector<std::byte> encoded = encode(footer);
    const std::vector<std::byte> sealed = seal(encoded, file.size(), kChunkMagic);
    file.insert(file.end(), sealed.begin(), sealed.end());
    manifest.chunks[0].footer_xxh3 = xxh3(std::span(encoded));
    manifest.chunks[0].bytes = file.size();
    std::filesystem::remove(chunk_path);
    write_file(path(name) + "/" + hex64(manifest.chunks[0].footer_xxh3) + ".blc", file);
    write_file(path(name) + "/manifest", seal(encode(manifest), 0, kManifestMagic));
    return path(name);
  }

  // Each way of reading names chunk, block and column, and says what.
  static void expect_found(const std::string& folder, const std::string& column,
                           const std::string& what) {
    for (const Status& status : {load(folder), stream(folder), verify_dataset(folder).at(0)}) {
      EXPECT_EQ(status.code(), Code::kDataLoss) << status.to_string();
      EXPECT_THAT(status.to_string(),
                  AllOf(HasSubstr(".blc"), HasSubstr("block 0"),
                        HasSubstr("column \"" + column + "\""), HasSubstr(what)));
    }
  }
};

constexpr size_t kPixels = 0;
constexpr size_t kWordOffsets = 3;

TEST_F(EncodedCorruptionTest, NamesTheColumnBlockAndByteOfAFlippedBit) {
  const std::string folder = write_kinds("d", 100, Codec::kZstd);
  const auto dataset = Dataset::open(folder).value();
  const ChunkReader chunk = ChunkReader::open(*dataset, 0).value();
  const BlockSpec& block = chunk.footer().blocks[1];
  flip_bit(dataset->chunk_path(0), block.offset + block.buffers[kPixels].offset + 3);

  EXPECT_THAT(load(folder).to_string(),
              ContainsRegex("column \"pixels\" in block 1 of .*\\.blc at byte [0-9]+: "
                            "xxh3 [0-9a-f]{16} expected, [0-9a-f]{16} found"));
  EXPECT_THAT(stream(folder).to_string(),
              ContainsRegex("block 1 of .*\\.blc at byte [0-9]+: xxh3"));
}

TEST_F(EncodedCorruptionTest, NamesTheColumnWhoseStreamDoesNotDecode) {
  for (const Codec codec : {Codec::kLz4, Codec::kZstd}) {
    const std::string name(codec_name(codec));
    const std::string folder = resealed(name, codec, [](auto bytes, auto& buffers) {
      for (uint64_t i = 0; i < buffers[kPixels].stored_bytes; ++i) {
        bytes[buffers[kPixels].offset + i] = std::byte{0xff};
      }
    });
    expect_found(folder, "pixels", name + " expected to hold 400 bytes");
  }
}

TEST_F(EncodedCorruptionTest, NamesTheColumnWhoseOffsetsFallOrLeaveTheItems) {
  const auto with_offset = [&](const std::string& name, uint32_t row, uint32_t offset) {
    return resealed(name, Codec::kNone, [=](auto bytes, auto& buffers) {
      std::memcpy(bytes.data() + buffers[kWordOffsets].offset + 4 * row, &offset, sizeof offset);
    });
  };
  expect_found(with_offset("first", 0, 1), "words", "offset 0: 0 expected, 1 found");
  expect_found(with_offset("falls", 5, 0), "words", "offset 5: 3 to 99 expected, 0 found");
  expect_found(with_offset("beyond", 7, 100), "words", "offset 7: 6 to 99 expected, 100 found");
  expect_found(with_offset("short", 100, 98), "words", "expected, 98 found");
}

TEST_F(EncodedCorruptionTest, RefusesLabelCountsThatCannotBe) {
  constexpr uint64_t kHalf = uint64_t{1} << 63;
  const auto nothing = [](auto, auto&) {};
  for (const auto& [name, labels] : std::map<std::string, std::vector<LabelCount>>{
           {"overflow", {{1, 100}, {5, kHalf}, {6, kHalf}}},
           {"twice", {{5, 50}, {5, 50}}},
           {"falling", {{5, 50}, {4, 50}}},
           {"zero", {{5, 100}, {6, 0}}}}) {
    const Status status = load(resealed(name, Codec::kNone, nothing, labels));
    EXPECT_EQ(status.code(), Code::kDataLoss) << name;
    EXPECT_THAT(status.to_string(), HasSubstr("labels in rising order with counts from 1 expected"))
        << name;
  }
}

TEST_F(EncodedCorruptionTest, RefusesABufferThatClaimsToBecomeTooMuch) {
  BlockSpec block{4096, 4096, 1000000, {}, {}};
  block.buffers = {{64, 10, 4000000, 0, Codec::kZstd}};
  const ChunkFooter footer{1, {{"x", ColumnType::kF32, {}}}, {block}};

  const Status status = decode_chunk_footer(encode(footer), 8192, "footer f").status();

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(status.to_string(), HasSubstr("column \"x\": 10 bytes cannot become 4000000"));
}

TEST_F(EncodedCorruptionTest, FindsATableThatIsNotWhatTheFooterSays) {
  const std::string folder = write_kinds("d", 30, Codec::kNone);
  const auto dataset = Dataset::open(folder).value();
  const std::string chunk_path = dataset->chunk_path(0);
  std::vector<std::byte> file = read_file(chunk_path);
  file[4096 + 24] ^= std::byte{1};  // the hash of buffer 0, in the table
  write_file(chunk_path, file);
  Manifest manifest = dataset->manifest();
  const ManifestBlock& block = manifest.blocks[0];
  manifest.blocks[0].xxh3 =
      xxh3(std::span<const std::byte>(file).subspan(block.offset, block.bytes));
  write_file(folder + "/manifest", seal(encode(manifest), 0, kManifestMagic));

  EXPECT_THAT(verify_dataset(folder).at(0).to_string(),
              HasSubstr("table of block 0 of " + chunk_path + ": it is not what the footer says"));
}

TEST_F(EncodedCorruptionTest, IsFoundWhereverABitOfAFileFlips) {
  const std::string folder = write_kinds("d", 60, Codec::kLz4);
  const std::string chunk = Dataset::open(folder).value()->chunk_path(0);
  Random random(17);
  for (const std::string& path : {chunk, folder + "/manifest"}) {
    const std::vector<std::byte> whole = read_file(path);
    for (int i = 0; i < 150; ++i) {
      const uint64_t byte = random.below(whole.size());
      flip_bit(path, byte, static_cast<int>(random.below(8)));
      ASSERT_FALSE(verify_dataset(folder).empty()) << path << " byte " << byte;
      write_file(path, whole);
    }
  }
  EXPECT_TRUE(verify_dataset(folder).empty());
}

TEST_F(EncodedCorruptionTest, NeverCrashesOnAResealedBlockTable) {
  Random random(19);
  for (int i = 0; i < 100; ++i) {
    const std::string folder = resealed(
        std::to_string(i), i % 2 == 0 ? Codec::kZstd : Codec::kLz4, [&](auto bytes, auto& buffers) {
          BufferSpec& buffer = buffers[random.below(buffers.size())];
          for (int flips = 0; flips < 3 && buffer.stored_bytes > 0; ++flips) {
            bytes[buffer.offset + random.below(buffer.stored_bytes)] ^=
                static_cast<std::byte>(1 << random.below(8));
          }
        });
    (void)load(folder);
    (void)stream(folder);
    (void)verify_dataset(folder);
  }
}

TEST_F(EncodedCorruptionTest, NeverCrashesOnAResealedManifestWithLayouts) {
  const std::string folder = write_kinds("d", 60, Codec::kZstd);
  const std::string manifest = folder + "/manifest";
  const SealedPart part =
      read_sealed(Object::open(std::shared_ptr<Source>(open_source(folder, {}).value()), "manifest")
                      .value(),
                  kManifestMagic, "manifest")
          .value();
  Random random(23);
  uint64_t refused = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<std::byte> bytes = part.bytes;
    bytes[random.below(bytes.size())] ^= static_cast<std::byte>(1 << random.below(8));
    refused += decode_manifest(bytes, "manifest").ok() ? 0 : 1;
    if (i % 20 != 0) continue;
    write_file(manifest, seal(bytes, 0, kManifestMagic));
    (void)load(folder);
    (void)stream(folder);
  }
  EXPECT_GT(refused, 500u);
}

}  // namespace
}  // namespace ballast
