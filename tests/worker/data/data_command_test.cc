// The real ballast-tool: exit codes and what its messages must contain.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/dataset.h"
#include "worker/data/sealed.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class DataCommandTest : public DataFixture {
 protected:
  struct Outcome {
    int code;
    std::string text;  // stdout and stderr
  };

  static Outcome run(const std::string& arguments) {
    FILE* pipe = popen((BALLAST_TOOL " data " + arguments + " 2>&1").c_str(), "r");
    std::string text;
    for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) text += static_cast<char>(c);
    return {WEXITSTATUS(pclose(pipe)), text};
  }
};

TEST_F(DataCommandTest, ConvertsVerifiesAndShowsTheBundledDigits) {
  const Outcome converted =
      run("convert --format csv " BALLAST_TEST_DATA "/optdigits.tes.gz --out " + path("d") +
          " --features pixels --features-type u8 --label -1 --shape 8,8");
  ASSERT_EQ(converted.code, 0) << converted.text;
  EXPECT_EQ(converted.text, path("d") + ": 1797 rows\n");

  EXPECT_THAT(run("verify " + path("d")).text, HasSubstr("1797 rows in 1 blocks verified"));
  EXPECT_THAT(run("inspect " + path("d")).text, HasSubstr("pixels u8 [8, 8], 64 bytes a row"));
  EXPECT_THAT(run("inspect " + path("d")).text, HasSubstr("label = 9: 180 rows"));
  EXPECT_THAT(run("head -n 1 " + path("d")).text, HasSubstr("row 0\n  pixels: 0 0 5 13 "));
  EXPECT_THAT(run("stats " + path("d")).text, HasSubstr("pixels[63]"));
  EXPECT_THAT(run("stats --whole " + path("d")).text, HasSubstr("over all 64 values of a row"));
  EXPECT_EQ(run("stats --whole --per-value " + path("d")).code, 2);
}

TEST_F(DataCommandTest, RefusesBadInputWithCode2AndTheLine) {
  const Outcome outcome =
      run("convert --format csv " + write_text("bad.csv", "1,2\n1,x\n") + " --out " + path("d"));

  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.text, HasSubstr("bad.csv line 2, column 1"));
}

TEST_F(DataCommandTest, RefusesAWrongCommandLineWithCode2) {
  EXPECT_EQ(run("convert --format xml a --out b").code, 2);
  EXPECT_EQ(run("frobnicate").code, 2);
  const Outcome negative = run("head -n -1 " + path("d"));
  EXPECT_EQ(negative.code, 2);
  EXPECT_THAT(negative.text, HasSubstr("--rows: a whole number from 0 expected, -1 found"));
  const Outcome empty = run("convert --format csv a --out ''");
  EXPECT_EQ(empty.code, 2);
  EXPECT_THAT(empty.text, HasSubstr("empty argument after --out: a value expected"));
  EXPECT_EQ(run("--help").code, 0);
  EXPECT_EQ(run("verify " + path("nowhere")).code, 2);
}

TEST_F(DataCommandTest, RefusesAPathThatNoRetryMakesBetterWithCode2) {
  std::filesystem::create_symlink("loop", path("loop"));
  const std::string rows = write_text("rows.csv", "1,2\n");

  EXPECT_EQ(run("verify " + path("loop")).code, 2);
  EXPECT_EQ(run("verify " + path(std::string(300, 'n'))).code, 2);
  const Outcome below_a_file = run("convert --format csv " + rows + " --out " + rows + "/d");
  EXPECT_EQ(below_a_file.code, 2);
  EXPECT_THAT(below_a_file.text, HasSubstr("Not a directory; choose one that is new or a folder"));
}

TEST_F(DataCommandTest, ReportsDataLossWithCode2ForEveryKindOfDamage) {
  const std::string folder = write_pixels("d", 300, 16);
  const auto dataset = Dataset::open(folder).value();
  const std::string chunk = dataset->chunk_path(0);
  const uint64_t bytes = std::filesystem::file_size(chunk);
  struct Damage {
    std::string path;
    uint64_t byte;
    std::string expected;
  };
  const uint64_t footer =
      read_sealed(Object::open(dataset->source(), dataset->chunk_name(0)).value(), kChunkMagic,
                  "footer")
          ->offset;
  for (const Damage& damage :
       {Damage{chunk, 4096 + 5,
               "column \"pixels\" in block 0 of " + chunk + " at byte 4096: xxh3 "},
        Damage{chunk, footer + 9, "footer of " + chunk + " at byte " + std::to_string(footer)},
        Damage{folder + "/manifest", 9, "manifest of " + folder + "/manifest at byte 0: xxh3 "}}) {
    flip_bit(damage.path, damage.byte, 4);

    const Outcome outcome = run("verify " + folder);

    EXPECT_EQ(outcome.code, 2);
    EXPECT_THAT(outcome.text, HasSubstr(damage.expected));
    flip_bit(damage.path, damage.byte, 4);
  }

  std::filesystem::resize_file(chunk, bytes - 1);
  const Outcome outcome = run("verify " + folder);
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.text, HasSubstr(chunk + " is cut short or grown: " + std::to_string(bytes)));
}

TEST_F(DataCommandTest, ConvertsEveryFormatByItsName) {
  const std::string in = BALLAST_TEST_DATA "/convert/";
  for (const std::string& arguments :
       {"csv " + in + "rows.csv --header", "idx " + in + "images.idx " + in + "labels.idx",
        "tsv " + in + "rows.tsv --header", "criteo-tsv " + in + "criteo.tsv --missing -1",
        "criteo-bin " + in + "criteo.bin --categories-type i64",
        "npy --column x=" + in + "x.npy --column label=" + in + "y.npy", "mds " + in + "mds",
        "mds " + in + "mds_kinds --codec text=zstd",
        "libsvm " + in + "rows.svm --width 3 --qid --threads 2",
        "libsvm " + in + "rows.svm --sparse --ids-type i64 --features x --codec zstd",
        "libffm " + in + "rows.ffm --width 8 --features x --codec x_ids=lz4"}) {
    const Outcome outcome =
        run("convert --overwrite --out " + path("d") + " --format " + arguments);

    EXPECT_EQ(outcome.code, 0) << arguments << '\n' << outcome.text;
    EXPECT_THAT(run("verify " + path("d")).text, HasSubstr("rows in 1 blocks verified"));
  }
}

TEST_F(DataCommandTest, RefusesOptionsThatTheFormatCannotUse) {
  const std::string in = BALLAST_TEST_DATA "/convert/";
  const auto refused = [&](const std::string& arguments) {
    const Outcome outcome = run("convert --out " + path("d") + " --format " + arguments);
    EXPECT_EQ(outcome.code, 2) << arguments;
    return outcome.text;
  };

  EXPECT_THAT(refused("libsvm " + in + "rows.svm"), HasSubstr("--width N expected"));
  EXPECT_THAT(refused("libffm " + in + "rows.ffm --ids-type u8"), HasSubstr("--ids-type u8: i32"));
  EXPECT_THAT(refused("npy " + in + "x.npy"), HasSubstr("--column NAME=FILE.npy"));
  EXPECT_THAT(refused("npy --column x"), HasSubstr("NAME=FILE.npy expected"));
  EXPECT_THAT(refused("csv"), HasSubstr("files to convert expected, none found"));
  EXPECT_THAT(refused("criteo-tsv " + in + "criteo.tsv --categories-type f32"),
              HasSubstr("--categories-type f32: i32 or i64 expected"));
}

TEST_F(DataCommandTest, GoesOnAfterAKillAndSaysSo) {
  std::string rows;
  for (int i = 0; i < 200'000; ++i) rows += std::to_string(i) + ",1\n";
  const std::string file = write_text("rows.csv", rows);
  const std::string command = "convert --format csv " + file + " --chunk-mib 1 --threads 1 --out ";
  ASSERT_EQ(run(command + path("whole")).code, 0);
  const std::string killed =
      "sh -c '" BALLAST_TOOL " data " + command + path("d") + " & pid=$!; while ! ls " + path("d") +
      "/*.blc >/dev/null 2>&1; do kill -0 $pid || exit; done; kill -9 $pid; wait $pid'";
  (void)std::system((killed + " >/dev/null 2>&1").c_str());

  const Outcome outcome = run(command + path("d"));

  if (outcome.code != 0) {  // it was done before the kill
    EXPECT_THAT(outcome.text, HasSubstr("already holds a data set"));
  } else {
    EXPECT_THAT(outcome.text, HasSubstr("goes on; "));
  }
  EXPECT_EQ(read_file(path("d/manifest")), read_file(path("whole/manifest")));
  EXPECT_FALSE(std::filesystem::exists(path("d/convert.state")));
}

TEST_F(DataCommandTest, RepairsFromACopyAndElseSaysWhatIsLost) {
  const std::string folder = write_pixels("d", 1000, 16);
  std::filesystem::copy(folder, path("copy"));
  const std::string chunk = Dataset::open(folder).value()->chunk_path(1);
  flip_bit(chunk, 4100);

  const Outcome lost = run("verify --repair " + folder);
  EXPECT_EQ(lost.code, 2);
  EXPECT_THAT(lost.text, HasSubstr("lost: rows "));
  EXPECT_THAT(lost.text, HasSubstr("--from and the place of a copy"));
  const Outcome repaired = run("verify --repair --from " + path("copy") + " " + folder);
  EXPECT_EQ(repaired.code, 0) << repaired.text;
  EXPECT_THAT(repaired.text, HasSubstr("restored: "));
  EXPECT_THAT(repaired.text, HasSubstr(".damaged is no part of the data set"));
  EXPECT_EQ(run("verify --drop " + folder).code, 2);
}

TEST_F(DataCommandTest, PrintsOnlyTheTablesForAJobFileWhenAsked) {
  const std::string text = run("stats --toml " + write_pixels("d", 100, 2)).text;

  EXPECT_TRUE(text.starts_with("[[data.transform]]\nkind = \"standardize\"\n")) << text;
  EXPECT_EQ(text.find('#'), std::string::npos);
}

TEST_F(DataCommandTest, PlansAJobBeforeItStarts) {
  const std::string job = write_text(
      "job.toml", "[job]\nname = \"p\"\n[data]\ntrain = \"" + write_pixels("d", 1000, 16) +
                      "\"\nfeatures = [\"pixels\"]\nlabel = \"label\"\norder = \"strip\"\n"
                      "[model]\nloss = \"softmax_cross_entropy\"\n[[layer]]\nkind = \"dense\"\n"
                      "units = 10\n[train]\nbatch = 100\nlanes = 4\n");

  const Outcome outcome = run("plan " + job + " --samples-per-second 50000");

  EXPECT_EQ(outcome.code, 0) << outcome.text;
  EXPECT_THAT(outcome.text, HasSubstr("order           strip, window "));
  EXPECT_THAT(outcome.text, HasSubstr("MB/s at 50000 samples/s"));
  EXPECT_THAT(outcome.text, HasSubstr("requests, one a block"));
  EXPECT_THAT(outcome.text, HasSubstr("memory of a worker"));
}

TEST_F(DataCommandTest, ShowsEveryProblemAndNotOnlyTheFirst) {
  const std::string folder = write_pixels("d", 300, 16);
  const std::string chunk = Dataset::open(folder).value()->chunk_path(0);
  flip_bit(chunk, 4096 + 5);
  flip_bit(chunk, 8192 + 5);

  const Outcome outcome = run("verify " + folder);

  EXPECT_THAT(outcome.text, HasSubstr("in block 0 of"));
  EXPECT_THAT(outcome.text, HasSubstr("in block 1 of"));
}

}  // namespace
}  // namespace ballast
