// SPDX-License-Identifier: MIT
#include "text/tiktoken.h"

#include <fmt/format.h>

#include <charconv>

namespace tern {
namespace {

int base64_digit(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Strict: padded, no other characters.
bool decode_base64(std::string_view text, std::string& out) {
  out.clear();
  if (text.empty() || text.size() % 4 != 0) return false;
  for (size_t i = 0; i < text.size(); i += 4) {
    uint32_t bits = 0;
    int padding = 0;
    for (size_t k = 0; k < 4; ++k) {
      const char c = text[i + k];
      const bool pad = c == '=' && i + 4 == text.size() && k >= 2;
      if (pad) ++padding;
      const int digit = pad ? 0 : base64_digit(c);
      if (digit < 0 || (padding > 0 && !pad)) return false;
      bits = bits << 6 | static_cast<uint32_t>(digit);
    }
    for (int k = 0; k < 3 - padding; ++k) out += static_cast<char>(bits >> (16 - 8 * k));
  }
  return true;
}

struct Line {
  std::string bytes;
  int64_t rank = -1;
};

bool parse_line(std::string_view text, Line& line) {
  const size_t space = text.find(' ');
  if (space == text.npos || !decode_base64(text.substr(0, space), line.bytes)) return false;
  const char* begin = text.data() + space + 1;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(begin, end, line.rank);
  return error == std::errc() && stop == end && line.rank >= 0;
}

std::string_view next_line(std::string_view& rest) {
  const size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest = end == rest.npos ? std::string_view() : rest.substr(end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

}  // namespace

bool looks_like_tiktoken(std::string_view file) {
  std::string_view rest = file.substr(0, 4096);
  Line line;
  return !file.empty() && parse_line(next_line(rest), line);
}

Result<TokenizerSpec> parse_tiktoken(std::string_view file, std::string_view pre) {
  TokenizerSpec spec;
  spec.source = "tiktoken ranks";
  spec.model = TokenizerModel::kByteBpe;
  spec.merge_rule = MergeRule::kById;
  auto recipe = pre_recipe(pre);
  if (!recipe) {
    return make_error(ErrorCode::kUnsupported, "pre-tokenizer \"{}\" is unknown; known are {}", pre,
                      known_pre_names());
  }
  spec.pre_tokenizer = std::move(recipe->steps);
  spec.pre_description = std::move(recipe->description);
  spec.ignore_merges = true;  // tiktoken takes a whole piece that has a rank, whatever its file's family

  Line line;
  size_t number = 0;
  for (std::string_view rest = file; !rest.empty();) {
    const std::string_view text = next_line(rest);
    ++number;
    if (text.empty()) continue;
    if (!parse_line(text, line)) {
      return make_error(ErrorCode::kCorrupt, "tiktoken ranks: line {}: expected base64, a space and a rank",
                        number);
    }
    // Ranks are token ids; the files in use list them in order without holes.
    if (line.rank != static_cast<int64_t>(spec.tokens.size())) {
      return make_error(ErrorCode::kCorrupt, "tiktoken ranks: line {}: rank {} where {} was expected", number,
                        line.rank, spec.tokens.size());
    }
    spec.tokens.push_back(line.bytes);
  }
  spec.types.assign(spec.tokens.size(), TokenType::kNormal);
  return spec;
}

Status add_special_tokens(TokenizerSpec& spec, const std::vector<std::pair<std::string, int32_t>>& tokens,
                          bool control) {
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  for (const auto& [text, id] : tokens) {
    // Holes are allowed (padded vocabularies have them) but not so large that a small file fills the memory.
    const int64_t limit = 2 * static_cast<int64_t>(spec.tokens.size() + tokens.size()) + 4096;
    if (id < 0 || id >= limit) {
      return make_error(ErrorCode::kCorrupt, "special token \"{}\": id {} with a vocabulary of {}",
                        text.substr(0, 80), id, spec.tokens.size());
    }
    const size_t at = static_cast<size_t>(id);
    if (at >= spec.tokens.size()) {
      spec.tokens.resize(at + 1);
      spec.types.resize(at + 1, TokenType::kUnused);
      if (!spec.scores.empty()) spec.scores.resize(at + 1, 0.0f);
    } else if (!spec.tokens[at].empty() && spec.tokens[at] != text) {
      return make_error(ErrorCode::kCorrupt, "special token \"{}\": id {} is already another token",
                        text.substr(0, 80), id);
    }
    spec.tokens[at] = text;
    const bool was_special = spec.types[at] == TokenType::kUnknown;
    if (!was_special) spec.types[at] = control ? TokenType::kControl : TokenType::kUserDefined;
  }
  return {};
}

Status add_llama3_special_tokens(TokenizerSpec& spec) {
  constexpr int32_t kFirst = 128000;
  if (spec.tokens.size() != kFirst) {
    return make_error(ErrorCode::kUnsupported,
                      "Llama 3's special tokens begin at {}, this vocabulary has {} ranks", kFirst,
                      spec.tokens.size());
  }
  std::vector<std::pair<std::string, int32_t>> tokens;
  int reserved = 0;
  for (int32_t i = 0; i < 256; ++i) {
    std::string text;
    switch (i) {
      case 0:
        text = "<|begin_of_text|>";
        break;
      case 1:
        text = "<|end_of_text|>";
        break;
      case 6:
        text = "<|start_header_id|>";
        break;
      case 7:
        text = "<|end_header_id|>";
        break;
      case 9:
        text = "<|eot_id|>";
        break;
      default:
        text = fmt::format("<|reserved_special_token_{}|>", reserved++);
    }
    tokens.emplace_back(std::move(text), kFirst + i);
  }
  TERN_TRY(add_special_tokens(spec, tokens, true));
  spec.bos = kFirst;
  spec.eos = kFirst + 1;
  spec.eot = kFirst + 9;
  spec.add_bos = true;
  return {};
}

}  // namespace tern
