// SPDX-License-Identifier: MIT
#include "formats/ternary/tl_config.h"

#include <charconv>
#include <cstring>
#include <map>

#include "core/mapped_file.h"
#include "core/printable.h"

namespace tern {
namespace {

struct KnownShape {
  uint64_t rows, cols;
  TlTile tl1, tl2;
};

struct KnownModel {
  std::string_view name;
  std::vector<KnownShape> shapes;
};

/// The Llama3 model twice: the tables that its set-up script passes and the shipped preset disagree in TL1's
/// blocks.
const std::vector<KnownModel>& known_models() {
  static const std::vector<KnownModel> models = {
      {"bitnet_b1_58-large",
       {{1536, 4096, {256, 128, 32}, {256, 96, 32}},
        {1536, 1536, {128, 64, 64}, {128, 192, 32}},
        {4096, 1536, {256, 128, 32}, {256, 96, 32}}}},
      {"bitnet_b1_58-3B",
       {{3200, 8640, {160, 64, 32}, {160, 96, 32}},
        {3200, 3200, {320, 128, 64}, {320, 96, 32}},
        {8640, 3200, {320, 64, 32}, {320, 96, 32}}}},
      {"Llama3-8B-1.58-100B-tokens",
       {{14336, 4096, {256, 128, 32}, {256, 96, 32}},
        {4096, 14336, {256, 128, 64}, {128, 96, 32}},
        {1024, 4096, {128, 64, 32}, {256, 96, 32}},
        {4096, 4096, {128, 64, 64}, {128, 96, 32}}}},
      {"Llama3-8B-1.58-100B-tokens-preset",
       {{14336, 4096, {256, 128, 64}, {256, 96, 32}},
        {4096, 14336, {256, 128, 32}, {128, 96, 32}},
        {1024, 4096, {128, 64, 64}, {256, 96, 32}},
        {4096, 4096, {128, 64, 32}, {128, 96, 32}}}},
  };
  return models;
}

constexpr uint64_t kMaxFileBytes = 1 << 20;
constexpr size_t kMaxShapes = 4096;

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

/// The five keys of a section, by their place in `values`; -1 for any other.
int key_index(std::string_view key) {
  constexpr std::string_view kKeys[] = {"m", "k", "bm", "bk", "bmm"};
  for (int i = 0; i < 5; ++i) {
    // configparser, which writes these files, does not tell upper from lower case.
    if (key.size() == kKeys[i].size() &&
        std::equal(key.begin(), key.end(), kKeys[i].begin(), [](char a, char b) { return (a | 0x20) == b; }))
      return i;
  }
  return -1;
}

/// One [section] of the file.
struct Section {
  size_t line = 0;
  uint64_t values[5] = {};
  bool is_given[5] = {};
};

Result<uint64_t> parse_size(std::string_view text, size_t line) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value == 0 || value > (1u << 30)) {
    return make_error(ErrorCode::kCorrupt, "line {}: expected a size of 1 to 2^30, found '{}'", line,
                      printable(text.substr(0, 40)));
  }
  return value;
}

Status parse_line(std::string_view text, size_t line, std::vector<Section>& sections) {
  if (text.empty() || text[0] == ';' || text[0] == '#') return {};
  if (text[0] == '[') {
    if (text.back() != ']' || sections.size() >= kMaxShapes) {
      return make_error(ErrorCode::kCorrupt, "line {}: expected '[name]', at most {} of them, found '{}'",
                        line, kMaxShapes, printable(text.substr(0, 40)));
    }
    sections.push_back({.line = line, .values = {}, .is_given = {}});
    return {};
  }
  const size_t equals = text.find_first_of("=:");
  if (equals == std::string_view::npos || sections.empty()) {
    return make_error(ErrorCode::kCorrupt, "line {}: expected '[name]' and then 'key = value', found '{}'",
                      line, printable(text.substr(0, 40)));
  }
  const int key = key_index(trimmed(text.substr(0, equals)));
  if (key < 0) return {};
  Section& section = sections.back();
  if (section.is_given[key]) return make_error(ErrorCode::kCorrupt, "line {}: the key appears twice", line);
  TERN_TRY_ASSIGN(section.values[key], parse_size(trimmed(text.substr(equals + 1)), line));
  section.is_given[key] = true;
  return {};
}

}  // namespace

std::string TlConfig::known_names() {
  std::string names;
  for (const KnownModel& model : known_models()) {
    names += names.empty() ? "" : ", ";
    names += model.name;
  }
  return names;
}

Result<TlConfig> TlConfig::load(const std::string& name_or_path) {
  for (const KnownModel& model : known_models()) {
    if (model.name != name_or_path) continue;
    TlConfig config;
    config.name_ = name_or_path;
    for (const KnownShape& shape : model.shapes)
      config.shapes_.push_back({shape.rows, shape.cols, shape.tl1, shape.tl2});
    return config;
  }
  auto file = MappedFile::open(name_or_path);
  if (!file.ok()) {
    return make_error(ErrorCode::kNotFound,
                      "'{}' is neither a model whose TL tiles are known ({}) nor a file that can be read",
                      printable(name_or_path, 512), known_names());
  }
  const auto bytes = (*file)->bytes();
  if (bytes.size() > kMaxFileBytes) {
    return make_error(ErrorCode::kCorrupt, "{}: {} bytes are too many for a kernel_config.ini (at most {})",
                      printable(name_or_path, 512), bytes.size(), kMaxFileBytes);
  }
  auto config = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  if (!config.ok()) return std::move(config).error().in(printable(name_or_path, 512));
  config->name_ = printable(name_or_path, 512);
  return config;
}

Result<TlConfig> TlConfig::parse(std::string_view text) {
  std::vector<Section> sections;
  size_t line = 0;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    TERN_TRY(parse_line(trimmed(text.substr(0, end)), ++line, sections));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  TlConfig config;
  config.name_ = "the configuration";
  std::map<std::pair<uint64_t, uint64_t>, size_t> seen;
  for (const Section& s : sections) {
    for (const bool is_given : s.is_given) {
      if (!is_given) {
        return make_error(ErrorCode::kCorrupt, "the section of line {} lacks one of m, k, bm, bk, bmm",
                          s.line);
      }
    }
    const auto [at, is_new] = seen.emplace(std::pair(s.values[0], s.values[1]), s.line);
    if (!is_new) {
      return make_error(ErrorCode::kCorrupt, "the sections of lines {} and {} are both for {} x {}",
                        at->second, s.line, s.values[0], s.values[1]);
    }
    const TlTile tile{static_cast<uint32_t>(s.values[2]), static_cast<uint32_t>(s.values[3]),
                      static_cast<uint32_t>(s.values[4])};
    config.shapes_.push_back({s.values[0], s.values[1], tile, tile});
  }
  if (config.shapes_.empty())
    return make_error(ErrorCode::kCorrupt, "no section: expected [Kernels_0] and so on");
  return config;
}

Result<TlTile> TlConfig::tile(DType dtype, uint64_t rows, uint64_t cols) const {
  std::string shapes;
  for (const Shape& shape : shapes_) {
    if (shape.rows == rows && shape.cols == cols) return dtype == DType::kTL1 ? shape.tl1 : shape.tl2;
    if (shapes.size() < 200)
      shapes += fmt::format("{}{} x {}", shapes.empty() ? "" : ", ", shape.rows, shape.cols);
  }
  return make_error(ErrorCode::kUnsupported, "{} has no {} tiles for {} x {}, only for {}", name_,
                    dtype_name(dtype), rows, cols, shapes);
}

}  // namespace tern
