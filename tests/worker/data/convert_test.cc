#include "worker/data/convert/convert.h"

#include <gmock/gmock.h>
#include <zlib.h>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/convert/csv.h"
#include "worker/data/convert/idx.h"
#include "worker/data/dataset.h"
#include "worker/data/examine.h"

namespace ballast {
namespace {

using testing::HasSubstr;

class ConvertTest : public DataFixture {
 protected:
  Result<uint64_t> convert_to(const std::string& folder,
                              const Result<std::unique_ptr<Format>>& format,
                              bool overwrite = true) {
    if (!format.ok()) return format.status();
    ConvertOptions options;
    options.writer.overwrite = overwrite;
    options.threads = 2;
    return convert(**format, folder, options);
  }
  Result<uint64_t> csv_files(const std::vector<std::string>& sources,
                             const CsvOptions& options = {}) {
    return convert_to(path("out"), open_csv(sources, options));
  }
  Status csv(const std::string& text, const CsvOptions& options = {}) {
    return csv_files({write_text("t.csv", text)}, options).status();
  }
  std::string out_text() {
    return head_text(*Dataset::open(path("out")).value(), 100, 100).value();
  }

  std::string write_gzip(const std::string& name, const std::string& text) {
    gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path(name);
  }

  // Big-endian 32 bits.
  static std::string big(uint32_t value) {
    std::string text;
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift);
    return text;
  }
  Status idx(const std::string& images, const std::string& labels, const IdxOptions& options = {}) {
    return convert_to(path("out"),
                      open_idx(write_text("i", images), write_text("l", labels), options))
        .status();
  }
  // Two images of 2 x 1, labels 7 and 8.
  const std::string images_ = big(0x803) + big(2) + big(2) + big(1) + "\x01\x02\x03\x04";
  const std::string labels_ = big(0x801) + big(2) + "\x07\x08";
};

TEST_F(ConvertTest, ReadsTheBundledDigitsAsTheyAre) {
  CsvOptions options;
  options.features = "pixels";
  options.features_type = ColumnType::kU8;
  options.shape = {8, 8};

  const auto rows = csv_files({BALLAST_TEST_DATA "/optdigits.tra.gz"}, options);

  ASSERT_TRUE(rows.ok()) << rows.status().to_string();
  EXPECT_EQ(*rows, 3823u);
  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "pixels u8 [8, 8]");
  uint64_t counted = 0;
  const std::vector<LabelCount> labels = count_labels(*dataset).value();
  for (const LabelCount& label : labels) counted += label.count;
  EXPECT_EQ(counted, 3823u);
  EXPECT_TRUE(verify_dataset(path("out")).empty());
}

TEST_F(ConvertTest, JoinsFeaturesAndKeepsColumnsOfTheirOwn) {
  CsvOptions options;
  options.header = true;
  options.label = "y";
  options.own_columns = {{"country", ColumnType::kU8}};

  ASSERT_TRUE(csv("a,y,country,b\r\n0.5, 3 ,7,-1e2\r\n\r\n\"1,\"\"\",4,8,2\n", options).code() ==
              Code::kInvalidInput);
  ASSERT_TRUE(csv("a,y,country,b\r\n0.5, 3 ,7,-1e2\r\n\r\n\"1.5\",4,8,+2", options).ok());

  EXPECT_EQ(out_text(),
            "row 0\n  features: 0.5 -100\n  country: 7\n  y: 3\n"
            "row 1\n  features: 1.5 2\n  country: 8\n  y: 4\n");
}

TEST_F(ConvertTest, ReadsSeveralFilesAsOneWithTheirHeaders) {
  CsvOptions options;
  options.header = true;
  const auto rows =
      csv_files({write_text("1", "a,y\n1,0\n"), write_gzip("2", "a,y\n2,1\n")}, options);

  ASSERT_TRUE(rows.ok()) << rows.status().to_string();
  EXPECT_EQ(out_text(), "row 0\n  features: 1\n  y: 0\nrow 1\n  features: 2\n  y: 1\n");
}

TEST_F(ConvertTest, LeavesTheByteOrderMarkOfEachFileOut) {
  const std::string mark = "\xEF\xBB\xBF";
  CsvOptions options;
  options.header = true;
  options.own_columns = {{"a", ColumnType::kI32}};

  const auto rows = csv_files({write_text("1", mark + "a,y\n1,0\n"),
                               write_gzip("2", mark + "a,y\n2,1\n"), write_text("3", "a,y\n3,1\n")},
                              options);

  ASSERT_TRUE(rows.ok()) << rows.status().to_string();
  EXPECT_EQ(Dataset::open(path("out")).value()->columns()[0].name, "a");
  options.header = false;
  options.own_columns.clear();
  EXPECT_EQ(csv_files({write_text("4", mark + "1,0\n")}, options).value(), 1u);
  EXPECT_FALSE(csv_files({write_text("5", mark)}, options).ok()) << "no rows";
}

TEST_F(ConvertTest, RefusesUtf16AndSaysHowToConvertIt) {
  for (const std::string mark : {"\xFF\xFE", "\xFE\xFF"}) {
    const auto rows = csv_files({write_text("wide.csv", mark + "1")});

    EXPECT_EQ(exit_code(rows.status()), 2);
    EXPECT_THAT(rows.status().to_string(), HasSubstr("wide.csv: UTF-8 text expected, a byte order "
                                                     "mark of UTF-16 found"));
  }
}

TEST_F(ConvertTest, NamesFileLineColumnExpectedAndFoundForMalformedCsv) {
  CsvOptions bytes;
  bytes.features_type = ColumnType::kU8;
  EXPECT_THAT(csv("1,2\n1,256\n256,1\n", bytes).to_string(),
              HasSubstr("t.csv line 3, column 0: u8 (0 to 255) expected, \"256\" found"));
  EXPECT_THAT(csv("1,2\n1,2,3\n").to_string(),
              HasSubstr("t.csv line 2: 2 columns expected, 3 found"));
  EXPECT_THAT(csv("1,2\nx,2\n").to_string(),
              HasSubstr("t.csv line 2, column 0: f32 (a finite number) expected, \"x\" found"));
  EXPECT_THAT(csv("1,2\n,2\n").to_string(), HasSubstr("expected, \"\" found"));
  EXPECT_THAT(csv("1,2\nnan,2\n").to_string(), HasSubstr("expected, \"nan\" found"));
  EXPECT_THAT(csv("1,2\n1,2.5\n").to_string(),
              HasSubstr("line 2, column 1: i32 (a whole number) expected, \"2.5\" found"));
  EXPECT_THAT(csv("a,b\n1,2\n").to_string(),
              HasSubstr("if the first line names the columns, add --header"));
  EXPECT_THAT(csv("").to_string(), HasSubstr("t.csv: at least one line expected, none found"));
  EXPECT_THAT(csv("1,\"2\n3,4\n").to_string(),
              HasSubstr("t.csv line 1: a quote is opened and not closed"));
  EXPECT_THAT(csv("1,2\n\"3\"4,5\n").to_string(),
              HasSubstr("t.csv line 2: text behind a closing quote"));
  EXPECT_THAT(csv(std::string("1,2\n\0,2\n", 8)).to_string(),
              HasSubstr("t.csv line 2: text in UTF-8 expected, a zero byte found"));
  EXPECT_EQ(exit_code(csv("1,2\nx,2\n")), 2);
}

TEST_F(ConvertTest, LeavesNoDataSetBehindWhenALineIsBad) {
  EXPECT_FALSE(csv("1,2\nx,2\n").ok());

  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(ConvertTest, RefusesAFileWithoutRowsAndLeavesNoFolder) {
  CsvOptions header;
  header.header = true;

  const Status status = csv("a,b,label\n", header);

  EXPECT_EQ(exit_code(status), 2);
  EXPECT_THAT(status.to_string(), HasSubstr("at least one row expected, none found"));
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  const std::string nothing = big(0x803) + big(0) + big(2) + big(1);
  EXPECT_THAT(idx(nothing, big(0x801) + big(0)).to_string(),
              HasSubstr("at least one item expected"));
}

TEST_F(ConvertTest, TakesTheFoldersWithItThatItMadeAndNoOther) {
  std::filesystem::create_directory(path("mine"));
  const std::string bad = write_text("bad.csv", "1,2\nx,2\n");

  EXPECT_FALSE(convert_to(path("mine/new/deep/"), open_csv({bad}, {})).ok());
  EXPECT_FALSE(convert_to(path("mine"), open_csv({bad}, {})).ok());

  EXPECT_TRUE(std::filesystem::is_directory(path("mine")));
  EXPECT_TRUE(std::filesystem::is_empty(path("mine")));
}

TEST_F(ConvertTest, RefusesTwoColumnsOfOneName) {
  CsvOptions header;
  header.header = true;

  EXPECT_THAT(csv("a,b,a,label\n1,2,3,4\n", header).to_string(),
              HasSubstr("columns 0 and 2 are both named \"a\""));
}

TEST_F(ConvertTest, HintsAtHeaderAndSeparator) {
  CsvOptions by_name;
  by_name.label = "label";
  EXPECT_THAT(csv("a,label\n1,2\n", by_name).to_string(),
              HasSubstr("if line 1 names the columns, add --header"));
  EXPECT_THAT(csv("1;2;3\n").to_string(),
              HasSubstr("t.csv line 1: one column found; if columns are separated by \";\", add "
                        "--separator ';'"));
  EXPECT_THAT(csv("1\t2\n").to_string(), HasSubstr("separated by tabs, add --separator tab"));
  EXPECT_THAT(csv("1,2\n1;2\n").to_string(), HasSubstr("add --separator ';'"));
}

TEST_F(ConvertTest, KeepsNanOnlyWhenAsked) {
  CsvOptions options;
  options.allow_nonfinite = true;

  ASSERT_TRUE(csv("nan,1\n-inf,2\n", options).ok());

  EXPECT_EQ(out_text(),
            "row 0\n  features: nan\n  label: 1\nrow 1\n  features: -inf\n  label: 2\n");
}

TEST_F(ConvertTest, NamesTheNearestCsvColumn) {
  CsvOptions options;
  options.header = true;
  options.label = "lable";
  EXPECT_THAT(csv("x,label\n1,2\n", options).to_string(),
              HasSubstr("no column \"lable\"; did you mean \"label\"?"));
  options.label = "5";
  EXPECT_THAT(csv("x,label\n1,2\n", options).to_string(), HasSubstr("column 5: -2 to 1 expected"));
}

TEST_F(ConvertTest, NamesADamagedGzip) {
  std::string rows;
  for (int i = 0; i < 20'000; ++i) rows += std::to_string(i * 7919 % 65536) + ",1\n";
  const std::string file = write_gzip("t.gz", rows);
  flip_bit(file, std::filesystem::file_size(file) / 2, 2);

  const auto converted = csv_files({file});

  EXPECT_FALSE(converted.ok());
  EXPECT_THAT(converted.status().to_string(), HasSubstr(file));
}

TEST_F(ConvertTest, NamesATruncatedGzip) {
  std::string rows;
  for (int i = 0; i < 20'000; ++i) rows += std::to_string(i * 7919 % 65536) + ",1\n";
  const std::string file = write_gzip("t.gz", rows);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);

  const auto converted = csv_files({file});

  ASSERT_EQ(converted.status().code(), Code::kDataLoss);
  EXPECT_THAT(converted.status().to_string(),
              HasSubstr("gzip data expected, unexpected end of file"));
}

TEST_F(ConvertTest, ReadsIdxImagesAndLabels) {
  ASSERT_TRUE(idx(images_, labels_).ok());

  EXPECT_EQ(Dataset::open(path("out")).value()->columns()[0].to_string(), "pixels u8 [2, 1]");
  EXPECT_EQ(out_text(), "row 0\n  pixels: 1 2\n  label: 7\nrow 1\n  pixels: 3 4\n  label: 8\n");
}

TEST_F(ConvertTest, TurnsBigEndianIdxValuesAndWidensLabels) {
  IdxOptions options;
  options.label_type = ColumnType::kI64;
  const std::string images = big(0xd02) + big(1) + big(2) + big(0x3f800000) + big(0xc0000000);

  ASSERT_TRUE(idx(images, big(0xc01) + big(1) + big(0xfffffffe), options).ok());

  EXPECT_EQ(out_text(), "row 0\n  pixels: 1 -2\n  label: -2\n");
}

TEST_F(ConvertTest, NamesFileByteExpectedAndFoundForMalformedIdx) {
  EXPECT_THAT(idx("abcdefgh", labels_).to_string(),
              HasSubstr("/i at byte 0: IDX header 00 00 type dimensions expected, 61626364 found"));
  EXPECT_THAT(idx("ab", labels_).to_string(),
              HasSubstr("/i at byte 0: an IDX header of 4 bytes expected, 2 found"));
  EXPECT_THAT(idx(big(0x903), labels_).to_string(), HasSubstr("/i at byte 2: IDX type"));
  EXPECT_THAT(idx(images_.substr(0, 19), labels_).to_string(),
              HasSubstr("/i at byte 18: item 1 of 2 bytes expected, 1 found"));
  EXPECT_THAT(idx(images_ + "x", labels_).to_string(),
              HasSubstr("/i at byte 20: the end of the file expected after 2 items, more found"));
  EXPECT_THAT(idx(images_, big(0x801) + big(3) + "\1\2\3").to_string(),
              HasSubstr("/l at byte 4: 2 items expected as in"));
  EXPECT_THAT(idx(images_, images_).to_string(),
              HasSubstr("one whole number an item expected as label, u8 [2, 1] found"));
  EXPECT_THAT(open_idx(path("none"), path("none"), {}).status().to_string(),
              HasSubstr("open " + path("none")));
}

TEST_F(ConvertTest, RefusesALabelThatDoesNotFitItsType) {
  IdxOptions options;
  options.label_type = ColumnType::kU8;

  EXPECT_THAT(idx(big(0x801) + big(1) + "\1", big(0xc01) + big(1) + big(300), options).to_string(),
              HasSubstr("/l at byte 8: a label that fits u8 expected, 300 found"));
}

}  // namespace
}  // namespace ballast
