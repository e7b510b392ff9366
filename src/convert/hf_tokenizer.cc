// SPDX-License-Identifier: MIT
#include "convert/hf_tokenizer.h"

#include <array>

#include "convert/hf_shards.h"
#include "core/printable.h"
#include "text/sentencepiece_model.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json.h"

namespace tern {
namespace {

constexpr uint64_t kFileLimit = 256u << 20;

// Texts whose ids must be the same before and after: scripts, digits, spaces, contractions, code, line ends.
constexpr std::array<std::string_view, 8> kProbes = {
    "Hello, world! It's 2025, isn't it? They'll WE'VE i'D",
    "  two  spaces,\ttabs\n\n\nand lines\r\n   indented 12345678 x=1+2; // ok",
    "\xc3\x84rger \xc3\xbc"
    "ber \xc3\x89t\xc3\xa9, na\xc3\xafve co\xc3\xb6peration \xe2\x80\x93 \xe2\x80\x9cquoted\xe2\x80\x9d "
    "\xe2\x82\xac"
    "99.90",
    "\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82, \xd0\xbc\xd0\xb8\xd1\x80! "
    "\xe4\xbd\xa0\xe5\xa5\xbd\xef\xbc\x8c\xe4\xb8\x96\xe7\x95\x8c "
    "\xe3\x81\x93\xe3\x82\x93\xe3\x81\xab\xe3\x81\xa1\xe3\x81\xaf 123\xd9\xa3\xd9\xa4",
    "def f(a_b, *args): return {'k': [1, 22, 333, 4444]}  # \xf0\x9f\x98\x80\xf0\x9f\x91\x8d\xf0\x9f\x8f\xbd",
    "https://example.org/a?b=c&d=%20 e-mail@host.tld $100 50% #tag ~/.config <html></html>",
    "a",
    ""};

/// One file of the folder, kept for the way back and for reading.
struct TextFiles {
  std::string tokenizer_json, tokenizer_model, tokenizer_config, generation_config, template_file;
};

Result<TextFiles> carry_files(const std::string& folder, bool drop_text, Checkpoint& checkpoint) {
  TextFiles files;
  for (const CarriedFile& file : kCarriedFiles) {
    const std::string_view name = file.name;
    const bool is_text_side = name != "config.json" && name != "generation_config.json";
    if (drop_text && is_text_side) continue;
    TERN_TRY_ASSIGN(auto bytes, read_small_file(folder, file.name, kFileLimit));
    if (!bytes) continue;
    if (name == "tokenizer.json") files.tokenizer_json = *bytes;
    if (name == "tokenizer.model") files.tokenizer_model = *bytes;
    if (name == "tokenizer_config.json") files.tokenizer_config = *bytes;
    if (name == "generation_config.json") files.generation_config = *bytes;
    if (name == "chat_template.jinja") files.template_file = *bytes;
    if (name == "tokenizer.model") {
      checkpoint.set(file.key, std::vector<uint8_t>(bytes->begin(), bytes->end()));
    } else if (is_utf8(*bytes)) {
      checkpoint.set(file.key, std::move(*bytes));
    } else {
      return make_error(ErrorCode::kCorrupt, "{}: not UTF-8", file.name);
    }
  }
  return files;
}

Result<TokenizerSpec> tiktoken_spec(const TextFiles& files, const ImportOptions& options) {
  TERN_TRY_ASSIGN(TokenizerSpec spec,
                  parse_tiktoken(files.tokenizer_model, options.pre.empty() ? "llama-bpe" : options.pre));
  if (files.tokenizer_config.empty()) {
    TERN_TRY(add_llama3_special_tokens(spec));
    spec.doubts.push_back(
        "tokenizer.model has no special tokens and there is no tokenizer_config.json: Llama 3's taken");
  }
  return spec;
}

/// The tokenizer of the folder. SentencePiece models carry scores, so they come before tokenizer.json.
Result<std::optional<TokenizerSpec>> read_spec(const TextFiles& files, const ImportOptions& options) {
  std::optional<TokenizerSpec> spec;
  const bool is_tiktoken = looks_like_tiktoken(files.tokenizer_model);
  if (!files.tokenizer_model.empty() && !is_tiktoken) {
    TERN_TRY_ASSIGN(spec, parse_sentencepiece(files.tokenizer_model));
  } else if (!files.tokenizer_json.empty()) {
    TERN_TRY_ASSIGN(spec, parse_tokenizer_json(files.tokenizer_json));
  } else if (is_tiktoken) {
    TERN_TRY_ASSIGN(spec, tiktoken_spec(files, options));
  }
  if (spec && !files.tokenizer_config.empty()) {
    // Written again, so that model_max_length, often an integer of 100 bits, is a number every reader takes.
    TERN_TRY_ASSIGN(const Json json, parse_json(files.tokenizer_config, "tokenizer_config.json"));
    TERN_TRY(apply_tokenizer_config(*spec, json.dump(-1, ' ', false, Json::error_handler_t::replace)));
  }
  return spec;
}

/// A member that is an id or a list of ids.
std::vector<int32_t> ids_of(const Json& object, const char* key, size_t vocab) {
  std::vector<int32_t> ids;
  const auto at = object.find(key);
  if (at == object.end()) return ids;
  const auto add = [&](const Json& value) {
    if (value.is_number_unsigned() && value.get<uint64_t>() < vocab) ids.push_back(value.get<int32_t>());
  };
  if (at->is_array()) {
    for (const Json& value : *at) add(value);
  } else {
    add(*at);
  }
  return ids;
}

/// Special ids that only config.json or generation_config.json name.
Status fill_special_ids(const HfConfig& config, const TextFiles& files, TokenizerSpec& spec) {
  const size_t vocab = spec.tokens.size();
  std::vector<int32_t> ends = ids_of(config.json, "eos_token_id", vocab);
  if (!files.generation_config.empty()) {
    TERN_TRY_ASSIGN(const Json json, parse_json(files.generation_config, "generation_config.json"));
    if (json.is_object()) {
      for (const int32_t id : ids_of(json, "eos_token_id", vocab)) ends.push_back(id);
    }
  }
  const std::vector<int32_t> bos = ids_of(config.json, "bos_token_id", vocab);
  if (!spec.bos && !bos.empty() && !config.is_embedding) spec.bos = bos[0];
  if (!spec.eos && !ends.empty()) spec.eos = ends[0];
  for (const int32_t id : ends) {
    if (spec.eos && id != *spec.eos && !spec.eot) spec.eot = id;
  }
  if (config.is_embedding) {  // pooled at the appended end token, whatever the tokenizer's own eos is
    for (size_t id = 0; id < vocab; ++id) {
      if (spec.tokens[id] == "<|endoftext|>") spec.eos = static_cast<int32_t>(id);
    }
    spec.add_eos = true;
    spec.add_bos = false;
  }
  return {};
}

/// tokenizer_config.json's chat_template: a string, or a list of named ones of which "default" counts.
Result<std::string> chat_template_of(const TextFiles& files) {
  if (!files.template_file.empty()) return files.template_file;
  if (files.tokenizer_config.empty()) return std::string();
  TERN_TRY_ASSIGN(const Json json, parse_json(files.tokenizer_config, "tokenizer_config.json"));
  const auto at = json.is_object() ? json.find("chat_template") : json.end();
  if (!json.is_object() || at == json.end()) return std::string();
  if (at->is_string()) return at->get<std::string>();
  for (const Json& entry : *at) {
    if (entry.is_object() && entry.value("name", Json()) == "default" &&
        entry.value("template", Json()).is_string()) {
      return entry["template"].get<std::string>();
    }
  }
  return std::string();
}

/// GGUF readers want one text per row of the embedding.
void pad_vocabulary(uint64_t rows, MetaList& keys) {
  size_t before = 0;
  for (auto& [key, value] : keys) {
    if (key == "tokenizer.ggml.tokens") {
      auto& tokens = std::get<std::vector<std::string>>(value);
      before = tokens.size();
      while (tokens.size() < rows) tokens.push_back(fmt::format("[PAD{}]", tokens.size()));
    } else if (key == "tokenizer.ggml.token_type") {
      auto& types = std::get<std::vector<int32_t>>(value);
      if (types.size() < rows) types.resize(rows, static_cast<int32_t>(TokenType::kUnused));
    } else if (key == "tokenizer.ggml.scores") {
      auto& scores = std::get<std::vector<float>>(value);
      const float last = scores.empty() ? 0.0f : *std::min_element(scores.begin(), scores.end());
      if (scores.size() < rows) scores.resize(rows, last - 1);
    }
  }
  (void)before;
}

Result<std::shared_ptr<const Tokenizer>> reopen(const MetaList& keys, const ImportOptions& options,
                                                std::string& storage) {
  GgufWriter writer;
  writer.set("general.architecture", std::string("probe"));
  for (const auto& [key, value] : keys) writer.set(key, value);
  TERN_TRY_ASSIGN(storage, writer.header());
  TERN_TRY_ASSIGN(const GgufFile file, parse_gguf(std::as_bytes(std::span(storage.data(), storage.size()))));
  return options.open_tokenizer(file);
}

/// The first probe whose ids differ, or npos.
size_t first_difference(const Tokenizer& original, const Tokenizer& written) {
  for (size_t i = 0; i < kProbes.size(); ++i) {
    if (original.encode(kProbes[i]) != written.encode(kProbes[i])) return i;
  }
  return kProbes.size();
}

/// Chooses tokenizer.ggml.pre and proves that the written tokenizer gives the original's ids.
Status settle_pre(const TokenizerSpec& spec, const ImportOptions& options, MetaList& keys) {
  const bool is_bytes = spec.model == TokenizerModel::kByteBpe;
  std::string pre = options.pre.empty() && is_bytes ? pre_name_of(spec) : options.pre;
  if (is_bytes && pre.empty()) {
    return make_error(
        ErrorCode::kUnsupported,
        "the pre-tokenizer ({}) has no name in GGUF: choose one with --pre ({}), or leave the tokenizer out "
        "with --no-tokenizer",
        printable(spec.pre_description, 200), known_pre_names());
  }
  if (is_bytes) keys.emplace_back("tokenizer.ggml.pre", pre);
  if (!options.open_tokenizer) return {};
  TERN_TRY_ASSIGN(const auto original, Tokenizer::create(spec));
  std::string storage;
  TERN_TRY_ASSIGN(const auto written, reopen(keys, options, storage));
  const size_t at = first_difference(*original, *written);
  if (at == kProbes.size() || !options.pre.empty()) return {};
  return make_error(
      ErrorCode::kUnsupported,
      "the tokenizer cannot be written as GGUF: the text '{}' would get other ids; --pre NAME chooses "
      "another pre-tokenizer, --no-tokenizer leaves it out",
      printable(kProbes[at], 60));
}

}  // namespace

Status add_hf_text(const std::string& folder, const HfConfig& config, const ImportOptions& options,
                   Checkpoint& checkpoint) {
  TERN_TRY_ASSIGN(const TextFiles files, carry_files(folder, options.drop_text, checkpoint));
  if (config.is_embedding)
    checkpoint.set(config.architecture + ".pooling_type", uint32_t{3});  // the last token's
  if (options.drop_text) return {};
  TERN_TRY_ASSIGN(auto spec, read_spec(files, options));
  if (!spec) {
    checkpoint.doubts.push_back(
        "no tokenizer.json and no tokenizer.model: the model will know token ids only");
    return {};
  }
  TERN_TRY(fill_special_ids(config, files, *spec));
  const auto vocab = checkpoint.number(config.architecture + ".vocab_size").value_or(config.vocab);
  if (spec->tokens.size() > vocab) {
    return make_error(
        ErrorCode::kCorrupt,
        "the tokenizer has {} tokens, the embedding {} rows: tokens beyond it cannot be computed; take the "
        "tokenizer that the model was trained with, or --no-tokenizer",
        spec->tokens.size(), vocab);
  }
  TERN_TRY_ASSIGN(MetaList keys, tokenizer_keys(*spec));
  TERN_TRY(settle_pre(*spec, options, keys));
  pad_vocabulary(vocab, keys);
  for (auto& [key, value] : keys) checkpoint.set(key, std::move(value));
  TERN_TRY_ASSIGN(const std::string source, chat_template_of(files));
  if (!source.empty()) checkpoint.set("tokenizer.chat_template", source);
  for (const std::string& doubt : spec->doubts) checkpoint.doubts.push_back(doubt);
  return {};
}

}  // namespace tern
