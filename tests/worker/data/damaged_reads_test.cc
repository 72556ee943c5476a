// A flipped bit on the way from a server changes nothing: what is damaged is asked for again,
// wherever in a data set it lies.
#include <gmock/gmock.h>

#include <filesystem>
#include <map>
#include <mutex>
#include <utility>

#include "tests/support/http_server.h"
#include "tests/worker/data/data_fixture.h"
#include "worker/data/chunk_reader.h"
#include "worker/data/dataset.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class DamagedReadsTest : public DataFixture {
 protected:
  DamagedReadsTest() {
    write_pixels("d", 60, 16, 10, 20);
    for (const auto& entry : std::filesystem::directory_iterator(path("d"))) {
      const std::vector<std::byte> bytes = read_file(entry.path());
      const std::string name = entry.path().filename().string();
      objects_[name] = {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
      if (name != kManifestName) chunk_ = name;
    }
  }

  // The answers that hold this byte of this object are damaged, so many of them.
  void damage(const std::string& name, uint64_t byte, int answers) {
    std::lock_guard lock(mutex_);
    damaged_ = name;
    byte_ = byte;
    answers_left_ = answers;
  }
  [[nodiscard]] int answers_left() {
    std::lock_guard lock(mutex_);
    return answers_left_;
  }

  // Everything, verified.
  [[nodiscard]] Status read_all() const {
    BALLAST_ASSIGN(const auto dataset, Dataset::open(server_.url() + "/d"));
    BALLAST_ASSIGN(const ChunkReader reader, ChunkReader::open(*dataset, 0));
    for (size_t block = 0; block < dataset->block_count(); ++block) {
      std::vector<std::byte> pixels(uint64_t{20} * 16), labels(20 * sizeof(int32_t));
      BALLAST_RETURN_IF_ERROR(reader.read_column(block, 0, pixels));
      BALLAST_RETURN_IF_ERROR(reader.read_column(block, 1, labels));
    }
    return {};
  }

  std::map<std::string, std::string> objects_;
  std::string chunk_;

 private:
  HttpAnswer answer(const HttpAsked& asked) {
    const std::string name = asked.path.substr(asked.path.rfind('/') + 1);
    const auto object = objects_.find(name);
    if (object == objects_.end()) return {.code = 404};
    HttpAnswer answer = answer_with(asked, object->second);
    std::lock_guard lock(mutex_);
    const auto range = asked.range();
    const uint64_t first = range ? range->first : 0;
    if (name == damaged_ && answers_left_ > 0 && byte_ >= first &&
        byte_ - first < answer.body.size()) {
      answer.body[byte_ - first] = static_cast<char>(answer.body[byte_ - first] ^ 1);
      --answers_left_;
    }
    return answer;
  }

  std::mutex mutex_;  // guards all below but the server
  std::string damaged_;
  uint64_t byte_ = 0;
  int answers_left_ = 0;
  HttpServer server_{[this](const HttpAsked& asked) { return answer(asked); }};
};

TEST_F(DamagedReadsTest, AreReadAgainWhereverTheBitLies) {
  const std::string& chunk = objects_[chunk_];
  const std::string manifest(kManifestName);
  std::vector<std::pair<std::string, uint64_t>> places;
  // All of the head but minor version and flags, which nobody looks at; of each buffer its first
  // byte; the sealed parts with their trailers.
  for (uint64_t byte = 0; byte < 10; ++byte) places.emplace_back(chunk_, byte);
  for (uint64_t block = 1; block <= 3; ++block) places.emplace_back(chunk_, block * 4096);
  for (uint64_t byte = uint64_t{4} * 4096; byte < chunk.size(); byte += 5) {
    places.emplace_back(chunk_, byte);
  }
  for (uint64_t byte = 0; byte < objects_[manifest].size(); byte += 5) {
    places.emplace_back(manifest, byte);
  }
  for (uint64_t byte = 1; byte <= kTrailerBytes; ++byte) {
    places.emplace_back(chunk_, chunk.size() - byte);
    places.emplace_back(manifest, objects_[manifest].size() - byte);
  }

  for (const auto& [name, byte] : places) {
    damage(name, byte, 1);

    const Status status = read_all();

    ASSERT_TRUE(status.ok()) << name << " byte " << byte << ": " << status.to_string();
    ASSERT_EQ(answers_left(), 0) << name << " byte " << byte << " was never read";
  }
}

TEST_F(DamagedReadsTest, NameTheVersionOfAHeadThatStaysDamaged) {
  damage(chunk_, 8, 1000);

  const Status status = read_all();

  EXPECT_EQ(status.code(), Code::kDataLoss);
  EXPECT_THAT(
      status.to_string(),
      HasSubstr(chunk_ + " at byte 8: format version 1 expected as in the footer, 0 found"));
}

}  // namespace
}  // namespace ballast
