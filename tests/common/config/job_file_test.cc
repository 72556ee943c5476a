#include "common/config/job_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "common/base/random.h"
#include "tests/common/config/job_text.h"

namespace ballast {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

// kJobText with line `line` (from 1) replaced.
std::string with_line(int line, const std::string& replacement) {
  std::istringstream in(kJobText);
  std::string text, row;
  for (int number = 1; std::getline(in, row); ++number) {
    text += (number == line ? replacement : row) + "\n";
  }
  return text;
}

TEST(JobFile, FillsValuesAndDefaults) {
  const JobConfig job = small_job();

  EXPECT_EQ(job.data.train, "/data/train");
  EXPECT_EQ(job.data.features, std::vector<std::string>{"pixels"});
  ASSERT_EQ(job.model.layers.size(), 1u);
  EXPECT_EQ(job.model.layers[0].units, 10u);
  EXPECT_EQ(job.train.batch, 256u);
  EXPECT_EQ(job.train.lanes, 2u) << "chosen: the power of two >= workers";
  EXPECT_EQ(job.train.optimizer, OptimizerConfig());
  EXPECT_EQ(job.checkpoint, CheckpointConfig());
}

TEST(JobFile, NamesTheNearestKeyForAnUnknownOne) {
  EXPECT_EQ(problems_of(with_line(11, "bacth = 256")),
            "job.toml:11: unknown key train.bacth; did you mean train.batch?");
}

TEST(JobFile, NamesTheRightTableForAKeyInTheWrongOne) {
  EXPECT_EQ(problems_of(with_line(11, "servers = 2")),
            "job.toml:11: unknown key train.servers; did you mean cluster.servers?");
}

TEST(JobFile, ListsTheKeysOfATableWhenNoneIsNear) {
  EXPECT_THAT(problems_of(with_line(13, "zzz = 2")),
              HasSubstr("job.toml:13: unknown key cluster.zzz; keys of [cluster]: servers, "));
}

TEST(JobFile, NamesTheNearestTableForAnUnknownOne) {
  EXPECT_THAT(problems_of(with_line(9, "[trian]")),
              HasSubstr("job.toml:9: unknown table trian; did you mean [train]?"));
  EXPECT_THAT(problems_of(kJobText + "[train.optimiser]\nkind = \"sgd\"\n"),
              HasSubstr("unknown table train.optimiser; did you mean [train.optimizer]?"));
}

TEST(JobFile, RefusesAWrongTypeWithWhatIsExpected) {
  EXPECT_EQ(problems_of(with_line(11, "batch = \"big\"")),
            "job.toml:11: train.batch = \"big\" is a text; expected integer, 1 to 16777216 "
            "samples");
  EXPECT_THAT(problems_of(with_line(11, "batch = 1.5")),
              HasSubstr("train.batch = 1.5 is a number; expected integer"));
  EXPECT_THAT(problems_of(with_line(11, "batch = [1]")),
              HasSubstr("train.batch is a list; expected integer"));
  EXPECT_THAT(problems_of(with_line(3, "features = [\"a\", 3]")),
              HasSubstr("job.toml:3: data.features[1] = 3 is an integer; expected list of texts"));
  EXPECT_THAT(problems_of(with_line(4, "label = 2026-01-01")),
              HasSubstr("data.label is a date or time; expected text"));
}

TEST(JobFile, RefusesValuesOutOfRangeWithTheRange) {
  EXPECT_EQ(problems_of(with_line(11, "batch = 0")),
            "job.toml:11: train.batch = 0 is out of range; allowed: 1 to 16777216 samples");
  EXPECT_EQ(problems_of(with_line(13, "workers = 0")),
            "job.toml:13: cluster.workers = 0 is out of range; allowed: 1 to 4096 processes");
  EXPECT_THAT(problems_of(kJobText + "[train.optimizer]\nlearning_rate = nan\n"),
              HasSubstr("train.optimizer.learning_rate = nan is out of range; allowed: above 0"));
  EXPECT_THAT(problems_of(with_line(8, "units = 10\n[[layer]]\nkind=\"dropout\"\nrate = 1")),
              HasSubstr("layer[1].rate = 1 is out of range; allowed: at least 0 and below 1"));
  EXPECT_THAT(problems_of(with_line(9, "[job]\nseed = -1\n[train]")),
              HasSubstr("job.seed = -1 is out of range; allowed: at least 0"));
}

TEST(JobFile, ListsTheChoicesForAnUnknownWord) {
  EXPECT_EQ(problems_of(with_line(10, "mode = \"snyc\"")),
            "job.toml:10: train.mode = \"snyc\" is not known; expected one of sync, ssp, async; "
            "did you mean \"sync\"?");
}

TEST(JobFile, NamesMissingKeys) {
  EXPECT_EQ(problems_of(with_line(4, "")),
            "job.toml:1: data.label is missing; expected text: column the model learns to predict");
  EXPECT_THAT(problems_of(with_line(8, "")), HasSubstr("job.toml:6: layer[0].units is missing"));
  EXPECT_THAT(problems_of(with_line(7, "")), HasSubstr("job.toml:6: layer[0].kind is missing"));
  EXPECT_THAT(problems_of(""), HasSubstr("job.toml: data.train is missing"));
}

TEST(JobFile, RefusesAKeyGivenTwice) {
  EXPECT_THAT(problems_of(with_line(12, "batch = 64\n[cluster]")),
              HasSubstr("job.toml:12: duplicate: "));
}

TEST(JobFile, NamesTheLineOfASyntaxErrorAndNothingElse) {
  const std::string problems = problems_of(with_line(11, "batch = = 3"));

  EXPECT_THAT(problems, HasSubstr("job.toml:11: not TOML: "));
  EXPECT_EQ(problems.find('\n'), std::string::npos);
}

TEST(JobFile, RefusesAKeyOfAnotherKind) {
  EXPECT_EQ(problems_of(with_line(8, "units = 10\nrate = 0.5")),
            "job.toml:9: layer[0].rate has no meaning for layer[0].kind = \"dense\"; it belongs to "
            "dropout");
  EXPECT_THAT(problems_of(kJobText + "[train.optimizer]\nkind = \"sgd\"\nbeta1 = 0.9\n"),
              HasSubstr("train.optimizer.beta1 has no meaning for train.optimizer.kind = \"sgd\""));
}

TEST(JobFile, RefusesASingleTableWhereTheyRepeatAndTheReverse) {
  EXPECT_THAT(
      problems_of(with_line(6, "[layer]")),
      HasSubstr("job.toml:6: layer is a table; expected a list of tables: [[layer]] above the "
                "keys of each"));
  EXPECT_THAT(
      problems_of(with_line(9, "[[train]]")),
      HasSubstr("job.toml:9: train is repeated; expected one table: [train] above its keys"));
  EXPECT_THAT(problems_of("train = 3\n"),
              HasSubstr("train is an integer; expected one table: [train] above its keys"));
}

TEST(JobFile, TakesAnEmptyListOfTablesForNone) {
  std::string text = kJobText;
  text.erase(text.find("[[layer]]"), text.find("[train]") - text.find("[[layer]]"));

  EXPECT_EQ(problems_of("layer = []\n" + text),
            "job.toml:1: the model has no layer; expected at least one table [[layer]], the last "
            "of kind dense");
  EXPECT_EQ(problems_of(with_line(5, "transform = []")), "no problem");
  EXPECT_THAT(problems_of("train = []\n"), HasSubstr("train is a list; expected one table"));
}

TEST(JobFile, ReportsEveryProblemOnceInTheOrderOfTheFile) {
  const std::string problems = problems_of(R"([cluster]
workers = 0
[train]
bacth = 3
mode = "fast"
lanes = 3
[data]
train = 5
)");

  EXPECT_EQ(problems,
            "job.toml:2: cluster.workers = 0 is out of range; allowed: 1 to 4096 processes\n"
            "job.toml:4: unknown key train.bacth; did you mean train.batch?\n"
            "job.toml:5: train.mode = \"fast\" is not known; expected one of sync, ssp, async\n"
            "job.toml:7: data.features is missing; expected list of texts: columns that are "
            "joined, in this order, into the model's input\n"
            "job.toml:7: data.label is missing; expected text: column the model learns to predict\n"
            "job.toml:8: data.train = 5 is an integer; expected text\n"
            "job.toml: the model has no layer; expected at least one table [[layer]], the last of "
            "kind dense");
}

TEST(JobFile, GivesTheLineOfABrokenRule) {
  EXPECT_EQ(problems_of(with_line(11, "batch = 256\nlanes = 3")),
            "job.toml:12: train.lanes = 3 does not divide train.batch = 256; nearest legal lanes: "
            "2, 4; nearest legal batch: 255, 258");
}

TEST(JobFile, OverridesWinAndTheLastOfAKeyWins) {
  const JobConfig job =
      small_job({"train.mode=async", "train.batch=128", "train.batch=64", "layer[0].units=12",
                 "data.features=[\"a\", \"b\"]", "data.train=/other", "job.name=\"quoted\"",
                 "train.optimizer.learning_rate=1e-3"});

  EXPECT_EQ(job.train.mode, Mode::kAsync);
  EXPECT_EQ(job.train.batch, 64u);
  EXPECT_EQ(job.model.layers[0].units, 12u);
  EXPECT_EQ(job.data.features, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(job.data.train, "/other");
  EXPECT_EQ(job.name, "quoted");
  EXPECT_EQ(job.train.optimizer.learning_rate, 1e-3);
}

TEST(JobFile, OverridesGiveTheSameMessages) {
  const auto problem = [](const std::string& assignment) {
    return problems_of(kJobText, {assignment});
  };

  EXPECT_EQ(problem("train.batch=0"),
            "--set train.batch=0: train.batch = 0 is out of range; allowed: 1 to 16777216 samples");
  EXPECT_EQ(problem("train.bacth=1"),
            "--set train.bacth=1: unknown key train.bacth; did you mean train.batch?");
  EXPECT_THAT(problem("train.batch=abc"), HasSubstr("train.batch = abc cannot be read; expected"));
  EXPECT_THAT(problem("train.batch=1\nx=2"), HasSubstr("cannot be read"));
  EXPECT_THAT(problem("train.batch"), HasSubstr("expected key=value"));
  EXPECT_THAT(problem("train.mode=snyc"), HasSubstr("did you mean \"sync\"?"));
  EXPECT_THAT(problem("layer[3].units=1"),
              HasSubstr("the job has 1 [[layer]]; expected layer[i].units with i below 1"));
  EXPECT_THAT(problem("layer.units=1"), HasSubstr("expected layer[i].units"));
  EXPECT_THAT(problem("train[0].batch=1"), HasSubstr("expected train.batch"));
  EXPECT_THAT(problem("resolved.train_rows=1"), HasSubstr("cannot be set"));
  EXPECT_THAT(problem("train=1"),
              HasSubstr("train is a table; expected one of its keys, such as train.mode"));
  EXPECT_THAT(problem("layer[0]=1"), HasSubstr("layer is a table; expected one of its keys, such "
                                               "as layer[0].kind"));
  EXPECT_THAT(problem("resolved=1"),
              AllOf(HasSubstr("known tables:"), Not(HasSubstr(", resolved"))));
  EXPECT_THAT(problem("batch=1"), HasSubstr("did you mean train.batch?"));
  EXPECT_THAT(problem("train.lanes=3"),
              HasSubstr("--set train.lanes=3: train.lanes = 3 does not divide"));
}

TEST(JobFile, AnOverrideMendsAMissingKey) {
  EXPECT_EQ(problems_of(with_line(4, ""), {"data.label=label"}), "no problem");
}

// Bytes from outside: whatever they are, the answer is a job or a message, never an exception.
TEST(JobFile, AnswersAnyTextWithAJobOrAMessage) {
  static constexpr std::string_view kPieces[] = {
      "[", "]",     "=", "\"",  "\n", "layer", ".", "[[", "]]", "\xff",    "\\u12", "{",
      "}", "1e999", "-", "'''", "#",  "nan",   ",", "0x", " ",  "[train.", "kind"};
  for (uint64_t seed = 0; seed < 3000; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    std::string text = kJobText;
    for (uint64_t edits = 1 + random.below(6); edits > 0; --edits) {
      const size_t at = random.below(text.size());
      text.replace(at, random.below(5), kPieces[random.below(std::size(kPieces))]);
    }
    const std::vector<std::string> overrides = {text.substr(random.below(text.size()), 20)};

    const Result<JobConfig> job = parse_job(text, "job.toml", overrides);

    EXPECT_TRUE(job.ok() || job.status().code() == Code::kInvalidInput);
  }
}

TEST(JobFile, RefusesEndlessNesting) {
  EXPECT_THAT(problems_of("a = " + std::string(100000, '[')), HasSubstr("job.toml:1: not TOML: "));
}

class JobFileOnDisk : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) / "ballast_job_file_test";
    std::filesystem::create_directories(folder_);
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& text) {
    const std::string path = folder_ / "job.toml";
    std::ofstream(path) << text;
    return path;
  }

  std::filesystem::path folder_;
};

TEST_F(JobFileOnDisk, MakesFoldersAbsoluteAndKeepsUrls) {
  const std::string path = write(with_line(2, "train = \"some/../train\"\ntest = \"s3://b/t\""));

  const Result<JobConfig> job = load_job(path);

  ASSERT_TRUE(job.ok()) << job.status().to_string();
  EXPECT_EQ(job->data.train, (std::filesystem::current_path() / "train").string());
  EXPECT_EQ(job->data.test, "s3://b/t");
}

TEST_F(JobFileOnDisk, RefusesAFileThatIsNotThere) {
  const Result<JobConfig> job = load_job(folder_ / "absent.toml");

  EXPECT_EQ(job.status().code(), Code::kInvalidInput);
  EXPECT_THAT(job.status().to_string(), HasSubstr("absent.toml: no such file"));
  EXPECT_THAT(load_job(folder_).status().to_string(), HasSubstr(": a folder; expected a job file"));
}

TEST_F(JobFileOnDisk, ReadsNeitherADeviceNorAHugeFile) {
  EXPECT_THAT(load_job("/dev/zero").status().to_string(),
              HasSubstr("/dev/zero: not a regular file; expected a job file"));
  const std::string path = write("");
  std::filesystem::resize_file(path, uint64_t{1} << 40);  // a hole: no disk is used

  EXPECT_THAT(load_job(path).status().to_string(),
              HasSubstr("1099511627776 bytes, more than 1048576; expected a job file"));
}

}  // namespace
}  // namespace ballast
