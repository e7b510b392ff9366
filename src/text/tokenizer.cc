// SPDX-License-Identifier: MIT
// Puts the parts together: special tokens are cut out of the text, the stretches between them are normalized,
// cut into pre-tokens and given to the model. tokenizer_create.cc checks a spec and fills Impl.
#include "text/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

#include "text/piece_cache.h"
#include "text/tokenizer_impl.h"
#include "text/utf8_sanitizer.h"

namespace tern {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

}  // namespace

// The working memory and the output of one call.
struct Tokenizer::Impl::Encoder final : PieceSink {
  const Impl& impl;
  bool parse_special;
  std::vector<int32_t>& ids;
  PieceCache cache;
  BpeModel::Scratch bpe;
  UnigramModel::Scratch unigram;
  std::string buffer;

  Encoder(const Impl& i, bool special, size_t text_bytes, std::vector<int32_t>& out)
      : impl(i), parse_special(special), ids(out), cache(text_bytes) {}

  void piece(std::string_view text) override {
    bpe.last_was_unknown = false;  // each pre-token stands alone
    encode_piece(text);
  }

  void encode_piece(std::string_view text) {
    if (impl.unigram) return impl.unigram->encode(text, unigram, ids);
    PieceCache::Entry key;
    PieceCache::Entry* entry = cache.place(text, key);
    if (entry != nullptr && PieceCache::same(*entry, key)) {
      for (uint32_t i = entry->at, end = i + entry->count; i < end; ++i) {
        const int32_t id = ids[i];  // copied first: push_back may move the vector
        ids.push_back(id);
      }
      bpe.last_was_unknown = false;
      return;
    }
    const size_t at = ids.size();
    bpe.saw_unknown = false;
    if (const int32_t whole = impl.ignore_merges ? impl.vocab_map.find(impl.model_bytes, text) : -1;
        whole >= 0) {
      ids.push_back(whole);
      bpe.last_was_unknown = false;
    } else {
      impl.bpe->encode(text, bpe, ids);
    }
    if (entry != nullptr && !bpe.saw_unknown && ids.size() <= UINT32_MAX) {
      *entry = key;
      entry->at = static_cast<uint32_t>(at);
      entry->count = static_cast<uint16_t>(ids.size() - at);
    }
  }

  void encode_normalized(std::string_view text) {
    if (text.empty()) return;
    if (!impl.pre_tokenizer->empty()) return impl.pre_tokenizer->split(text, *this);
    bpe.last_was_unknown = false;
    if (!impl.bpe || !impl.bpe->can_cut_before_space_mark()) return encode_piece(text);
    // No token goes on behind a space mark's left border, so words can be taken one by one, and repeated ones
    // once.
    size_t begin = 0;
    for (size_t at = text.find(kSpaceMark, 1); at != text.npos;
         at = text.find(kSpaceMark, at + kSpaceMark.size())) {
      const bool in_run =
          at >= kSpaceMark.size() && text.substr(at - kSpaceMark.size(), kSpaceMark.size()) == kSpaceMark;
      if (in_run) continue;
      encode_piece(text.substr(begin, at - begin));
      begin = at;
    }
    encode_piece(text.substr(begin));
  }

  void encode_stretch(std::string_view text, Normalizer::Place place) {
    if (text.empty()) return;
    const std::string_view normalized = impl.normalizer->apply(text, place, buffer);
    if (impl.normalized_specials->empty()) return encode_normalized(normalized);
    size_t from = 0;
    SpecialTokens::Match match;
    while (impl.normalized_specials->next(normalized, from, parse_special, impl.classes(), match)) {
      encode_normalized(normalized.substr(from, match.begin - from));
      ids.push_back(match.id);
      from = match.end;
    }
    encode_normalized(normalized.substr(from));
  }
};

Tokenizer::Tokenizer(std::unique_ptr<const Impl> impl) : impl_(std::move(impl)) {}
Tokenizer::~Tokenizer() = default;

std::vector<int32_t> Tokenizer::encode(std::string_view text, const EncodeOptions& options) const {
  const Impl& impl = *impl_;
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 3 + 8);
  if (options.add_bos.value_or(impl.add_bos)) ids = impl.prefix;
  const size_t prefix_size = ids.size();
  Impl::Encoder encoder(impl, options.parse_special, text.size(), ids);
  auto place = options.at_text_start ? Normalizer::Place::kTextStart : Normalizer::Place::kElsewhere;
  size_t from = 0;
  SpecialTokens::Match match;
  while (impl.specials->next(text, from, options.parse_special, impl.classes(), match)) {
    encoder.encode_stretch(text.substr(from, match.begin - from), place);
    // A chat template may begin with the BOS that add_bos has put there already.
    const bool again =
        ids.size() == prefix_size && prefix_size == 1 && match.begin == 0 && match.id == ids[0];
    if (!again) ids.push_back(match.id);
    from = match.end;
    place = impl.is_special(match.id) ? Normalizer::Place::kAfterControl : Normalizer::Place::kElsewhere;
  }
  encoder.encode_stretch(text.substr(from), place);
  if (options.add_eos.value_or(impl.add_eos)) ids.insert(ids.end(), impl.suffix.begin(), impl.suffix.end());
  return ids;
}

void Tokenizer::append_token(int32_t id, bool render_special, bool& at_start, std::string& out) const {
  std::string_view bytes = token_bytes(id, render_special);
  if (bytes.empty()) return;
  // Only the space of a word: a byte token is literally that byte, a special token's text is not preceded by
  // one.
  const bool word = token_type(id) == TokenType::kNormal;
  if (at_start && word && impl_->strip_leading_space && bytes[0] == ' ') bytes.remove_prefix(1);
  at_start = false;
  out.append(bytes);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, const DecodeOptions& options) const {
  std::string out;
  bool at_start = options.at_text_start;
  for (const int32_t id : ids) append_token(id, options.render_special, at_start, out);
  return options.replace_invalid ? sanitize_utf8(std::move(out)) : out;
}

std::string_view Tokenizer::token_bytes(int32_t id, bool render_special) const {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size()) return {};
  if (impl_->is_special(id) && !render_special) return {};
  return impl_->shown_bytes()[id];
}

size_t Tokenizer::vocab_size() const { return impl_->model_bytes.size(); }

TokenType Tokenizer::token_type(int32_t id) const {
  return id < 0 || static_cast<size_t>(id) >= vocab_size() ? TokenType::kUnused : impl_->types[id];
}

std::optional<int32_t> Tokenizer::find(std::string_view text) const {
  const Impl& impl = *impl_;
  int32_t id = impl.special_map.find(impl.model_bytes, text);
  if (id < 0 && impl.space_mark) {
    std::string marked;
    for (const char c : text) {
      if (c == ' ') {
        marked.append(kSpaceMark);
      } else {
        marked += c;
      }
    }
    id = impl.vocab_map.find(impl.model_bytes, marked);
  } else if (id < 0) {
    id = impl.vocab_map.find(impl.model_bytes, text);
  }
  if (id < 0 && text.size() == 1) id = impl.byte_tokens[static_cast<uint8_t>(text[0])];
  return id < 0 ? std::nullopt : std::optional<int32_t>(id);
}

std::optional<int32_t> Tokenizer::bos_id() const { return impl_->bos; }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->eos; }
std::optional<int32_t> Tokenizer::eot_id() const { return impl_->eot; }
std::optional<int32_t> Tokenizer::eom_id() const { return impl_->eom; }
std::optional<int32_t> Tokenizer::pad_id() const { return impl_->pad; }
std::optional<int32_t> Tokenizer::unk_id() const { return impl_->unk; }
std::span<const int32_t> Tokenizer::end_ids() const { return impl_->end_ids; }
bool Tokenizer::is_end(int32_t id) const {
  return std::binary_search(impl_->end_ids.begin(), impl_->end_ids.end(), id);
}
bool Tokenizer::add_bos_default() const { return impl_->add_bos; }
bool Tokenizer::add_eos_default() const { return impl_->add_eos; }
bool Tokenizer::strips_leading_space() const { return impl_->strip_leading_space; }
std::string Tokenizer::description() const { return impl_->description; }
const std::vector<std::string>& Tokenizer::doubts() const { return impl_->doubts; }

}  // namespace tern
