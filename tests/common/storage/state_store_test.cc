#include "common/storage/state_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "tests/common/storage/temporary_folder.h"

namespace ballast {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span(text));
}

std::string text_of(const Result<Buffer>& value) {
  if (!value.ok()) return value.status().to_string();
  return std::string(reinterpret_cast<const char*>(value->data()), value->size());
}

class FileStateStoreTest : public ::testing::Test {
 protected:
  [[nodiscard]] std::unique_ptr<FileStateStore> open() const {
    auto store = FileStateStore::open(path());
    BALLAST_CHECK_MSG(store.ok(), store.status().to_string());
    return std::move(store).value();
  }
  [[nodiscard]] std::string path() const { return folder_.path() + "/coordinator.state"; }

  TemporaryFolder folder_;
};

TEST(MemoryStateStore, SurvivesItsOwner) {
  StateContents disk;
  ASSERT_TRUE(MemoryStateStore(disk).put("term", bytes_of("3")).ok());

  EXPECT_EQ(text_of(MemoryStateStore(disk).get("term")), "3");
  EXPECT_EQ(MemoryStateStore(disk).get("leader").status().code(), Code::kNotFound);
}

TEST_F(FileStateStoreTest, StartsEmpty) {
  EXPECT_EQ(open()->get("term").status().code(), Code::kNotFound);
}

TEST_F(FileStateStoreTest, ShowsTheLastPutOfEachKeyAfterReopening) {
  auto store = open();
  ASSERT_TRUE(store->put("term", bytes_of("1")).ok());
  ASSERT_TRUE(store->put("empty", {}).ok());
  ASSERT_TRUE(store->put(std::string_view("a\0b", 3), bytes_of("zero in the key")).ok());
  ASSERT_TRUE(store->put("term", bytes_of("22")).ok());

  store = open();

  EXPECT_EQ(text_of(store->get("term")), "22");
  EXPECT_EQ(text_of(store->get("empty")), "");
  EXPECT_EQ(text_of(store->get(std::string_view("a\0b", 3))), "zero in the key");
}

TEST_F(FileStateStoreTest, RefusesEveryFlippedBitAndEveryTruncation) {
  ASSERT_TRUE(open()->put("term", bytes_of("7")).ok());
  const uint64_t size = std::filesystem::file_size(path());

  for (uint64_t bit = 0; bit < size * 8; ++bit) {
    flip_bit(path(), bit / 8, static_cast<int>(bit % 8));
    const auto store = FileStateStore::open(path());
    ASSERT_EQ(store.status().code(), Code::kDataLoss) << "bit " << bit;
    flip_bit(path(), bit / 8, static_cast<int>(bit % 8));
  }
  for (uint64_t left = size; left-- > 0;) {
    std::filesystem::resize_file(path(), left);
    ASSERT_EQ(FileStateStore::open(path()).status().code(), Code::kDataLoss) << left;
  }
}

TEST_F(FileStateStoreTest, NamesFileOffsetExpectedAndFound) {
  ASSERT_TRUE(open()->put("term", bytes_of("7")).ok());
  flip_bit(path(), 30);

  EXPECT_THAT(FileStateStore::open(path()).status().to_string(),
              AllOf(HasSubstr(path()), HasSubstr("at byte 24"), HasSubstr("xxh3 stored"),
                    HasSubstr("found")));
}

TEST_F(FileStateStoreTest, KeepsTheOldValueWhenAPutFails) {
  auto store = open();
  ASSERT_TRUE(store->put("term", bytes_of("1")).ok());
  std::filesystem::create_directory(path() + ".tmp");  // the temporary file cannot be made

  const Status status = store->put("term", bytes_of("2"));

  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.to_string(), HasSubstr(path()));
  EXPECT_EQ(text_of(store->get("term")), "1");
  EXPECT_EQ(text_of(open()->get("term")), "1");
}

}  // namespace
}  // namespace ballast
