// SPDX-License-Identifier: MIT
// Scores are summed in float, as SentencePiece does, or in double, as Hugging Face's tokenizers do: near ties
// differ.
#include "text/unigram.h"

#include <algorithm>
#include <limits>

#include "text/utf8.h"

namespace tern {
namespace {
constexpr uint32_t kOpen = UINT32_MAX;
constexpr double kUnknownPenalty = 10;  // below the lowest score of the vocabulary
}  // namespace

Result<UnigramModel> UnigramModel::create(const TokenizerSpec& spec, const TokenBytes& tokens,
                                          const std::array<int32_t, 256>& byte_tokens) {
  UnigramModel model;
  model.scores_ = spec.scores;
  model.byte_tokens_ = byte_tokens;
  model.unknown_ = spec.unk.value_or(-1);
  model.byte_fallback_ = spec.byte_fallback;
  model.fuse_unknown_ = spec.fuse_unknown;
  model.exact_ = spec.exact_scores;
  float lowest = std::numeric_limits<float>::max();
  std::vector<std::pair<std::string_view, int32_t>> keys;
  for (size_t id = 0; id < tokens.size(); ++id) {
    const TokenType type = spec.types.empty() ? TokenType::kNormal : spec.types[id];
    if (type == TokenType::kNormal) lowest = std::min(lowest, spec.scores[id]);
    if (type == TokenType::kNormal && !tokens[id].empty())
      keys.emplace_back(tokens[id], static_cast<int32_t>(id));
  }
  if (keys.empty())
    return make_error(ErrorCode::kCorrupt, "unigram vocabulary without a single normal token");
  if (model.unknown_ < 0 && !model.byte_fallback_) {
    return make_error(ErrorCode::kCorrupt,
                      "unigram vocabulary without an unknown token and without byte tokens");
  }
  model.unknown_score_ = lowest - kUnknownPenalty;
  model.trie_ = ByteTrie(std::move(keys));
  return model;
}

void UnigramModel::find_best(std::string_view text, Scratch& s) const {
  s.best.assign(text.size() + 1, {0, kOpen, -1});
  s.best[0] = {0, 0, -1};
  const auto offer = [&](size_t from, size_t to, double score, int32_t id) {
    double sum = s.best[from].score + score;
    if (!exact_) sum = static_cast<double>(static_cast<float>(sum));
    if (s.best[to].from == kOpen || sum > s.best[to].score)
      s.best[to] = {sum, static_cast<uint32_t>(from), id};
  };
  for (size_t at = 0; at < text.size();) {
    const size_t length = decode_utf8(text, at).length;
    bool single = false;
    uint32_t node = trie_.start(static_cast<uint8_t>(text[at]));
    for (size_t end = at + 1; node != ByteTrie::kNone; ++end) {
      if (const int32_t id = trie_.value(node); id >= 0) {
        offer(at, end, scores_[id], id);
        single = single || end == at + length;
      }
      node = end < text.size() ? trie_.step(node, static_cast<uint8_t>(text[end])) : ByteTrie::kNone;
    }
    if (!single) offer(at, at + length, unknown_score_, -1);
    at += length;
  }
}

void UnigramModel::encode(std::string_view text, Scratch& s, std::vector<int32_t>& ids) const {
  constexpr size_t kMaxText = size_t{1} << 31;  // offsets are 32 bits
  while (text.size() > kMaxText) {
    encode(text.substr(0, kMaxText), s, ids);
    text.remove_prefix(kMaxText);
  }
  find_best(text, s);
  s.path.clear();
  for (size_t end = text.size(); end > 0; end = s.best[end].from) {
    s.path.emplace_back(s.best[end].id, text.substr(s.best[end].from, end - s.best[end].from));
  }
  bool last_was_unknown = false;
  for (auto step = s.path.rbegin(); step != s.path.rend(); ++step) {
    const auto [id, part] = *step;
    bool complete = byte_fallback_ && id < 0;
    for (const char c : part) complete = complete && byte_tokens_[static_cast<uint8_t>(c)] >= 0;
    if (id >= 0) {
      ids.push_back(id);
    } else if (complete) {
      for (const char c : part) ids.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
    } else if (unknown_ >= 0 && !(last_was_unknown && fuse_unknown_)) {
      ids.push_back(unknown_);
    }
    last_was_unknown = id < 0 && !complete;
  }
}

}  // namespace tern
