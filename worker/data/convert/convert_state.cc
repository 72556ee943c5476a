#include "worker/data/convert/convert_state.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "common/base/hash.h"
#include "worker/data/file.h"

namespace ballast {

namespace {

constexpr std::string_view kHeadLine = "ballast convert 1";  // another number: another meaning

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n' || c == '\\') out += '\\';
    out += c == '\n' ? 'n' : c;
  }
  return out;
}

std::string unescaped(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
    } else {
      ++i;
      out += text[i] == 'n' ? '\n' : text[i];
    }
  }
  return out;
}

std::string to_hex(std::span<const std::byte> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (const std::byte byte : bytes) {
    text += kDigits[static_cast<unsigned>(byte) >> 4];
    text += kDigits[static_cast<unsigned>(byte) & 15];
  }
  return text;
}

template <typename Number>
bool parse(std::string_view text, Number& number, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  return error == std::errc() && end == text.data() + text.size();
}

bool from_hex(std::string_view text, std::vector<std::byte>& bytes) {
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    uint8_t byte = 0;
    if (!parse(text.substr(i, 2), byte, 16)) return false;
    bytes.push_back(static_cast<std::byte>(byte));
  }
  return text.size() % 2 == 0;
}

std::string_view take_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

std::string with_hash(const std::string& payload) {
  return hex64(xxh3(std::string_view(payload))) + " " + payload + "\n";
}

std::string source_line(const ConvertIdentity::Source& source) {
  return fmt::format("source {} {} {}", source.bytes, source.changed_ns, escaped(source.path));
}

std::string piece_line(uint64_t piece, const Manifest& part) {
  return fmt::format("piece {} {}", piece, part.chunks.empty() ? "" : to_hex(encode(part)));
}

std::string append_line(uint64_t chunks_before) {
  return fmt::format("append {}", chunks_before);
}

bool take_source(std::string_view rest, ConvertRecord& record) {
  ConvertIdentity::Source source;
  if (!parse(take_word(rest), source.bytes) || !parse(take_word(rest), source.changed_ns)) {
    return false;
  }
  source.path = unescaped(rest);
  record.identity.sources.push_back(std::move(source));
  return true;
}

bool take_piece(std::string_view rest, ConvertRecord& record) {
  uint64_t piece = 0;
  std::vector<std::byte> bytes;
  if (!parse(take_word(rest), piece) || !from_hex(rest, bytes)) return false;
  Manifest part;
  if (!bytes.empty()) {
    auto decoded = decode_manifest(bytes, kConvertStateName);
    if (!decoded.ok()) return false;
    part = std::move(*decoded);
  }
  record.pieces[piece] = std::move(part);
  return true;
}

// One line without its hash. False: it is none of ours, and so is what follows.
bool take_line(std::string_view rest, ConvertRecord& record) {
  const std::string_view kind = take_word(rest);
  if (kind == "settings") {
    record.identity.settings = unescaped(rest);
    return true;
  }
  if (kind == "source") return take_source(rest, record);
  if (kind == "piece") return take_piece(rest, record);
  if (kind == "append") return parse(rest, record.appends_at.emplace());
  uint64_t chunk = 0;
  if (kind != "chunk" || !parse(rest, chunk, 16)) return false;
  record.chunks.insert(chunk);
  return true;
}

std::string text_of(const ConvertRecord& record) {
  std::string text = with_hash(std::string(kHeadLine));
  text += with_hash("settings " + escaped(record.identity.settings));
  for (const auto& source : record.identity.sources) text += with_hash(source_line(source));
  for (const uint64_t chunk : record.chunks) text += with_hash("chunk " + hex64(chunk));
  for (const auto& [piece, part] : record.pieces) text += with_hash(piece_line(piece, part));
  if (record.appends_at) text += with_hash(append_line(*record.appends_at));
  return text;
}

}  // namespace

Result<ConvertIdentity> ConvertIdentity::of(std::string settings,
                                            const std::vector<std::string>& files) {
  ConvertIdentity identity{std::move(settings), {}};
  for (const std::string& path : files) {
    struct stat about {};
    if (::stat(path.c_str(), &about) < 0) {
      return Status(Code::kNotFound, "open " + path + ": " + std::strerror(errno));
    }
    identity.sources.push_back({path, static_cast<uint64_t>(about.st_size),
                                about.st_mtim.tv_sec * 1'000'000'000 + about.st_mtim.tv_nsec});
  }
  return identity;
}

std::string ConvertIdentity::difference(const ConvertIdentity& before) const {
  if (settings != before.settings) return "the options are others";
  if (sources.size() != before.sources.size()) return "the sources are others";
  for (size_t i = 0; i < sources.size(); ++i) {
    if (sources[i].path != before.sources[i].path) return "the sources are others";
    if (sources[i] != before.sources[i]) return sources[i].path + " has changed";
  }
  return {};
}

std::optional<ConvertRecord> ConvertRecord::read(const std::string& folder) {
  std::ifstream file(folder + "/" + kConvertStateName, std::ios::binary);
  if (!file) return std::nullopt;
  ConvertRecord record;
  bool head_seen = false;
  for (std::string line; std::getline(file, line);) {
    std::string_view rest = line;
    const std::string_view hash = take_word(rest);
    if (file.eof() || hash != hex64(xxh3(rest))) break;  // a kill cut it short
    if (!head_seen && rest != kHeadLine) return std::nullopt;
    if (std::exchange(head_seen, true) && !take_line(rest, record)) break;
  }
  if (!head_seen) return std::nullopt;
  return record;
}

Result<ConvertState> ConvertState::start(const std::string& folder, const ConvertRecord& record) {
  const std::string text = text_of(record);
  BALLAST_RETURN_IF_ERROR(replace_file(folder, kConvertStateName, std::as_bytes(std::span(text))));
  const std::string path = folder + "/" + kConvertStateName;
  const int descriptor = ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
  if (descriptor < 0) {
    return Status(Code::kUnavailable, "open " + path + ": " + std::strerror(errno));
  }
  return ConvertState(path, descriptor);
}

ConvertState::ConvertState(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

ConvertState::~ConvertState() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

ConvertState::ConvertState(ConvertState&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

Status ConvertState::add_chunk(uint64_t footer_xxh3) {
  return add_line("chunk " + hex64(footer_xxh3));
}

Status ConvertState::add_piece(uint64_t piece, const Manifest& part) {
  return add_line(piece_line(piece, part));
}

Status ConvertState::add_append(uint64_t chunks_before) {
  return add_line(append_line(chunks_before));
}

Status ConvertState::add_line(const std::string& payload) {
  const std::string line = with_hash(payload);
  if (!write_fully(descriptor_, std::as_bytes(std::span(line)))) {
    return Status(errno == ENOSPC || errno == EFBIG || errno == EDQUOT ? Code::kExhausted
                                                                       : Code::kUnavailable,
                  "write " + path_ + ": " + std::strerror(errno));
  }
  if (::fdatasync(descriptor_) == 0 || errno == EINVAL) return {};
  return Status(Code::kUnavailable, "fsync " + path_ + ": " + std::strerror(errno));
}

void remove_convert_state(const std::string& folder) {
  std::error_code ignored;
  std::filesystem::remove(folder + "/" + kConvertStateName, ignored);
}

}  // namespace ballast
