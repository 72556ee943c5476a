// Each format against a file made by hand and what it must become (tests/data/convert), and one
// refusal for each kind of malformed input.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <map>

#include "common/base/hash.h"
#include "tests/worker/data/convert_formats_fixture.h"
#include "worker/data/convert/convert.h"
#include "worker/data/convert/criteo.h"
#include "worker/data/convert/csv.h"
#include "worker/data/convert/ffm.h"
#include "worker/data/convert/idx.h"
#include "worker/data/convert/npy.h"
#include "worker/data/convert/svm.h"
#include "worker/data/dataset.h"

namespace ballast {
namespace {

using testing::HasSubstr;

TEST_F(ConvertFormatsTest, ReadsCsvWithQuotesMarkAndCarriageReturns) {
  CsvOptions options;
  options.header = true;
  options.own_columns = {{"country", ColumnType::kI32}};

  EXPECT_EQ(rows_of(open_csv({golden("rows.csv")}, options)), text_of(golden("csv.expected")));
}

TEST_F(ConvertFormatsTest, ReadsIdxImagesAndLabels) {
  EXPECT_EQ(rows_of(open_idx(golden("images.idx"), golden("labels.idx"), {})),
            text_of(golden("idx.expected")));
  EXPECT_EQ(Dataset::open(path("out")).value()->columns()[0].to_string(), "pixels u8 [2, 3]");
}

TEST_F(ConvertFormatsTest, ReadsTabsAsTsv) {
  CsvOptions options;
  options.separator = '\t';
  options.header = true;
  options.own_columns = {{"country", ColumnType::kI32}};

  EXPECT_EQ(rows_of(open_csv({golden("rows.tsv")}, options)), text_of(golden("tsv.expected")));
}

TEST_F(ConvertFormatsTest, ReadsCriteoTsvAndBinAlike) {
  const std::string expected = text_of(golden("criteo.expected"));

  EXPECT_EQ(rows_of(open_criteo_tsv({golden("criteo.tsv")}, {})), expected);
  EXPECT_EQ(rows_of(open_criteo_bin({golden("criteo.bin")}, {})), expected);
}

TEST_F(ConvertFormatsTest, StoresCriteoInTheTypesAskedFor) {
  CriteoOptions options;
  options.features_type = ColumnType::kI32;
  options.categories_type = ColumnType::kI64;
  options.label_type = ColumnType::kU8;
  options.missing = -7;
  options.missing_category = 5;
  const std::string file =
      write_text("t", criteo_line("1", "", "ffffffff") + criteo_line("0", "2147483647", ""));

  const std::string rows = rows_of(open_criteo_tsv({file}, options));

  EXPECT_THAT(rows, HasSubstr("dense: -7 -7 "));
  EXPECT_THAT(rows, HasSubstr("categories: 4294967295 "));
  EXPECT_THAT(rows, HasSubstr("dense: 2147483647 "));
  EXPECT_THAT(rows, HasSubstr("categories: 5 5 "));
  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "dense i32 [13]");
  EXPECT_EQ(dataset->columns()[1].to_string(), "categories i64 [26]");
  EXPECT_EQ(dataset->manifest().label, "label");
}

TEST_F(ConvertFormatsTest, NamesLineAndFieldOfMalformedCriteoTsv) {
  const std::string good = criteo_line("1", "2", "0a0B0c0d");
  ASSERT_EQ(refused_tsv(good), "ok");
  EXPECT_THAT(refused_tsv(good + "1\t2\t3\n"),
              HasSubstr("t line 2: 40 fields separated by tabs expected (label, 13 whole numbers, "
                        "26 hex), 3 found"));
  EXPECT_THAT(refused_tsv(good + "\n" + criteo_line("1", "2x", "0a")),
              HasSubstr("line 3: field 1: a whole number of 32 bits or nothing expected, \"2x\""));
  EXPECT_THAT(refused_tsv(criteo_line("1", "2147483648", "0a")),
              HasSubstr("field 1: a whole number of 32 bits"));
  EXPECT_THAT(refused_tsv(criteo_line("1", "99999999999999999999", "0a")), HasSubstr("field 1"));
  EXPECT_THAT(refused_tsv(criteo_line("1", "-", "0a")), HasSubstr("field 1"));
  EXPECT_THAT(refused_tsv(criteo_line("1", "2", "0g")),
              HasSubstr("line 1: field 14: 1 to 8 hex digits or nothing expected, \"0g\" found"));
  EXPECT_THAT(refused_tsv(criteo_line("1", "2", "123456789")), HasSubstr("field 14"));
  EXPECT_THAT(refused_tsv(criteo_line("", "2", "0a")), HasSubstr("field 0: a label of type i32"));
  EXPECT_THAT(refused_tsv(good + std::string("1\t\0\n", 4)), HasSubstr("a zero byte found"));
  EXPECT_THAT(refused_tsv(""), HasSubstr("at least one line expected"));
  EXPECT_THAT(refused_tsv(good + std::string(70u << 20, '1')),
              HasSubstr("t at byte " + std::to_string(good.size()) + ": a line longer than"));
  CriteoOptions bytes;
  bytes.label_type = ColumnType::kU8;
  EXPECT_THAT(refused_tsv(criteo_line("256", "2", "0a"), bytes),
              HasSubstr("field 0: a label of type u8 expected, \"256\" found"));
  bytes.categories_type = ColumnType::kU8;
  EXPECT_THAT(refused_tsv(good, bytes), HasSubstr("--categories-type u8: i32 or i64 expected"));
}

TEST_F(ConvertFormatsTest, NamesTheByteOfMalformedCriteoBin) {
  const std::string whole = text_of(golden("criteo.bin"));
  const auto refused = [&](const std::string& bytes, const CriteoOptions& options = {}) {
    return refusal(open_criteo_bin({write_text("b", bytes)}, options));
  };
  EXPECT_THAT(refused(whole.substr(0, 479)),
              HasSubstr("b at byte 320: a record of 160 bytes expected, 159 found: cut short"));
  EXPECT_THAT(refused(""), HasSubstr("at least one record of 160 bytes expected"));
  CriteoOptions bytes;
  bytes.label_type = ColumnType::kU8;
  EXPECT_THAT(refused(whole.substr(0, 160) + "\xff\xff\xff\xff" + whole.substr(164), bytes),
              HasSubstr("b at byte 160: a label of type u8 expected, -1 found"));
}

TEST_F(ConvertFormatsTest, ReadsNumpyArraysOfAllVersionsAndEitherByteOrder) {
  NpyOptions options;
  options.columns = {{"x", golden("x.npy")}, {"z", golden("z.npy")}, {"label", golden("y.npy")}};
  options.label = "label";

  EXPECT_EQ(rows_of(open_npy(options)), text_of(golden("npy.expected")));

  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "x f32 [2, 2]");
  EXPECT_EQ(dataset->columns()[1].to_string(), "z i32 [2]");
  EXPECT_EQ(dataset->columns()[2].to_string(), "label i64 []");
  EXPECT_EQ(count_labels(*dataset).value().size(), 3u);
}

TEST_F(ConvertFormatsTest, NamesFileByteExpectedAndFoundForMalformedNumpy) {
  const std::string four = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }";
  const auto with = [](const char* descr, const char* order, const char* shape) {
    return npy(std::string("{'descr': ") + descr + ", 'fortran_order': " + order +
                   ", 'shape': " + shape + ", }",
               "abcd");
  };
  ASSERT_EQ(refused_npy(npy(four, "abcd")), "ok");
  EXPECT_THAT(refused_npy("\x93NUMPX 1234567"), HasSubstr("x.npy at byte 0: \"\\x93NUMPY\""));
  EXPECT_THAT(refused_npy(""), HasSubstr("a NumPy header of at least 12 bytes expected, 0 found"));
  EXPECT_THAT(refused_npy(std::string("\x93NUMPY\x04\x00\x00\x00\x00\x00", 12)),
              HasSubstr("at byte 6: version 1, 2 or 3 expected, 4 found"));
  EXPECT_THAT(refused_npy(npy(four).substr(0, 40)), HasSubstr("at byte 8: a header of 57 bytes"));
  EXPECT_THAT(refused_npy(npy(four, "abc")),
              HasSubstr("at byte 67: 1 rows of 4 bytes expected behind the header, 3 bytes found"));
  EXPECT_THAT(refused_npy(npy(four, "abcde")), HasSubstr("5 bytes found"));
  for (const char* descr : {"'<c8'", "'<u8'", "'|O'", "'<U5'", "[('a', '<f4')]", "'<f9'"}) {
    EXPECT_THAT(refused_npy(with(descr, "False", "(1,)")),
                HasSubstr("at byte 10: a dtype of bool, int8 to int64"));
  }
  EXPECT_THAT(refused_npy(with("'<f4'", "True", "(1, 1)")),
              HasSubstr("C order expected, Fortran order found"));
  EXPECT_THAT(refused_npy(with("'<f4'", "False", "()")), HasSubstr("a single value found"));
  EXPECT_THAT(refused_npy(with("'<f4'", "False", "(1, x)")), HasSubstr("'shape' of whole numbers"));
  EXPECT_THAT(refused_npy(with("'<f4'", "False", "(1, 0)")), HasSubstr("rows of 1 to 2^30 values"));
  EXPECT_THAT(refused_npy(with("'<f4'", "False", "(1, 1073741824, 1073741824)")),
              HasSubstr("rows of 1 to 2^30 values"));
  EXPECT_THAT(refused_npy(npy(four, std::string("\0\0\xc0\x7f", 4))),
              HasSubstr("x.npy at byte 67: row 0: a finite number expected, nan found"));
  const std::string huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }";
  EXPECT_THAT(refused_npy(npy(huge, std::string("\0\0\0\0\0\0\xf0\x7e", 8))),
              HasSubstr("a finite number that fits f32 expected, inf found"));
  const std::string one = write_text("one.npy", npy(four, "abcd"));
  EXPECT_THAT(refusal(open_npy({{{"x", golden("x.npy")}, {"y", one}}, ""})),
              HasSubstr("one.npy: 3 rows expected as in"));
  EXPECT_THAT(refusal(open_npy({{{"x", one}}, "z"})), HasSubstr("--label z: no such column"));
  EXPECT_THAT(refusal(open_npy({{{"x", path("none")}}, ""})), HasSubstr("open " + path("none")));
}

TEST_F(ConvertFormatsTest, ReadsLibsvmIntoADenseColumn) {
  SvmOptions options;
  options.width = 3;
  options.qid = true;

  EXPECT_EQ(rows_of(open_libsvm({golden("rows.svm")}, options)), text_of(golden("svm.expected")));

  options.qid = false;
  options.zero_based = true;
  options.width = 4;
  EXPECT_EQ(rows_of(open_libsvm({write_text("z", "1 qid:1 0:2 3:4\n")}, options)),
            "row 0\n  features: 2 0 0 4\n  label: 1\n");
}

TEST_F(ConvertFormatsTest, NamesTheLineOfMalformedLibsvm) {
  ASSERT_EQ(refused_svm("1 1:2\n"), "ok");
  EXPECT_THAT(refused_svm("1 1:2\n# no row\n1 4:1\n"),
              HasSubstr("t line 3: index 4 found, 1 to 3 expected by --width 3"));
  EXPECT_THAT(refused_svm("1 0:1\n"), HasSubstr("indices from 0 need --zero-based"));
  EXPECT_THAT(refused_svm("1 -1:1\n"), HasSubstr("an index of 1 or more expected, \"-1:1\" found"));
  EXPECT_THAT(refused_svm("1 99999999999999999999:1\n"), HasSubstr("an index of 1 or more"));
  EXPECT_THAT(refused_svm("1 2:1 2:1\n"),
              HasSubstr("t line 1: each index once expected, index 2 found twice"));
  EXPECT_THAT(refused_svm("1 2:1 1:1 2:1\n"), HasSubstr("index 2 found twice"));
  EXPECT_THAT(refused_svm("1 2:1 qid:1\n"), HasSubstr("\"qid:1\" found"));
  EXPECT_THAT(refused_svm("1 2\n"), HasSubstr("an index of 1 or more expected, \"2\" found"));
  EXPECT_THAT(refused_svm("1 2:x\n"), HasSubstr("index 2: f32 (a finite number) expected, \"x\""));
  EXPECT_THAT(refused_svm("1 2:nan\n"), HasSubstr("index 2: f32"));
  EXPECT_THAT(refused_svm("1 2:1e99\n"), HasSubstr("index 2: f32"));
  EXPECT_THAT(refused_svm("0.5 2:1\n"), HasSubstr("needs --label-type f32"));
  EXPECT_THAT(refused_svm("1 qid:x 2:1\n"), HasSubstr("qid: a whole number expected, \"x\""));
  EXPECT_THAT(refused_svm(std::string("1 2:1\0\n", 7)), HasSubstr("line 1: text expected, a zero"));
  EXPECT_THAT(refused_svm(""), HasSubstr("at least one line expected"));
  EXPECT_THAT(refused_svm("# nothing\n"), HasSubstr("at least one row expected"));
  EXPECT_THAT(refused_svm("1 2:1\n", 0), HasSubstr("--width N expected"));
  SvmOptions qid;
  qid.width = 3;
  qid.qid = true;
  EXPECT_THAT(refusal(open_libsvm({write_text("q", "1 qid:1 1:1\n1 1:1\n")}, qid)),
              HasSubstr("q line 2: qid:N expected behind the label, none found"));
}

TEST_F(ConvertFormatsTest, ReadsLibsvmIntoListsOfIdsAndValues) {
  SvmOptions options;
  options.sparse = true;
  options.qid = true;

  EXPECT_EQ(rows_of(open_libsvm({golden("rows.svm")}, options)),
            text_of(golden("svm_sparse.expected")));

  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "ids i32 [], lists");
  EXPECT_EQ(dataset->columns()[1].to_string(), "values f32 [], lists");
  EXPECT_EQ(dataset->manifest().label, "label");
  options.qid = false;
  options.zero_based = true;
  options.ids_type = ColumnType::kI64;
  EXPECT_EQ(rows_of(open_libsvm({write_text("z", "1 5000000000:2 0:3\n")}, options)),
            "row 0\n  ids: [0 5000000000]\n  values: [3 2]\n  label: 1\n");
}

TEST_F(ConvertFormatsTest, PutsIndicesInAnyOrderIntoRisingOrder) {
  SvmOptions options;
  options.width = 3;
  const std::string file = write_text("t", "1 3:9 1:7\n");
  EXPECT_EQ(rows_of(open_libsvm({file}, options)), "row 0\n  features: 7 0 9\n  label: 1\n");
  options.sparse = true;
  EXPECT_EQ(rows_of(open_libsvm({file}, options)),
            "row 0\n  ids: [0 2]\n  values: [7 9]\n  label: 1\n");
}

TEST_F(ConvertFormatsTest, NamesTheLineOfMalformedSparseLibsvm) {
  SvmOptions options;
  options.sparse = true;
  const auto refused = [&](const std::string& text) {
    return refusal(open_libsvm({write_text("t", text)}, options));
  };
  ASSERT_EQ(refused("1 2147483648:2\n1\n"), "ok");
  EXPECT_THAT(refused("1 2147483649:2\n"),
              HasSubstr("t line 1: index 2147483649 found, 1 to 2147483648 expected for ids of "
                        "type i32; --ids-type i64 holds more"));
  EXPECT_THAT(refused("1 0:1\n"), HasSubstr("index 0 found, 1 to 2147483648 expected for ids of "
                                            "type i32; indices from 0 need --zero-based"));
  EXPECT_THAT(refused("1 1:1\n1 1:1 1:2\n"), HasSubstr("t line 2: each index once expected"));
  EXPECT_THAT(refused("1 1:x\n"), HasSubstr("index 1: f32 (a finite number) expected, \"x\""));
  EXPECT_THAT(refused("1 1:\n"), HasSubstr("index 1: f32 (a finite number) expected, \"\""));
  EXPECT_THAT(refused("1 1\n"), HasSubstr("an index of 1 or more expected, \"1\" found"));
  EXPECT_THAT(refused("x 1:1\n"), HasSubstr("label: i32 (a whole number) expected, \"x\" found"));
  options.width = 3;
  EXPECT_THAT(refused("1 4:1\n"), HasSubstr("index 4 found, 1 to 3 expected by --width 3"));
  options.ids_type = ColumnType::kU8;
  EXPECT_THAT(refused("1 1:1\n"), HasSubstr("--ids-type u8: i32 or i64 expected for libsvm"));
  options.features_type = ColumnType::kI32;
  EXPECT_THAT(refused("1 1:1\n"), HasSubstr("--features-type i32: f32 or f16 expected for libsvm"));
}

TEST_F(ConvertFormatsTest, ReadsLibffmIntoListsInTheOrderOfTheLine) {
  EXPECT_EQ(rows_of(open_libffm({golden("rows.ffm")}, {})), text_of(golden("ffm.expected")));

  const auto dataset = Dataset::open(path("out")).value();
  EXPECT_EQ(dataset->columns()[0].to_string(), "fields i32 [], lists");
  EXPECT_EQ(dataset->columns()[1].to_string(), "ids i32 [], lists");
  EXPECT_EQ(dataset->columns()[2].to_string(), "values f32 [], lists");
  EXPECT_EQ(dataset->manifest().label, "label");
}

TEST_F(ConvertFormatsTest, NamesTheLineOfMalformedLibffm) {
  FfmOptions options;
  const auto refused = [&](const std::string& text) {
    return refusal(open_libffm({write_text("t", text)}, options));
  };
  ASSERT_EQ(refused("1 0:2147483647:1\n0\n"), "ok");
  for (const char* word : {"3", "3:1", "a:1:1", "1:a:1", ":1:1", "-1:1:1", "1:-1:1"}) {
    EXPECT_THAT(refused(std::string("1 0:0:1\n# no row\n0 ") + word + "\n"),
                HasSubstr(fmt::format("t line 3: field:feature:value, the first two whole numbers "
                                      "from 0, expected, \"{}\" found",
                                      word)));
  }
  EXPECT_THAT(refused("1 2:3:x\n"),
              HasSubstr("feature 3 of field 2: f32 (a finite number) expected, \"x\" found"));
  EXPECT_THAT(refused("1 2:3:1:4\n"), HasSubstr("\"1:4\" found"));
  EXPECT_THAT(refused("1 2:3:inf\n"), HasSubstr("feature 3 of field 2: f32"));
  EXPECT_THAT(refused("0.5 2:3:1\n"), HasSubstr("needs --label-type f32"));
  EXPECT_THAT(refused("1 2147483648:3:1\n"),
              HasSubstr("field 2147483648 found, 0 to 2147483647 expected for ids of type i32"));
  EXPECT_THAT(refused("1 1:2147483648:1\n"), HasSubstr("feature 2147483648 found, 0 to"));
  EXPECT_THAT(refused(std::string("1 0:2:1\0\n", 9)), HasSubstr("is it a libffm file?"));
  EXPECT_THAT(refused(""), HasSubstr("at least one line expected"));
  EXPECT_THAT(refused("# nothing\n"), HasSubstr("at least one row expected"));
  options.width = 3;
  EXPECT_THAT(refused("1 1:3:1\n"), HasSubstr("feature 3 found, 0 to 2 expected by --width 3"));
  options.ids_type = ColumnType::kF32;
  EXPECT_THAT(refused("1 1:1:1\n"), HasSubstr("--ids-type f32: i32 or i64 expected for libffm"));
}

TEST_F(ConvertFormatsTest, GivesTheSameRowsWhereverASourceIsCut) {
  std::string tsv;
  std::string bin;
  for (int i = 0; i < 500; ++i) {
    tsv += criteo_line(std::to_string(i % 2), std::to_string(i), "0a");
  }
  for (int i = 0; i < 50; ++i) bin += text_of(golden("criteo.bin"));
  std::string svm;
  std::string ffm;
  for (int i = 0; i < 3000; ++i) {
    svm += std::to_string(i % 2);
    ffm += std::to_string(i % 2);
    for (int k = 0; k < i % 7; ++k) {
      svm += fmt::format(" {}:{}", i + k + 1, k);
      ffm += fmt::format(" {}:{}:{}", k, i, i + k);
    }
    svm += '\n';
    ffm += '\n';
  }
  SvmOptions sparse;
  sparse.sparse = true;
  for (const Opened& format :
       {open_criteo_tsv({write_text("t", tsv)}, {}), open_criteo_bin({write_text("b", bin)}, {}),
        open_libsvm({write_text("s", svm)}, sparse), open_libffm({write_text("f", ffm)}, {})}) {
    ASSERT_TRUE(format.ok());
    const std::string whole = rows_of(format);
    for (const uint64_t chunk_bytes : {20'000u, 33'333u}) {
      ConvertOptions options;
      options.threads = 2;
      options.writer.overwrite = true;
      options.writer.block_bytes = 5000;
      options.writer.chunk_bytes = chunk_bytes;
      ASSERT_TRUE(convert(**format, path("cut"), options).ok());

      const auto cut = Dataset::open(path("cut")).value();
      EXPECT_GT(cut->manifest().chunks.size(), 1u);
      EXPECT_EQ(head_text(*cut, 5000, 100).value(), whole);
    }
  }
}

}  // namespace
}  // namespace ballast
