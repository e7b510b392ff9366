// SPDX-License-Identifier: MIT
#include "text/tokenizer_json.h"

#include <string>
#include <unordered_map>

#include "text/byte_alphabet.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json_steps.h"

namespace tern {
namespace {

using namespace json;

using IdsByText = std::unordered_map<std::string_view, int32_t>;

// The token as bytes: byte-level vocabularies write bytes as characters, except in special tokens.
std::string token_text(std::string_view text, bool byte_level) {
  if (byte_level) {
    if (auto bytes = bytes_of_alphabet(text)) return std::move(*bytes);
  }
  return std::string(text);
}

Status add_token(TokenizerSpec& spec, size_t id, size_t count, std::string_view text, bool byte_level) {
  if (id >= 2 * count + 4096) {  // holes are legal, a vocabulary of mostly holes is not
    return make_error(ErrorCode::kCorrupt, "model.vocab: id {} in a vocabulary of {} tokens", id, count);
  }
  if (id >= spec.tokens.size()) {
    spec.tokens.resize(id + 1);
    spec.types.resize(id + 1, TokenType::kUnused);
  }
  if (spec.types[id] != TokenType::kUnused) {
    return make_error(ErrorCode::kCorrupt, "model.vocab: two tokens have id {}", id);
  }
  spec.tokens[id] = token_text(text, byte_level);
  spec.types[id] = TokenType::kNormal;
  return {};
}

Status refuse_prefixes(const Object& model) {
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    TERN_TRY_ASSIGN(const auto text, get_string(model, key, "model"));
    if (!text.empty())
      return make_error(ErrorCode::kUnsupported, "model.{}: \"{}\" is not supported", key, text);
  }
  double dropout = 0;
  if (const auto e = member(model, "dropout"); e && !e->get(dropout) && dropout != 0) {
    return make_error(ErrorCode::kUnsupported, "model.dropout: {} makes ids random", dropout);
  }
  return {};
}

// "a b", or ["a", "b"] since tokenizers 0.20.
Status read_merges(const Object& model, const IdsByText& ids, TokenizerSpec& spec) {
  const auto merges = member(model, "merges");
  if (!merges) return make_error(ErrorCode::kCorrupt, "model: no \"merges\"");
  TERN_TRY_ASSIGN(const Array list, as_array(*merges, "model.merges"));
  spec.merges.reserve(list.size());
  for (const Element item : list) {
    std::string_view parts[2], line;
    Array pair;
    if (!item.get(line)) {
      const size_t space = line.find(' ', 1);
      if (space == line.npos)
        return make_error(ErrorCode::kCorrupt, "model.merges[{}]: no space", spec.merges.size());
      parts[0] = line.substr(0, space);
      parts[1] = line.substr(space + 1);
    } else if (item.get(pair) || pair.size() != 2 || pair.at(0).get(parts[0]) || pair.at(1).get(parts[1])) {
      return make_error(ErrorCode::kCorrupt, "model.merges[{}]: expected \"a b\" or [\"a\", \"b\"]",
                        spec.merges.size());
    }
    const auto left = ids.find(parts[0]), right = ids.find(parts[1]);
    if (left == ids.end() || right == ids.end()) {
      return make_error(ErrorCode::kCorrupt, "model.merges[{}]: \"{}\" is not in the vocabulary",
                        spec.merges.size(), (left == ids.end() ? parts[0] : parts[1]).substr(0, 80));
    }
    spec.merges.emplace_back(left->second, right->second);
  }
  return {};
}

Status read_bpe(const Object& model, bool byte_level, TokenizerSpec& spec) {
  TERN_TRY(refuse_prefixes(model));
  spec.model = byte_level ? TokenizerModel::kByteBpe : TokenizerModel::kCharBpe;
  spec.merge_rule = MergeRule::kListed;
  TERN_TRY_ASSIGN(spec.ignore_merges, get_bool(model, "ignore_merges", false, "model"));
  TERN_TRY_ASSIGN(spec.byte_fallback, get_bool(model, "byte_fallback", false, "model"));
  TERN_TRY_ASSIGN(spec.fuse_unknown, get_bool(model, "fuse_unk", false, "model"));
  const auto vocab = member(model, "vocab");
  if (!vocab) return make_error(ErrorCode::kCorrupt, "model: no \"vocab\"");
  TERN_TRY_ASSIGN(const Object entries, as_object(*vocab, "model.vocab"));
  IdsByText ids;
  ids.reserve(entries.size());
  // DOM objects of more than 2^24 members report a capped size; count for ourselves.
  size_t count = 0;
  for (auto it = entries.begin(); it != entries.end(); ++it) ++count;
  for (const auto& [text, value] : entries) {
    TERN_TRY_ASSIGN(const int32_t id, as_id(value, fmt::format("model.vocab[\"{}\"]", text.substr(0, 80))));
    if (!ids.emplace(text, id).second) {
      return make_error(ErrorCode::kCorrupt, "model.vocab: \"{}\" twice", text.substr(0, 80));
    }
    TERN_TRY(add_token(spec, static_cast<size_t>(id), count, text, byte_level));
  }
  TERN_TRY(read_merges(model, ids, spec));
  TERN_TRY_ASSIGN(const auto unknown, get_string(model, "unk_token", "model"));
  if (const auto found = ids.find(unknown); found != ids.end()) spec.unk = found->second;
  return {};
}

Status read_unigram(const Object& model, bool byte_level, TokenizerSpec& spec) {
  if (byte_level)
    return make_error(ErrorCode::kUnsupported, "model: Unigram over ByteLevel text is not supported");
  spec.model = TokenizerModel::kUnigram;
  spec.exact_scores = true;
  TERN_TRY_ASSIGN(spec.byte_fallback, get_bool(model, "byte_fallback", false, "model"));
  const auto vocab = member(model, "vocab");
  if (!vocab) return make_error(ErrorCode::kCorrupt, "model: no \"vocab\"");
  TERN_TRY_ASSIGN(const Array entries, as_array(*vocab, "model.vocab"));
  for (const Element item : entries) {
    Array pair;
    std::string_view text;
    double score = 0;
    if (item.get(pair) || pair.size() != 2 || pair.at(0).get(text) || pair.at(1).get(score)) {
      return make_error(ErrorCode::kCorrupt, "model.vocab[{}]: expected [\"piece\", score]",
                        spec.tokens.size());
    }
    spec.tokens.emplace_back(text);
    spec.types.push_back(TokenType::kNormal);
    spec.scores.push_back(static_cast<float>(score));
  }
  if (const auto e = member(model, "unk_id")) {
    TERN_TRY_ASSIGN(const int32_t id, as_id(*e, "model.unk_id"));
    if (static_cast<size_t>(id) >= spec.tokens.size())
      return make_error(ErrorCode::kCorrupt, "model.unk_id: {} is out of range", id);
    spec.unk = id;
  }
  return {};
}

Status read_model(const Object& root, bool byte_level, TokenizerSpec& spec) {
  const auto element = member(root, "model");
  if (!element) return make_error(ErrorCode::kCorrupt, "no \"model\"");
  TERN_TRY_ASSIGN(const Object model, as_object(*element, "model"));
  TERN_TRY_ASSIGN(auto type, get_string(model, "type", "model"));
  if (type.empty() && member(model, "merges")) type = "BPE";  // files of before 2020 have no type
  if (type == "BPE") {
    TERN_TRY(read_bpe(model, byte_level, spec));
  } else if (type == "Unigram") {
    TERN_TRY(read_unigram(model, byte_level, spec));
  } else {
    return make_error(ErrorCode::kUnsupported, "model: type \"{}\" is not supported, BPE and Unigram are",
                      type);
  }
  if (spec.tokens.empty()) return make_error(ErrorCode::kCorrupt, "model.vocab is empty");
  if (spec.byte_fallback) {
    for (size_t id = 0; id < spec.tokens.size(); ++id) {
      const std::string& text = spec.tokens[id];
      if (text.size() == 6 && text.starts_with("<0x") && text.ends_with('>'))
        spec.types[id] = TokenType::kByte;
    }
  }
  if (spec.unk) spec.types[*spec.unk] = TokenType::kUnknown;
  return {};
}

Status read_added_tokens(const Object& root, TokenizerSpec& spec) {
  const auto element = member(root, "added_tokens");
  if (!element) return {};
  TERN_TRY_ASSIGN(const Array list, as_array(*element, "added_tokens"));
  std::vector<std::pair<std::string, int32_t>> control, user_defined;
  size_t i = 0;
  for (const Element item : list) {
    const std::string path = fmt::format("added_tokens[{}]", i++);
    TERN_TRY_ASSIGN(const Object token, as_object(item, path));
    const auto id = member(token, "id");
    TERN_TRY_ASSIGN(const auto content, get_string(token, "content", path));
    if (!id || content.empty())
      return make_error(ErrorCode::kCorrupt, "{}: no \"id\" or no \"content\"", path);
    AddedToken added;
    TERN_TRY_ASSIGN(added.id, as_id(*id, path + ".id"));
    TERN_TRY_ASSIGN(added.lstrip, get_bool(token, "lstrip", false, path));
    TERN_TRY_ASSIGN(added.rstrip, get_bool(token, "rstrip", false, path));
    TERN_TRY_ASSIGN(added.single_word, get_bool(token, "single_word", false, path));
    TERN_TRY_ASSIGN(const bool special, get_bool(token, "special", false, path));
    TERN_TRY_ASSIGN(added.normalized, get_bool(token, "normalized", !special, path));
    // In the vocabulary of a byte-level model the same text was taken for bytes; an added token is plain
    // text.
    if (static_cast<size_t>(added.id) < spec.tokens.size() &&
        spec.tokens[added.id] == token_text(content, spec.model == TokenizerModel::kByteBpe)) {
      spec.tokens[added.id] = content;
    }
    spec.added.push_back(added);
    (special ? control : user_defined).emplace_back(content, added.id);
  }
  TERN_TRY(add_special_tokens(spec, user_defined, false));
  return add_special_tokens(spec, control, true);
}

// tokenizer.json does not say which special token is which; the names in use do.
void guess_special_ids(TokenizerSpec& spec) {
  const auto find = [&](std::initializer_list<std::string_view> texts) -> std::optional<int32_t> {
    for (const std::string_view text : texts) {
      for (size_t id = 0; id < spec.tokens.size(); ++id) {
        if (spec.types[id] == TokenType::kControl && spec.tokens[id] == text) return static_cast<int32_t>(id);
      }
    }
    return std::nullopt;
  };
  spec.bos =
      spec.prefix.size() == 1 ? std::optional(spec.prefix[0]) : find({"<s>", "<|begin_of_text|>", "<bos>"});
  spec.eos = spec.suffix.size() == 1
                 ? std::optional(spec.suffix[0])
                 : find({"</s>", "<|end_of_text|>", "<|endoftext|>", "<eos>", "<|im_end|>"});
}

Status read_all(std::string_view json, TokenizerSpec& spec) {
  simdjson::dom::parser parser;
  TERN_TRY_ASSIGN(const Element document, parse(parser, json, "document"));
  TERN_TRY_ASSIGN(const Object root, as_object(document, "document"));
  bool pre_bytes = false, decoder_bytes = false;
  if (const auto e = member(root, "normalizer")) TERN_TRY(read_normalizer(*e, spec));
  if (const auto e = member(root, "pre_tokenizer")) TERN_TRY(read_pre_tokenizer(*e, spec, pre_bytes));
  const auto decoder = member(root, "decoder");
  if (decoder) TERN_TRY(read_decoder(*decoder, spec, decoder_bytes));
  if (decoder && pre_bytes != decoder_bytes) {
    return make_error(ErrorCode::kUnsupported, "pre_tokenizer and decoder disagree about ByteLevel");
  }
  if (!decoder) spec.doubts.push_back("tokenizer.json has no decoder: tokens are joined as they are");
  TERN_TRY(read_model(root, pre_bytes, spec));
  TERN_TRY(read_added_tokens(root, spec));
  if (const auto e = member(root, "post_processor")) TERN_TRY(read_post_processor(*e, spec));
  guess_special_ids(spec);
  return {};
}

}  // namespace

Result<TokenizerSpec> parse_tokenizer_json(std::string_view json, UnicodeVersion unicode) {
  TokenizerSpec spec;
  spec.source = "tokenizer.json";
  spec.unicode = unicode;
  if (auto status = read_all(json, spec); !status.ok()) return std::move(status).error().in(spec.source);
  return spec;
}

}  // namespace tern
