// SPDX-License-Identifier: MIT
// Checks a TokenizerSpec and builds the tokenizer from it. Everything in a spec came from a file, so nothing
// is trusted.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "text/tokenizer_impl.h"

namespace tern {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";
// Longest token. Real ones have at most a few hundred bytes (runs of spaces); it bounds the work per
// character of text.
constexpr size_t kMaxTokenBytes = 1024;
constexpr size_t kMaxVocab = size_t{1} << 24;

// Texts of special tokens that end a turn or a text in some family of models.
constexpr std::string_view kEndTexts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<|eom_id|>",
    "<|end_of_turn|>",
    "<|EOT|>",
    "<EOT>",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
};

// The byte that <0x00> .. <0xFF> stands for, or -1.
int byte_of(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return -1;
  int value = 0;
  for (const char c : text.substr(3, 2)) {
    const int digit = c >= '0' && c <= '9'   ? c - '0'
                      : c >= 'A' && c <= 'F' ? c - 'A' + 10
                      : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                             : -1;
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

std::string replace_marks(std::string_view text) {
  std::string out;
  size_t from = 0;
  for (size_t at = 0; (at = text.find(kSpaceMark, from)) != text.npos; from = at + kSpaceMark.size()) {
    out.append(text.substr(from, at - from)) += ' ';
  }
  return out.append(text.substr(from));
}

bool same_type(TokenType type, std::initializer_list<TokenType> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

}  // namespace

// Fills one Impl from one spec; the steps must be called in the order of create().
class TokenizerBuilder {
 public:
  using Impl = Tokenizer::Impl;
  TokenizerBuilder(TokenizerSpec& spec, Impl& impl) : spec_(spec), impl_(impl) {}

  Status check_sizes() {
    const size_t vocab = spec_.tokens.size();
    if (vocab == 0 || vocab > kMaxVocab) {
      return make_error(ErrorCode::kCorrupt, "vocabulary of {} tokens, 1 to {} expected", vocab, kMaxVocab);
    }
    if (!spec_.types.empty() && spec_.types.size() != vocab) {
      return make_error(ErrorCode::kCorrupt, "{} token types for {} tokens", spec_.types.size(), vocab);
    }
    for (size_t id = 0; id < vocab; ++id) {
      if (spec_.tokens[id].size() > kMaxTokenBytes) {
        return make_error(ErrorCode::kCorrupt, "token {} has {} bytes, at most {} expected", id,
                          spec_.tokens[id].size(), kMaxTokenBytes);
      }
    }
    const bool needs_scores =
        spec_.model == TokenizerModel::kUnigram || spec_.merge_rule == MergeRule::kByScore;
    if (!needs_scores) return {};
    if (spec_.scores.size() != vocab) {
      return make_error(ErrorCode::kCorrupt, "{} scores for {} tokens", spec_.scores.size(), vocab);
    }
    for (size_t id = 0; id < vocab; ++id) {
      if (!std::isfinite(spec_.scores[id]))
        return make_error(ErrorCode::kCorrupt, "score of token {} is not a number", id);
    }
    return {};
  }

  Status check_special_ids() {
    const int64_t vocab = static_cast<int64_t>(spec_.tokens.size());
    const auto bad = [&](int64_t id) { return id < 0 || id >= vocab; };
    struct Named {
      const char* name;
      std::optional<int32_t>& id;
      bool required;  // an id that matters for encoding or stopping; the others are dropped with a doubt
    } ids[] = {{"bos", spec_.bos, true}, {"eos", spec_.eos, true},  {"eot", spec_.eot, true},
               {"eom", spec_.eom, true}, {"pad", spec_.pad, false}, {"unknown", spec_.unk, false}};
    for (auto& [name, id, required] : ids) {
      if (!id.has_value() || !bad(*id)) continue;
      if (required) {
        return make_error(ErrorCode::kCorrupt, "{} token id {} in a vocabulary of {}", name, *id, vocab);
      }
      doubt(fmt::format("{} token id {} is not in the vocabulary of {}: ignored", name, *id, vocab));
      id.reset();
    }
    for (const auto* list : {&spec_.prefix, &spec_.suffix, &spec_.more_end_ids}) {
      for (const int32_t id : *list) {
        if (bad(id))
          return make_error(ErrorCode::kCorrupt, "special token id {} in a vocabulary of {}", id, vocab);
      }
    }
    for (const AddedToken& token : spec_.added) {
      if (bad(token.id))
        return make_error(ErrorCode::kCorrupt, "added token id {} in a vocabulary of {}", token.id, vocab);
    }
    return {};
  }

  void index_tokens() {
    const size_t vocab = spec_.tokens.size();
    impl_.types =
        spec_.types.empty() ? std::vector<TokenType>(vocab, TokenType::kNormal) : std::move(spec_.types);
    spec_.types = impl_.types;
    impl_.byte_tokens.fill(-1);
    size_t bytes = 0, marked = 0, odd_bytes = 0;
    for (const std::string& token : spec_.tokens) bytes += token.size();
    impl_.model_bytes.reserve(vocab, bytes);
    for (size_t id = 0; id < vocab; ++id) {
      const std::string& token = spec_.tokens[id];
      const int byte = impl_.types[id] == TokenType::kByte ? byte_of(token) : -1;
      if (impl_.types[id] == TokenType::kByte && byte < 0) ++odd_bytes;
      if (byte >= 0) {
        const char c = static_cast<char>(byte);
        impl_.model_bytes.push_back(std::string_view(&c, 1));
        if (impl_.byte_tokens[byte] < 0) impl_.byte_tokens[byte] = static_cast<int32_t>(id);
      } else {
        impl_.model_bytes.push_back(token);
        marked += spec_.space_mark && token.find(kSpaceMark) != std::string::npos;
      }
    }
    if (odd_bytes > 0)
      doubt(fmt::format("{} byte tokens are not named <0x00> to <0xFF>: not used", odd_bytes));
    if (marked > 0) {
      impl_.space_bytes.emplace();
      impl_.space_bytes->reserve(vocab, bytes);
      for (size_t id = 0; id < vocab; ++id) {
        const bool keep = impl_.types[id] == TokenType::kByte;
        impl_.space_bytes->push_back(keep ? std::string(impl_.model_bytes[id])
                                          : replace_marks(impl_.model_bytes[id]));
      }
    }
    impl_.vocab_map = TokenMap(vocab);
    impl_.special_map =
        TokenMap(static_cast<size_t>(std::count_if(impl_.types.begin(), impl_.types.end(), [](TokenType t) {
          return same_type(t, {TokenType::kControl, TokenType::kUnknown, TokenType::kUserDefined});
        })));
    size_t repeated = 0;
    for (const bool user_defined : {false, true}) {  // normal tokens first: they take part in merges
      for (size_t id = 0; id < vocab; ++id) {
        const TokenType type = impl_.types[id];
        if (impl_.model_bytes[id].empty()) continue;
        const bool mine = user_defined ? type == TokenType::kUserDefined
                                       : same_type(type, {TokenType::kNormal, TokenType::kUnused});
        if (mine && impl_.vocab_map.insert(impl_.model_bytes, static_cast<int32_t>(id)) >= 0) ++repeated;
        if (user_defined &&
            same_type(type, {TokenType::kControl, TokenType::kUnknown, TokenType::kUserDefined})) {
          impl_.special_map.insert(impl_.model_bytes, static_cast<int32_t>(id));
        }
      }
    }
    if (repeated > 0)
      doubt(fmt::format("{} tokens repeat the text of others: the first one counts", repeated));
  }

  Status build_text_steps() {
    TERN_TRY_ASSIGN(auto normalizer, Normalizer::create(std::move(spec_.normalizer)));
    TERN_TRY_ASSIGN(auto pre, PreTokenizer::create(std::move(spec_.pre_tokenizer), spec_.unicode));
    impl_.normalizer = std::move(normalizer);
    impl_.pre_tokenizer = std::move(pre);
    return {};
  }

  // Special tokens: those with flags from the file, and all others of a special type with default flags.
  void index_special_tokens() {
    std::vector<AddedToken> flags(spec_.tokens.size());
    for (const AddedToken& token : spec_.added) flags[token.id] = token;
    std::vector<SpecialTokens::Entry> plain, normalized;
    for (size_t id = 0; id < spec_.tokens.size(); ++id) {
      const TokenType type = impl_.types[id];
      const std::string_view text = impl_.model_bytes[id];
      if (text.empty() ||
          !same_type(type, {TokenType::kControl, TokenType::kUnknown, TokenType::kUserDefined}))
        continue;
      if (impl_.special_map.find(impl_.model_bytes, text) != static_cast<int32_t>(id)) continue;
      SpecialTokens::Entry entry{text, flags[id], type != TokenType::kUserDefined};
      entry.token.id = static_cast<int32_t>(id);
      // A user-defined token with a space mark can only be seen once spaces have been turned into marks.
      const bool marked = spec_.space_mark && !entry.control && text.find(kSpaceMark) != text.npos;
      if (marked || (entry.token.normalized && !impl_.normalizer->empty())) {
        std::string buffer;
        const std::string_view shown =
            marked ? text : impl_.normalizer->apply(text, Normalizer::Place::kTextStart, buffer);
        if (shown.empty()) continue;
        entry.text = impl_.normalized_texts.emplace_back(shown);
        normalized.push_back(entry);
      } else {
        plain.push_back(entry);
      }
    }
    impl_.specials.emplace(std::move(plain));
    impl_.normalized_specials.emplace(std::move(normalized));
  }

  Status build_model() {
    impl_.space_mark = spec_.space_mark;
    impl_.strip_leading_space = spec_.strip_leading_space;
    impl_.ignore_merges = spec_.ignore_merges;
    if (spec_.model == TokenizerModel::kUnigram) {
      TERN_TRY_ASSIGN(auto model, UnigramModel::create(spec_, impl_.model_bytes, impl_.byte_tokens));
      impl_.unigram = std::move(model);
      return {};
    }
    TERN_TRY_ASSIGN(auto model,
                    BpeModel::create(spec_, impl_.model_bytes, impl_.vocab_map, impl_.byte_tokens));
    impl_.bpe = std::move(model);
    if (const int missing = impl_.bpe->missing_bytes(); missing > 0) {
      doubt(fmt::format("{} of 256 bytes have no token: they {} when text is encoded", missing,
                        spec_.unk ? "become the unknown token" : "are dropped"));
    }
    return {};
  }

  void settle_special_ids() {
    impl_.bos = spec_.bos;
    impl_.eos = spec_.eos;
    impl_.eot = spec_.eot;
    impl_.eom = spec_.eom;
    impl_.pad = spec_.pad;
    impl_.unk = spec_.unk;
    impl_.prefix = std::move(spec_.prefix);
    impl_.suffix = std::move(spec_.suffix);
    if (impl_.prefix.empty() && impl_.bos) impl_.prefix = {*impl_.bos};
    if (impl_.suffix.empty() && impl_.eos) impl_.suffix = {*impl_.eos};
    impl_.add_bos = spec_.add_bos && !impl_.prefix.empty();
    impl_.add_eos = spec_.add_eos && !impl_.suffix.empty();
    if (spec_.add_bos && !impl_.add_bos) doubt("the file asks for a BOS in front of text but names none");
    if (spec_.add_eos && !impl_.add_eos) doubt("the file asks for an EOS behind text but names none");

    std::vector<int32_t>& ends = impl_.end_ids;
    ends = spec_.more_end_ids;
    for (const auto& id : {impl_.eos, impl_.eot, impl_.eom}) {
      if (id) ends.push_back(*id);
    }
    for (const std::string_view text : kEndTexts) {
      const int32_t id = impl_.special_map.find(impl_.model_bytes, text);
      if (id >= 0) ends.push_back(id);
    }
    std::sort(ends.begin(), ends.end());
    ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
    if (ends.empty()) doubt("no token is known to end a generation");
  }

  void describe() {
    const char* model = spec_.model == TokenizerModel::kByteBpe   ? "byte-level BPE"
                        : spec_.model == TokenizerModel::kCharBpe ? "character BPE"
                                                                  : "unigram";
    impl_.description =
        fmt::format("{}, {} tokens, pre-tokenizer: {}, Unicode {}, from {}", model, impl_.model_bytes.size(),
                    spec_.pre_description.empty() ? "none" : spec_.pre_description,
                    static_cast<int>(spec_.unicode), spec_.source);
    impl_.doubts = std::move(spec_.doubts);
  }

 private:
  void doubt(std::string text) { spec_.doubts.push_back(std::move(text)); }

  TokenizerSpec& spec_;
  Impl& impl_;
};

Result<std::shared_ptr<const Tokenizer>> Tokenizer::create(TokenizerSpec spec) {
  const std::string source = spec.source;
  auto impl = std::make_unique<Impl>();
  TokenizerBuilder builder(spec, *impl);
  const auto build = [&]() -> Status {
    TERN_TRY(builder.check_sizes());
    TERN_TRY(builder.check_special_ids());
    builder.index_tokens();
    TERN_TRY(builder.build_text_steps());
    builder.index_special_tokens();
    TERN_TRY(builder.build_model());
    builder.settle_special_ids();
    builder.describe();
    return {};
  };
  if (auto status = build(); !status.ok()) return std::move(status).error().in(source);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(impl)));
}

}  // namespace tern
