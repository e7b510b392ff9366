// SPDX-License-Identifier: MIT
#include "train/tokenizer_writer.h"

#include <unordered_set>
#include <vector>

#include "core/printable.h"
#include "text/byte_alphabet.h"
#include "text/utf8.h"

namespace tern::train {
namespace {

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<uint8_t>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  out += '"';
}

// Both are byte-level; llama-bpe cuts by its own expression first.
constexpr std::string_view kGpt2Json =
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true})";
constexpr std::string_view kLlamaJson =
    R"({"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": )"
    R"("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|)"
    R"(\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": false}, )"
    R"({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";

bool is_added(const TokenizerSpec& spec, size_t id) {
  return !spec.types.empty() &&
         (spec.types[id] == TokenType::kControl || spec.types[id] == TokenType::kUserDefined);
}

void append_added_tokens(std::string& out, const TokenizerSpec& spec) {
  out += "  \"added_tokens\": [";
  const char* separator = "\n";
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!is_added(spec, id)) continue;
    out += fmt::format("{}    {{\"id\": {}, \"content\": ", separator, id);
    append_json_string(out, spec.tokens[id]);
    out += fmt::format(
        ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": "
        "{}}}",
        spec.types[id] == TokenType::kControl);
    separator = ",\n";
  }
  out += "\n  ],\n";
}

// Every token as the file spells it. Errors: kCorrupt, a text twice.
Result<std::vector<std::string>> texts_of(const TokenizerSpec& spec) {
  std::vector<std::string> texts;
  std::unordered_set<std::string> seen;
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    texts.push_back(is_added(spec, id) ? spec.tokens[id] : alphabet_of_bytes(spec.tokens[id]));
    if (!is_utf8(texts.back()) || !seen.insert(texts.back()).second) {
      return make_error(ErrorCode::kCorrupt, "tokenizer: token {} ('{}') is not text, or stands there twice",
                        id, printable(texts.back()));
    }
  }
  return texts;
}

}  // namespace

Result<std::string> write_tokenizer_json(const TokenizerSpec& spec, std::string_view pre) {
  if (spec.model != TokenizerModel::kByteBpe || spec.merge_rule != MergeRule::kListed ||
      !spec.normalizer.empty()) {
    return make_error(ErrorCode::kUnsupported,
                      "tokenizer: only byte-level BPE with listed merges can be written");
  }
  if (pre != "gpt-2" && pre != "llama-bpe") {
    return make_error(ErrorCode::kUnsupported,
                      "tokenizer: pre-tokenizer '{}' cannot be written, gpt-2 and llama-bpe can",
                      printable(pre));
  }
  TERN_TRY_ASSIGN(const std::vector<std::string> texts, texts_of(spec));
  std::string out = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  append_added_tokens(out, spec);
  out += fmt::format("  \"normalizer\": null,\n  \"pre_tokenizer\": {},\n",
                     pre == "llama-bpe" ? kLlamaJson : kGpt2Json);
  out += fmt::format("  \"post_processor\": null,\n  \"decoder\": {},\n", kGpt2Json);
  out += fmt::format(
      "  \"model\": {{\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
      "false,\n"
      "    \"byte_fallback\": false,\n    \"ignore_merges\": {},\n    \"vocab\": {{",
      spec.ignore_merges);
  for (size_t id = 0; id < texts.size(); ++id) {
    out += id == 0 ? "\n      " : ",\n      ";
    append_json_string(out, texts[id]);
    out += fmt::format(": {}", id);
  }
  out += "\n    },\n    \"merges\": [";
  for (size_t i = 0; i < spec.merges.size(); ++i) {
    out += i == 0 ? "\n      " : ",\n      ";
    append_json_string(out, fmt::format("{} {}", texts[static_cast<size_t>(spec.merges[i].first)],
                                        texts[static_cast<size_t>(spec.merges[i].second)]));
  }
  out += "\n    ]\n  }\n}\n";
  return out;
}

}  // namespace tern::train
