// SPDX-License-Identifier: MIT
// tokenizer_config.json: which special token is which, and which ones the vocabulary file does not list.
#include <charconv>

#include "text/json_reader.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json.h"

namespace tern {
namespace {

using namespace json;

Status read_added(const Object& root, TokenizerSpec& spec) {
  const auto element = member(root, "added_tokens_decoder");
  if (!element) return {};
  TERN_TRY_ASSIGN(const Object table, as_object(*element, "added_tokens_decoder"));
  std::vector<std::pair<std::string, int32_t>> control, user_defined;
  for (const auto& [key, value] : table) {
    const std::string path = fmt::format("added_tokens_decoder[\"{}\"]", key.substr(0, 20));
    AddedToken added;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), added.id);
    if (error != std::errc() || end != key.data() + key.size()) return wrong_type(path, "an id as the key");
    TERN_TRY_ASSIGN(const Object token, as_object(value, path));
    TERN_TRY_ASSIGN(const auto content, get_string(token, "content", path));
    TERN_TRY_ASSIGN(added.lstrip, get_bool(token, "lstrip", false, path));
    TERN_TRY_ASSIGN(added.rstrip, get_bool(token, "rstrip", false, path));
    TERN_TRY_ASSIGN(added.single_word, get_bool(token, "single_word", false, path));
    TERN_TRY_ASSIGN(const bool special, get_bool(token, "special", false, path));
    TERN_TRY_ASSIGN(added.normalized, get_bool(token, "normalized", !special, path));
    if (content.empty()) return make_error(ErrorCode::kCorrupt, "{}: no \"content\"", path);
    spec.added.push_back(added);
    (special ? control : user_defined).emplace_back(content, added.id);
  }
  TERN_TRY(add_special_tokens(spec, user_defined, false));
  return add_special_tokens(spec, control, true);
}

// A name is a string, or an object with the string as its content. Absent or null leaves `id` as it is.
Status read_name(const Object& root, const char* key, const TokenizerSpec& spec, std::optional<int32_t>& id,
                 std::vector<std::string>& doubts) {
  const auto element = member(root, key);
  if (!element) return {};
  std::string_view text;
  Object object;
  if (!element->get(object)) {
    TERN_TRY_ASSIGN(text, get_string(object, "content", key));
  } else if (element->get(text)) {
    return wrong_type(key, "a string or an object with content");
  }
  for (size_t i = 0; i < spec.tokens.size(); ++i) {
    const TokenType type = spec.types[i];
    if ((type == TokenType::kControl || type == TokenType::kUserDefined || type == TokenType::kUnknown) &&
        spec.tokens[i] == text) {
      id = static_cast<int32_t>(i);
      return {};
    }
  }
  doubts.push_back(fmt::format("tokenizer_config.json: {} \"{}\" is not a special token: ignored", key,
                               text.substr(0, 80)));
  return {};
}

Status read_config(std::string_view json, TokenizerSpec& spec) {
  simdjson::dom::parser parser;
  TERN_TRY_ASSIGN(const Element document, parse(parser, json, "document"));
  TERN_TRY_ASSIGN(const Object root, as_object(document, "document"));
  spec.types.resize(spec.tokens.size(), TokenType::kNormal);
  TERN_TRY(read_added(root, spec));
  TERN_TRY(read_name(root, "bos_token", spec, spec.bos, spec.doubts));
  TERN_TRY(read_name(root, "eos_token", spec, spec.eos, spec.doubts));
  TERN_TRY(read_name(root, "pad_token", spec, spec.pad, spec.doubts));
  TERN_TRY(read_name(root, "unk_token", spec, spec.unk, spec.doubts));
  TERN_TRY_ASSIGN(spec.add_bos, get_bool(root, "add_bos_token", spec.add_bos, "document"));
  TERN_TRY_ASSIGN(spec.add_eos, get_bool(root, "add_eos_token", spec.add_eos, "document"));
  return {};
}

}  // namespace

Status apply_tokenizer_config(TokenizerSpec& spec, std::string_view json) {
  if (auto status = read_config(json, spec); !status.ok())
    return std::move(status).error().in("tokenizer_config.json");
  return {};
}

}  // namespace tern
