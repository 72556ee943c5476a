// ConvertFormatsTest: opens a format, converts it, and gives the rows as text or the refusal.
#pragma once

#include <gmock/gmock.h>
#include <zlib.h>

#include <string>

#include "tests/worker/data/data_fixture.h"
#include "worker/data/convert/convert.h"
#include "worker/data/convert/criteo.h"
#include "worker/data/convert/npy.h"
#include "worker/data/convert/svm.h"
#include "worker/data/dataset.h"
#include "worker/data/examine.h"

namespace ballast {

class ConvertFormatsTest : public DataFixture {
 protected:
  static std::string golden(const std::string& name) {
    return BALLAST_TEST_DATA "/convert/" + name;
  }
  static std::string text_of(const std::string& path) {
    const std::vector<std::byte> bytes = read_file(path);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  using Opened = Result<std::unique_ptr<Format>>;

  Status status_of(const Opened& format) {
    if (!format.ok()) return format.status();
    ConvertOptions options;
    options.threads = 2;
    options.writer.overwrite = true;
    return convert(**format, path("out"), options).status();
  }
  std::string refusal(const Opened& format) { return status_of(format).to_string(); }
  // The rows as text; every byte of the data set verified.
  std::string rows_of(const Opened& format) {
    if (Status status = status_of(format); !status.ok()) return status.to_string();
    EXPECT_THAT(verify_dataset(path("out")), testing::IsEmpty());
    return head_text(*Dataset::open(path("out")).value(), 5000, 100).value();
  }
  std::string refused_tsv(const std::string& text, const CriteoOptions& options = {}) {
    return refusal(open_criteo_tsv({write_text("t", text)}, options));
  }
  std::string refused_svm(const std::string& text, uint32_t width = 3) {
    SvmOptions options;
    options.width = width;
    return refusal(open_libsvm({write_text("t", text)}, options));
  }
  std::string refused_npy(const std::string& bytes) {
    return refusal(open_npy({{{"x", write_text("x.npy", bytes)}}, ""}));
  }

  std::string write_gzip(const std::string& name, const std::string& text) const {
    gzFile file = gzopen(path(name).c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    return path(name);
  }

  // Criteo fields: label, 13 x `dense`, 26 x `category`.
  static std::string criteo_line(const std::string& label, const std::string& dense,
                                 const std::string& category) {
    std::string line = label;
    for (int i = 0; i < 13; ++i) line += "\t" + dense;
    for (int i = 0; i < 26; ++i) line += "\t" + category;
    return line + "\n";
  }
  static std::string npy(const std::string& header, const std::string& data = "") {
    const auto bytes = static_cast<char>(header.size());
    return std::string("\x93NUMPY\x01\x00", 8) + bytes + std::string(1, '\0') + header + data;
  }
};

}  // namespace ballast
