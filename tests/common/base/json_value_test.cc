#include "common/base/json_value.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/base/json_writer.h"
#include "common/base/random.h"

namespace ballast {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;
using Kind = JsonValue::Kind;

std::string refused(std::string_view text) {
  const Status status = JsonValue::parse(text).status();
  EXPECT_EQ(status.code(), Code::kInvalidInput) << text;
  return status.to_string();
}

TEST(JsonValue, ReadsEveryKindAndWhereItBegins) {
  const auto whole = JsonValue::parse(
      " {\"a\" : [1, -2.5e+3, 0] ,\n\t\"b\": {\"c\": null, \"d\": true}, \"e\": false, \"f\": "
      "[]}\r\n");

  ASSERT_TRUE(whole.ok()) << whole.status().to_string();
  EXPECT_EQ(whole->kind, Kind::kObject);
  EXPECT_EQ(whole->at, 1u);
  ASSERT_THAT(whole->members, SizeIs(4));
  EXPECT_EQ(whole->members[1].first, "b");
  const JsonValue& list = *whole->find("a");
  ASSERT_THAT(list.items, SizeIs(3));
  EXPECT_EQ(list.at, 8u);
  EXPECT_EQ(list.items[1].at, 12u);
  EXPECT_EQ(list.items[1].kind, Kind::kNumber);
  EXPECT_EQ(list.items[1].text, "-2.5e+3");
  EXPECT_EQ(whole->find("b")->find("c")->kind, Kind::kNull);
  EXPECT_EQ(whole->find("b")->find("d")->text, "true");
  EXPECT_EQ(whole->find("e")->kind, Kind::kBool);
  EXPECT_EQ(whole->find("f")->kind, Kind::kArray);
  EXPECT_EQ(whole->find("z"), nullptr);
  EXPECT_EQ(list.find("a"), nullptr);
}

TEST(JsonValue, KnowsWholeNumbersBelowTwoToThe64) {
  const auto whole = [](std::string_view text) { return JsonValue::parse(text)->whole_number(); };

  EXPECT_EQ(whole("0"), 0u);
  EXPECT_EQ(whole("18446744073709551615"), ~uint64_t{0});
  EXPECT_EQ(whole("18446744073709551616"), std::nullopt);
  EXPECT_EQ(whole("-1"), std::nullopt);
  EXPECT_EQ(whole("1.0"), std::nullopt);
  EXPECT_EQ(whole("1e3"), std::nullopt);
  EXPECT_EQ(whole("\"1\""), std::nullopt);
}

TEST(JsonValue, ResolvesEscapesToUtf8) {
  const auto text = [](std::string_view json) { return JsonValue::parse(json)->text; };

  EXPECT_EQ(text(R"("\"\\\/\b\f\n\r\t")"), "\"\\/\b\f\n\r\t");
  EXPECT_EQ(text(R"("\u0041\u00e4\u20AC")"), "A\xc3\xa4\xe2\x82\xac");
  EXPECT_EQ(text(R"("\ud83d\uDE00")"), "\xf0\x9f\x98\x80");
  EXPECT_EQ(text(R"("\u0000")"), std::string(1, '\0'));
  EXPECT_EQ(text("\"\xc3\xa4\""), "\xc3\xa4");
}

TEST(JsonValue, RefusesEscapesThatMeanNothing) {
  EXPECT_EQ(refused(R"("\q")"), R"(at character 2: expected an escape, found "q\"")");
  EXPECT_EQ(refused(R"("\)"), "at character 2: expected an escape, found the end");
  EXPECT_THAT(refused(R"("\u12g4")"), HasSubstr("at character 3: expected four hex digits"));
  EXPECT_THAT(refused(R"("\u+123")"), HasSubstr("at character 3: expected four hex digits"));
  EXPECT_THAT(refused(R"("\u12)"), HasSubstr("at character 3: expected four hex digits"));
  EXPECT_THAT(refused(R"("\ud800")"), HasSubstr("expected the second half of a pair"));
  EXPECT_THAT(refused(R"("\ud800\n")"), HasSubstr("expected an escape"));
  EXPECT_THAT(refused(R"("\ud800\u0041")"), HasSubstr("expected the second half of a pair"));
  EXPECT_THAT(refused(R"("\udc00")"), HasSubstr("expected the first half of the pair before"));
}

TEST(JsonValue, RefusesAKeyTwice) {
  EXPECT_EQ(refused(R"({"a": 1, "\u0061": 2})"),
            R"(at character 9: expected key "a" only once, found "\"\\u0061\": 2}")");
  EXPECT_TRUE(JsonValue::parse(R"([{"a": 1}, {"a": {"a": 2}}])").ok());
}

TEST(JsonValue, RefusesNumbersThatJsonDoesNotKnow) {
  for (const char* number : {"-", "1.", ".5", "1e", "1e+", "+1", "-x"}) {
    EXPECT_THAT(refused(number), HasSubstr("expected a")) << number;
  }
  EXPECT_THAT(refused("[01]"), HasSubstr("at character 2: expected ',' or ']'"));
  EXPECT_THAT(refused("NaN"), HasSubstr("at character 0: expected a value"));
}

TEST(JsonValue, NamesTheCharacterWhatBelongsThereAndWhatStands) {
  EXPECT_EQ(refused(""), "at character 0: expected a value, found the end");
  EXPECT_EQ(refused("{"), "at character 1: expected '\"', found the end");
  EXPECT_EQ(refused("{\"a\" 1}"), "at character 5: expected ':', found \"1}\"");
  EXPECT_EQ(refused("{\"a\":1 \"b\""), R"(at character 7: expected ',' or '}', found "\"b\"")");
  EXPECT_EQ(refused("[1 2]"), "at character 3: expected ',' or ']', found \"2]\"");
  EXPECT_EQ(refused("[1,]"), "at character 3: expected a value, found \"]\"");
  EXPECT_EQ(refused("tru"), "at character 0: expected a value, found \"tru\"");
  EXPECT_EQ(refused("\"abc"), "at character 4: expected '\"', found the end");
  EXPECT_EQ(refused("\"a\nb\""),
            R"(at character 2: expected no control character, found "\x0ab\"")");
  EXPECT_EQ(refused("1 \xff"), R"(at character 2: expected the end of the text, found "\xff")");
}

TEST(JsonValue, RefusesMoreThan64Levels) {
  const std::string deep = std::string(64, '[') + std::string(64, ']');

  EXPECT_TRUE(JsonValue::parse(deep).ok());
  EXPECT_THAT(refused("[" + deep + "]"), HasSubstr("at character 64: expected no more than 64"));
  EXPECT_THAT(refused(std::string(1 << 20, '[')), HasSubstr("no more than 64 levels"));
}

TEST(JsonValue, ReadsWhatJsonWriterWrites) {
  const std::string odd = "\"\\/\n\t\x01 \xc3\xa4";
  JsonWriter json;
  json.open().key(odd).value(odd).key("list").open_list().value(1.5).close_list().close();

  const auto whole = JsonValue::parse(json.text());

  ASSERT_TRUE(whole.ok()) << whole.status().to_string();
  EXPECT_TRUE(whole->find(odd)->is_string(odd));
  EXPECT_EQ(whole->find("list")->items[0].text, "1.5");
}

TEST(JsonValue, DamagedTextsNeverCrash) {
  const std::string text = R"({"a\u00e4\n":[1,-2.5e3,true,null],"b":{"\ud83d\ude00":"x"}})";
  Random random(31);

  for (int round = 0; round < 20000; ++round) {
    std::string damaged = text;
    for (uint64_t edits = 1 + random.below(3); edits > 0; --edits) {
      damaged[random.below(damaged.size())] = static_cast<char>(random.below(256));
    }
    if (random.chance(0.2)) damaged.resize(random.below(damaged.size()));
    (void)JsonValue::parse(damaged);
  }
}

}  // namespace
}  // namespace ballast
