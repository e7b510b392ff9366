// SPDX-License-Identifier: MIT
#include "engine/gguf_tokenizer.h"

#include <bit>
#include <string_view>
#include <unordered_map>

#include "text/byte_alphabet.h"

namespace tern {
namespace {

constexpr std::string_view kPrefix = "tokenizer.ggml.";

std::string key(std::string_view name) { return std::string(kPrefix) + std::string(name); }

// Element i of a numeric array of 4-byte elements.
uint32_t load_u32(const GgufArray& array, size_t i) {
  uint32_t v = 0;
  for (size_t k = 0; k < 4; ++k) v |= std::to_integer<uint32_t>(array.bytes[4 * i + k]) << (8 * k);
  return v;
}

Result<const GgufArray*> array_of(const GgufFile& file, std::string_view name,
                                  std::initializer_list<GgufType> types, const char* expected) {
  TERN_TRY_ASSIGN(const GgufArray* array, file.get_array(key(name)));
  if (array == nullptr) return array;
  for (const GgufType type : types) {
    if (array->element_type == type) return array;
  }
  return make_error(ErrorCode::kCorrupt, "{}: array of {} expected", key(name), expected);
}

Status read_types(const GgufFile& file, TokenizerSpec& spec) {
  TERN_TRY_ASSIGN(const GgufArray* types,
                  array_of(file, "token_type", {GgufType::kI32, GgufType::kU32}, "i32"));
  if (types == nullptr) {
    spec.types.assign(spec.tokens.size(), TokenType::kNormal);
    spec.doubts.push_back("tokenizer.ggml.token_type is missing: no token is special");
    return {};
  }
  if (types->count != spec.tokens.size()) {
    return make_error(ErrorCode::kCorrupt, "{}: {} entries for {} tokens", key("token_type"), types->count,
                      spec.tokens.size());
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    const uint32_t type = load_u32(*types, id);
    if (type > 6) {
      return make_error(ErrorCode::kCorrupt, "{}[{}]: type {}, 1 to 6 expected", key("token_type"), id, type);
    }
    spec.types.push_back(type == 0 ? TokenType::kUnused : static_cast<TokenType>(type));
  }
  return {};
}

Status read_scores(const GgufFile& file, TokenizerSpec& spec) {
  TERN_TRY_ASSIGN(const GgufArray* scores, array_of(file, "scores", {GgufType::kF32}, "f32"));
  if (scores == nullptr)
    return make_error(ErrorCode::kNotFound, "{} is missing, SentencePiece needs it", key("scores"));
  if (scores->count != spec.tokens.size()) {
    return make_error(ErrorCode::kCorrupt, "{}: {} entries for {} tokens", key("scores"), scores->count,
                      spec.tokens.size());
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id)
    spec.scores.push_back(std::bit_cast<float>(load_u32(*scores, id)));
  return {};
}

Status read_id(const GgufFile& file, std::string_view name, std::optional<int32_t>& id) {
  TERN_TRY_ASSIGN(const auto value, file.get_uint(key(name)));
  if (!value || *value == UINT32_MAX) return {};  // some writers say "none" with all bits set
  if (*value > INT32_MAX) return make_error(ErrorCode::kCorrupt, "{}: {} is no token id", key(name), *value);
  id = static_cast<int32_t>(*value);
  return {};
}

Status read_special_ids(const GgufFile& file, TokenizerSpec& spec) {
  TERN_TRY(read_id(file, "bos_token_id", spec.bos));
  TERN_TRY(read_id(file, "eos_token_id", spec.eos));
  TERN_TRY(read_id(file, "eot_token_id", spec.eot));
  TERN_TRY(read_id(file, "eom_token_id", spec.eom));
  TERN_TRY(read_id(file, "padding_token_id", spec.pad));
  TERN_TRY(read_id(file, "unknown_token_id", spec.unk));
  TERN_TRY_ASSIGN(const auto add_bos, file.get_bool(key("add_bos_token")));
  TERN_TRY_ASSIGN(const auto add_eos, file.get_bool(key("add_eos_token")));
  spec.add_bos = add_bos.value_or(spec.add_bos);
  spec.add_eos = add_eos.value_or(spec.add_eos);
  return {};
}

// Merges are "a b" over the texts of the file.
Status read_merges(const GgufFile& file, const std::vector<std::string_view>& texts, TokenizerSpec& spec) {
  TERN_TRY_ASSIGN(const GgufArray* merges, array_of(file, "merges", {GgufType::kString}, "strings"));
  if (merges == nullptr)
    return make_error(ErrorCode::kNotFound, "{} is missing, byte-level BPE needs it", key("merges"));
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(texts.size());
  for (size_t id = 0; id < texts.size(); ++id) ids.emplace(texts[id], static_cast<int32_t>(id));
  spec.merges.reserve(merges->strings.size());
  for (size_t i = 0; i < merges->strings.size(); ++i) {
    const std::string_view line = merges->strings[i];
    const size_t space = line.find(' ', 1);
    const auto left = ids.find(line.substr(0, space));
    const auto right = space == line.npos ? ids.end() : ids.find(line.substr(space + 1));
    if (left == ids.end() || right == ids.end()) {
      return make_error(ErrorCode::kCorrupt,
                        "{}[{}]: expected two tokens of the vocabulary with a space between them",
                        key("merges"), i);
    }
    spec.merges.emplace_back(left->second, right->second);
  }
  return {};
}

Status read_pre_tokenizer(const GgufFile& file, const GgufTokenizerOptions& options, TokenizerSpec& spec) {
  TERN_TRY_ASSIGN(const auto in_file, file.get_string(key("pre")));
  std::string name(options.pre.empty() ? in_file.value_or("") : std::string_view(options.pre));
  if (name.empty()) {
    // The official BitNet 2B-4T file has no such key and a Llama 3 vocabulary.
    name = "llama-bpe";
    spec.doubts.push_back("tokenizer.ggml.pre is missing: llama-bpe is assumed");
  }
  auto recipe = pre_recipe(name);
  if (!recipe) {
    return make_error(ErrorCode::kUnsupported, "{} \"{}\" is unknown; override it with one of {}", key("pre"),
                      name.substr(0, 80), known_pre_names());
  }
  spec.pre_tokenizer = std::move(recipe->steps);
  spec.pre_description = std::move(recipe->description);
  spec.ignore_merges = recipe->ignore_merges;
  spec.add_bos = recipe->add_bos;
  if (!recipe->doubt.empty() && options.pre.empty()) spec.doubts.push_back(std::move(recipe->doubt));
  return {};
}

Status read_byte_bpe(const GgufFile& file, const std::vector<std::string_view>& texts,
                     const GgufTokenizerOptions& options, TokenizerSpec& spec) {
  spec.model = TokenizerModel::kByteBpe;
  spec.merge_rule = MergeRule::kListed;
  TERN_TRY(read_pre_tokenizer(file, options, spec));
  TERN_TRY(read_merges(file, texts, spec));
  for (size_t id = 0; id < texts.size(); ++id) {
    if (spec.types[id] != TokenType::kNormal && spec.types[id] != TokenType::kUnused) continue;
    if (auto bytes = bytes_of_alphabet(texts[id])) spec.tokens[id] = std::move(*bytes);
  }
  return {};
}

Status read_sentencepiece(const GgufFile& file, TokenizerSpec& spec) {
  spec.model = TokenizerModel::kCharBpe;
  spec.merge_rule = MergeRule::kByScore;
  spec.byte_fallback = true;
  spec.space_mark = true;
  spec.add_bos = true;
  TERN_TRY(read_scores(file, spec));
  TERN_TRY_ASSIGN(const auto prefix, file.get_bool(key("add_space_prefix")));
  TERN_TRY_ASSIGN(const auto extra, file.get_bool(key("remove_extra_whitespaces")));
  NormStep step;
  step.kind = NormStep::Kind::kSentencePiece;
  step.scope = NormStep::Scope::kEvery;  // as llama.cpp does: also behind special tokens
  step.add_prefix = prefix.value_or(true);
  step.remove_extra_spaces = extra.value_or(false);
  spec.strip_leading_space = step.add_prefix;
  spec.normalizer.push_back(std::move(step));
  return {};
}

}  // namespace

Result<TokenizerSpec> tokenizer_spec_from_gguf(const GgufFile& file, const GgufTokenizerOptions& options) {
  TokenizerSpec spec;
  spec.source = "GGUF";
  TERN_TRY_ASSIGN(const auto model, file.get_string(key("model")));
  if (!model)
    return make_error(ErrorCode::kNotFound, "the GGUF file has no {}: it contains no tokenizer",
                      key("model"));
  TERN_TRY_ASSIGN(const GgufArray* tokens, array_of(file, "tokens", {GgufType::kString}, "strings"));
  if (tokens == nullptr) return make_error(ErrorCode::kNotFound, "the GGUF file has no {}", key("tokens"));
  const std::vector<std::string_view>& texts = tokens->strings;
  spec.tokens.assign(texts.begin(), texts.end());
  TERN_TRY(read_types(file, spec));
  if (*model == "gpt2") {
    TERN_TRY(read_byte_bpe(file, texts, options, spec));
  } else if (*model == "llama") {
    TERN_TRY(read_sentencepiece(file, spec));
  } else {
    return make_error(ErrorCode::kUnsupported, "{} \"{}\" is not supported, gpt2 and llama are", key("model"),
                      model->substr(0, 80));
  }
  TERN_TRY(read_special_ids(file, spec));
  return spec;
}

Result<std::shared_ptr<const Tokenizer>> tokenizer_from_gguf(const GgufFile& file,
                                                             const GgufTokenizerOptions& options) {
  TERN_TRY_ASSIGN(auto spec, tokenizer_spec_from_gguf(file, options));
  return Tokenizer::create(std::move(spec));
}

}  // namespace tern
