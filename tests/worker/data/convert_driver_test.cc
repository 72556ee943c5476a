// What holds for a conversion whatever the format: ranges, threads, resuming, cleaning up.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <set>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/convert/convert.h"
#include "worker/data/convert/convert_state.h"
#include "worker/data/convert/csv.h"
#include "worker/data/convert/ffm.h"
#include "worker/data/convert/line_range.h"
#include "worker/data/dataset.h"
#include "worker/data/examine.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ConvertDriverTest : public DataFixture {
 protected:
  // Rows "i,i*7,i mod 3" of 12 stored bytes.
  std::string write_rows(const std::string& name, int first, int count) {
    std::string text;
    for (int i = first; i < first + count; ++i) {
      text += std::to_string(i) + "," + std::to_string(i * 7) + "," + std::to_string(i % 3) + "\n";
    }
    return write_text(name, text);
  }
  // Pieces of 1,500 rows, each in two chunks.
  ConvertOptions small(uint32_t threads = 2) {
    ConvertOptions options;
    options.threads = threads;
    options.writer.block_bytes = 12'000;
    options.writer.chunk_bytes = 20'000;
    if (lists_) options.writer.codecs = {{"ids", Codec::kZstd}, {"values", Codec::kLz4}};
    options.note = [this](const std::string& text) { notes_.push_back(text); };
    return options;
  }
  Result<uint64_t> to(const std::string& name, const std::vector<std::string>& sources,
                      const ConvertOptions& options) {
    BALLAST_ASSIGN(const std::unique_ptr<Format> format,
                   lists_ ? open_libffm(sources, {}) : open_csv(sources, {}));
    return convert(*format, path(name), options);
  }
  [[nodiscard]] std::set<std::string> names_in(const std::string& name) const {
    std::set<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path(name))) {
      names.insert(entry.path().filename().string());
    }
    return names;
  }
  [[nodiscard]] uint64_t xxh3_of(const std::string& name) const {
    return Dataset::open(path(name)).value()->manifest_xxh3();
  }

  // Converts in a process of its own that is killed before chunk `chunks` gets its name.
  void convert_and_kill(const std::string& name, const std::vector<std::string>& sources,
                        int chunks) {
    const pid_t child = fork();
    if (child == 0) {
      ConvertOptions options = small(1);
      options.note = nullptr;
      options.progress = nullptr;
      int left = chunks;
      options.writer.before_naming = [&left](uint64_t) {
        if (left-- == 0) kill(getpid(), SIGKILL);
        return Status();
      };
      _exit(to(name, sources, options).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }

  // The same of an append of 3,000 rows, when all pieces are there and nothing is appended yet.
  void append_and_kill(const std::string& name, const std::vector<std::string>& sources) {
    const pid_t child = fork();
    if (child == 0) {
      ConvertOptions options = small(1);
      options.writer.append = true;
      options.note = nullptr;
      options.progress = [](const ConvertProgress& progress) {
        if (progress.rows == 3000) kill(getpid(), SIGKILL);
      };
      _exit(to(name, sources, options).ok() ? 0 : 1);
    }
    int status = 0;
    waitpid(child, &status, 0);
    ASSERT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
  }

  bool lists_ = false;  // libffm in place of CSV, with codecs
  std::vector<std::string> notes_;
};

TEST_F(ConvertDriverTest, HandsOutEveryLineOnceWhereverItIsCut) {
  const std::string text =
      "\xEF\xBB\xBF"
      "a\n\nccc\r\ndd\n\n\neeeee";
  const std::string file = write_text("t", text);
  for (uint64_t first = 0; first <= text.size(); ++first) {
    for (uint64_t second = first; second <= text.size(); ++second) {
      std::vector<std::string> seen;
      for (const auto& [begin, end] :
           {std::pair{uint64_t{0}, first}, {first, second}, {second, uint64_t{text.size()}}}) {
        if (begin == end) continue;
        auto lines = LineRange::open(file, begin, end);
        ASSERT_TRUE(lines.ok());
        for (std::string_view line; lines->next(line);) {
          seen.emplace_back(line);
          EXPECT_EQ(lines->place(), file + " line " + std::to_string(seen.size()));
        }
        EXPECT_TRUE(lines->status().ok());
      }
      EXPECT_THAT(seen, ElementsAre("a", "", "ccc", "dd", "", "", "eeeee"))
          << first << ' ' << second;
    }
  }
}

TEST_F(ConvertDriverTest, MakesTheSameChunksWithAnyNumberOfThreads) {
  const std::vector<std::string> sources = {write_rows("a", 0, 5000), write_rows("b", 5000, 10),
                                            write_rows("c", 5010, 3000)};

  for (const uint32_t threads : {1u, 2u, 5u}) {
    ASSERT_EQ(to("t" + std::to_string(threads), sources, small(threads)).value(), 8010u);
  }

  EXPECT_GT(Dataset::open(path("t1")).value()->manifest().chunks.size(), 5u);
  EXPECT_EQ(names_in("t1"), names_in("t2"));
  EXPECT_EQ(xxh3_of("t1"), xxh3_of("t5"));
  EXPECT_THAT(verify_dataset(path("t1")), IsEmpty());
  const std::string text = head_text(*Dataset::open(path("t1")).value(), 8010, 8).value();
  std::string expected;
  for (int i = 0; i < 8010; ++i) {
    expected += fmt::format("row {}\n  features: {} {}\n  label: {}\n", i, static_cast<float>(i),
                            static_cast<float>(i * 7), i % 3);
  }
  EXPECT_EQ(text, expected);
}

TEST_F(ConvertDriverTest, GoesOnAfterAKillAtEveryChunk) {
  const std::vector<std::string> sources = {write_rows("a", 0, 6000)};
  ASSERT_TRUE(to("whole", sources, small()).ok());
  const size_t chunks = Dataset::open(path("whole")).value()->manifest().chunks.size();
  ASSERT_GT(chunks, 4u);

  for (size_t kill_at = 0; kill_at < chunks; ++kill_at) {
    const std::string name = "killed" + std::to_string(kill_at);
    convert_and_kill(name, sources, static_cast<int>(kill_at));
    notes_.clear();
    const auto rows = to(name, sources, small());

    ASSERT_TRUE(rows.ok()) << rows.status().to_string();
    EXPECT_EQ(*rows, 6000u);
    EXPECT_EQ(names_in(name), names_in("whole")) << "killed at chunk " << kill_at;
    EXPECT_EQ(xxh3_of(name), xxh3_of("whole"));
    EXPECT_THAT(notes_, ElementsAre(AllOf(HasSubstr("goes on; "), HasSubstr("were finished"))));
  }
}

TEST_F(ConvertDriverTest, GoesOnWithListsAndCodecsAsWithoutWhateverTheThreads) {
  lists_ = true;
  std::string text;
  for (int i = 0; i < 6000; ++i) {
    text += std::to_string(i % 3);
    for (int k = 0; k < i % 6; ++k) text += fmt::format(" {}:{}:{}", k, i, k * i);
    text += '\n';
  }
  const std::vector<std::string> sources = {write_text("a", text)};
  ASSERT_TRUE(to("whole", sources, small(1)).ok());
  const size_t chunks = Dataset::open(path("whole")).value()->manifest().chunks.size();
  ASSERT_GT(chunks, 4u);
  EXPECT_THAT(verify_dataset(path("whole")), IsEmpty());

  for (const size_t kill_at : {size_t{0}, chunks / 2, chunks - 1}) {
    const std::string name = "killed" + std::to_string(kill_at);
    convert_and_kill(name, sources, static_cast<int>(kill_at));
    ASSERT_EQ(to(name, sources, small(3)).value(), 6000u);

    EXPECT_EQ(names_in(name), names_in("whole")) << "killed at chunk " << kill_at;
    EXPECT_EQ(xxh3_of(name), xxh3_of("whole"));
  }
}

TEST_F(ConvertDriverTest, StartsOverWhenASourceOrAnOptionChangedAndSaysSo) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  convert_and_kill("d", sources, 3);
  write_rows("a", 1, 3000);

  ASSERT_TRUE(to("d", sources, small()).ok());

  ASSERT_EQ(notes_.size(), 1u);
  EXPECT_THAT(notes_[0],
              HasSubstr("starts over what an earlier run began: " + sources[0] + " has changed"));
  ASSERT_TRUE(to("fresh", sources, small()).ok());
  EXPECT_EQ(names_in("d"), names_in("fresh")) << "chunks of the earlier run stayed";

  convert_and_kill("o", sources, 3);
  ConvertOptions other = small();
  other.writer.block_bytes = 2400;
  ASSERT_TRUE(to("o", sources, other).ok());
  EXPECT_THAT(notes_.back(), HasSubstr("the options are others"));
}

TEST_F(ConvertDriverTest, DoesAPieceAgainWhoseChunkIsGone) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  ASSERT_TRUE(to("whole", sources, small()).ok());
  convert_and_kill("d", sources, 3);
  for (const std::string& name : names_in("d")) {
    if (name.ends_with(".blc")) {
      std::filesystem::remove(path("d/" + name));
      break;
    }
  }

  ASSERT_TRUE(to("d", sources, small()).ok());

  EXPECT_EQ(names_in("d"), names_in("whole"));
}

TEST_F(ConvertDriverTest, GoesOnBehindALineOfTheStateThatAKillCutShort) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  ASSERT_TRUE(to("whole", sources, small()).ok());
  convert_and_kill("d", sources, 3);
  const std::string state = path("d/") + kConvertStateName;
  const uint64_t bytes = std::filesystem::file_size(state);
  for (uint64_t cut = bytes - 1; cut > 0; cut = cut * 3 / 4) {
    std::filesystem::copy(path("d"), path("cut"));
    std::filesystem::resize_file(path("cut/") + kConvertStateName, cut);

    ASSERT_TRUE(to("cut", sources, small()).ok());

    EXPECT_EQ(xxh3_of("cut"), xxh3_of("whole")) << "cut at " << cut;
    std::filesystem::remove_all(path("cut"));
  }
}

TEST_F(ConvertDriverTest, OnlyEndsWhatAKillLeftBetweenTheManifestAndTheEnd) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  const std::string state = path("d/") + kConvertStateName;
  ConvertOptions saving = small();
  saving.progress = [&](const ConvertProgress&) {  // told last when every piece is recorded
    std::filesystem::copy_file(state, path("saved"),
                               std::filesystem::copy_options::overwrite_existing);
  };
  ASSERT_TRUE(to("d", sources, saving).ok());
  const std::set<std::string> whole = names_in("d");
  std::filesystem::copy_file(path("saved"), state);

  const auto rows = to("d", sources, small());

  ASSERT_TRUE(rows.ok()) << rows.status().to_string();
  EXPECT_EQ(*rows, 3000u);
  EXPECT_EQ(names_in("d"), whole);
  EXPECT_THAT(to("d", sources, small()).status().to_string(),
              HasSubstr("already holds a data set"));
}

// The same rows are appended again and again, on purpose: none is taken for the one before.
TEST_F(ConvertDriverTest, TellsAnAppendThatWasKilledFromTheSameOneBefore) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  const std::string state = path("d/") + kConvertStateName;
  const auto rows = [&] { return Dataset::open(path("d")).value()->rows(); };
  ConvertOptions appending = small();
  appending.writer.append = true;
  ASSERT_TRUE(to("d", sources, small()).ok());
  ASSERT_TRUE(to("d", sources, appending).ok());
  const uint64_t chunks = Dataset::open(path("d")).value()->manifest().chunks.size();

  append_and_kill("d", sources);  // before it says where it appends
  EXPECT_EQ(rows(), 6000u);
  ASSERT_TRUE(to("d", sources, appending).ok());
  EXPECT_EQ(rows(), 9000u);

  append_and_kill("d", sources);
  ConvertRecord record = ConvertRecord::read(path("d")).value();
  record.appends_at = chunks + chunks / 2;
  ASSERT_TRUE(ConvertState::start(path("d"), record).ok());  // before it appends
  std::filesystem::copy_file(state, path("saved"));
  ASSERT_TRUE(to("d", sources, appending).ok());
  EXPECT_EQ(rows(), 12000u);

  std::filesystem::copy_file(path("saved"), state);  // behind that: only the end is left to do
  ASSERT_TRUE(to("d", sources, appending).ok());
  EXPECT_EQ(rows(), 12000u);
  EXPECT_FALSE(std::filesystem::exists(state));
}

TEST_F(ConvertDriverTest, RefusesASecondOneIntoTheSameFolderUntilTheFirstEnds) {
  const std::vector<std::string> sources = {write_rows("a", 0, 3000)};
  Status second;
  ConvertOptions first = small(1);
  first.writer.before_naming = [&](uint64_t) {
    if (second.ok()) second = to("d", sources, small()).status();
    return Status();
  };

  ASSERT_TRUE(to("d", sources, first).ok());

  EXPECT_EQ(second.code(), Code::kConflict);
  EXPECT_EQ(second.to_string(), path("d") + ": another conversion into it runs; wait for its end");
  ASSERT_TRUE(to("whole", sources, small()).ok());
  EXPECT_EQ(names_in("d"), names_in("whole")) << "the refused one left or took something";
  EXPECT_THAT(to("d", sources, small()).status().to_string(),
              HasSubstr("already holds a data set"));
}

TEST_F(ConvertDriverTest, NamesTheFirstErrorInTheOrderOfTheSources) {
  const std::string good = write_rows("good", 0, 2000);
  std::string text = "1,2,3\n";
  for (int i = 0; i < 2000; ++i) text += i == 1500 ? "1,x,3\n" : "1,2,3\n";
  const std::string bad = write_text("bad", text);
  const std::string worse = write_text("worse", "1,2,3\ny,1,2\n");
  for (int i = 0; i < 5; ++i) {
    const auto rows = to("d", {good, bad, worse}, small(4));

    EXPECT_EQ(rows.status().code(), Code::kInvalidInput);
    EXPECT_THAT(rows.status().to_string(), HasSubstr(bad + " line 1502, column 1"));
    EXPECT_FALSE(std::filesystem::exists(path("d"))) << "what bad input began stays";
  }
}

TEST_F(ConvertDriverTest, KeepsTheOldDataSetUntilTheNewOneIsWhole) {
  const std::string first = write_rows("a", 0, 3000);
  const std::string second = write_rows("b", 9000, 3000);
  ASSERT_TRUE(to("d", {first}, small()).ok());
  const uint64_t before = xxh3_of("d");
  ConvertOptions replacing = small();
  replacing.writer.overwrite = true;
  const std::string bad = write_text("bad", "1,2,3\n1,x,3\n");

  EXPECT_FALSE(to("d", {second}, small()).ok());
  EXPECT_FALSE(to("d", {second, bad}, replacing).ok());
  EXPECT_EQ(xxh3_of("d"), before);
  EXPECT_THAT(verify_dataset(path("d")), IsEmpty());

  ASSERT_TRUE(to("d", {second}, replacing).ok());
  ASSERT_TRUE(to("fresh", {second}, small()).ok());
  EXPECT_EQ(names_in("d"), names_in("fresh"));
}

TEST_F(ConvertDriverTest, StopsOnAFullDiskAndGoesOnWhenThereIsRoom) {
  const std::vector<std::string> sources = {write_rows("a", 0, 6000)};
  ASSERT_TRUE(to("whole", sources, small()).ok());
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGXFSZ, SIG_IGN);
    ConvertOptions options = small(1);
    int chunks = 0;
    options.writer.before_naming = [&chunks](uint64_t) {
      const rlimit limit{10'000, 10'000};  // no file may grow beyond this from here on
      return ++chunks == 5 && setrlimit(RLIMIT_FSIZE, &limit) < 0 ? Status(Code::kInternal, "limit")
                                                                  : Status();
    };
    const Status status = to("d", sources, options).status();
    const std::string text = status.to_string();
    const bool said = text.find("File too large") != std::string::npos &&
                      text.find("the same command again goes on") != std::string::npos;
    _exit(status.code() == Code::kExhausted && said ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  ASSERT_EQ(WEXITSTATUS(status), 0);

  ASSERT_TRUE(to("d", sources, small()).ok());

  EXPECT_THAT(notes_.back(), HasSubstr("goes on; 2 of 4 pieces"));
  EXPECT_EQ(xxh3_of("d"), xxh3_of("whole"));
  EXPECT_EQ(names_in("d"), names_in("whole"));
}

TEST_F(ConvertDriverTest, RefusesAPipeAndAFileWithoutPermission) {
  EXPECT_THAT(open_csv({"/dev/null"}, {}).status().to_string(),
              HasSubstr("a regular file expected"));
  EXPECT_THAT(open_csv({root_}, {}).status().to_string(), HasSubstr("a folder found"));
  EXPECT_EQ(open_csv({path("none")}, {}).status().code(), Code::kNotFound);
}

TEST_F(ConvertDriverTest, StatesItsMemoryAsASum) {
  const auto format = open_csv({write_rows("a", 0, 10)}, {}).value();
  ConvertOptions options;
  options.threads = 3;
  options.writer.block_bytes = 2u << 20;

  EXPECT_EQ(convert_memory_bytes(*format, options), 3 * (2 * (2u << 20) + format->reader_bytes()));
}

TEST(ConvertProgressTest, SaysRowsShareRateAndTimeLeft) {
  EXPECT_EQ(progress_text({1200, 50'000'000, 100'000'000, 0, 2.0}),
            "1200 rows, 50 % of 100 MB, 25 MB/s, 2 s left");
  EXPECT_EQ(progress_text({1200, 75'000'000, 100'000'000, 50'000'000, 1.0}),
            "1200 rows, 75 % of 100 MB, 25 MB/s, 1 s left");
}

}  // namespace
}  // namespace ballast
