// SPDX-License-Identifier: MIT
// TokenizerSpec -> tokenizer.ggml.* keys: the reverse of engine/gguf_tokenizer.cc. Byte-level BPE is written
// in the byte alphabet, merges of tiktoken files are worked out from the ranks, scores of character BPE from
// its merges.
#include <algorithm>
#include <unordered_map>

#include "convert/hf_tokenizer.h"
#include "core/printable.h"
#include "text/byte_alphabet.h"

namespace tern {
namespace {

std::string key(std::string_view name) { return "tokenizer.ggml." + std::string(name); }

bool is_spelled(const TokenizerSpec& spec, size_t id) {
  return spec.types.empty() || spec.types[id] == TokenType::kNormal || spec.types[id] == TokenType::kUnused;
}

/// The last merge that makes `token` out of two parts when only merges of lower rank are allowed: ranks
/// decide.
std::pair<std::string, std::string> last_merge(const std::unordered_map<std::string_view, size_t>& ranks,
                                               std::string_view token, size_t rank) {
  std::vector<std::string_view> parts;
  for (size_t i = 0; i < token.size(); ++i) parts.push_back(token.substr(i, 1));
  while (parts.size() > 2) {
    size_t best = rank, at = parts.size();
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const std::string_view joined(parts[i].data(), parts[i].size() + parts[i + 1].size());
      const auto found = ranks.find(joined);
      if (found != ranks.end() && found->second < best) best = found->second, at = i;
    }
    if (at == parts.size()) return {};  // never made by merging: such a token is matched whole or not at all
    parts[at] = std::string_view(parts[at].data(), parts[at].size() + parts[at + 1].size());
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  if (parts.size() < 2) return {};
  return {std::string(parts[0]), std::string(parts[1])};
}

std::vector<std::string> merge_lines(const TokenizerSpec& spec, const std::vector<std::string>& texts) {
  std::vector<std::string> lines;
  if (spec.merge_rule == MergeRule::kListed) {
    for (const auto& [left, right] : spec.merges) {
      lines.push_back(texts[static_cast<size_t>(left)] + " " + texts[static_cast<size_t>(right)]);
    }
    return lines;
  }
  std::unordered_map<std::string_view, size_t> ranks;  // kById: the id is the rank
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (is_spelled(spec, id)) ranks.emplace(spec.tokens[id], id);
  }
  for (size_t id = 0; id < spec.tokens.size(); ++id) {
    if (!is_spelled(spec, id) || spec.tokens[id].size() < 2) continue;
    const auto [left, right] = last_merge(ranks, spec.tokens[id], id);
    if (!left.empty()) lines.push_back(alphabet_of_bytes(left) + " " + alphabet_of_bytes(right));
  }
  return lines;
}

/// SentencePiece scores: the file's own, or, for listed merges, the rank of the merge that makes a token, so
/// that "higher score first" is "earlier merge first".
std::vector<float> scores_of(const TokenizerSpec& spec) {
  if (!spec.scores.empty()) return spec.scores;
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < spec.tokens.size(); ++id) ids.emplace(spec.tokens[id], id);
  // Tokens that no merge makes must not be made by score: lower than every rank.
  std::vector<float> scores(spec.tokens.size(), -static_cast<float>(spec.merges.size() + 1));
  for (size_t rank = spec.merges.size(); rank-- > 0;) {
    const auto& [left, right] = spec.merges[rank];
    const std::string joined =
        spec.tokens[static_cast<size_t>(left)] + spec.tokens[static_cast<size_t>(right)];
    if (const auto at = ids.find(joined); at != ids.end()) scores[at->second] = -static_cast<float>(rank);
  }
  return scores;
}

bool same_step(const PreStep& a, const PreStep& b) {
  return a.kind == b.kind && a.behavior == b.behavior && a.invert == b.invert && a.min_run == b.min_run &&
         a.max_run == b.max_run && a.space_prefix == b.space_prefix && a.text == b.text &&
         a.set.classes == b.set.classes && a.set.ascii == b.set.ascii && a.set.ranges == b.set.ranges;
}

void add_ids(const TokenizerSpec& spec, MetaList& keys) {
  const auto add = [&](const char* name, std::optional<int32_t> id) {
    if (id) keys.emplace_back(key(name), static_cast<uint32_t>(*id));
  };
  add("bos_token_id", spec.bos);
  add("eos_token_id", spec.eos);
  add("eot_token_id", spec.eot);
  add("eom_token_id", spec.eom);
  add("padding_token_id", spec.pad);
  add("unknown_token_id", spec.unk);
  keys.emplace_back(key("add_bos_token"), spec.add_bos);
  keys.emplace_back(key("add_eos_token"), spec.add_eos);
}

}  // namespace

std::string pre_name_of(const TokenizerSpec& spec) {
  std::vector<PreStep> steps = spec.pre_tokenizer;
  std::erase_if(steps, [](const PreStep& step) { return step.kind == PreStep::Kind::kByteAlphabet; });
  const std::string names = known_pre_names();
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(", ", begin), names.size());
    const std::string name = names.substr(begin, end - begin);
    const auto recipe = pre_recipe(name);
    if (recipe && recipe->ignore_merges == spec.ignore_merges &&
        std::equal(steps.begin(), steps.end(), recipe->steps.begin(), recipe->steps.end(), same_step)) {
      return name;
    }
    begin = end + 2;
  }
  return "";
}

Result<MetaList> tokenizer_keys(const TokenizerSpec& spec) {
  if (spec.model == TokenizerModel::kUnigram) {
    return make_error(
        ErrorCode::kUnsupported,
        "the tokenizer is a unigram model, which GGUF readers do not compute (--no-tokenizer leaves it out)");
  }
  MetaList keys;
  std::vector<std::string> texts = spec.tokens;
  std::vector<int32_t> types;
  for (size_t id = 0; id < texts.size(); ++id) {
    if (spec.model == TokenizerModel::kByteBpe && is_spelled(spec, id))
      texts[id] = alphabet_of_bytes(spec.tokens[id]);
    types.push_back(spec.types.empty() ? 1 : static_cast<int32_t>(spec.types[id]));
    if (texts[id].empty()) texts[id] = fmt::format("[UNUSED{}]", id);  // a hole in the vocabulary
  }
  const bool is_bytes = spec.model == TokenizerModel::kByteBpe;
  keys.emplace_back(key("model"), std::string(is_bytes ? "gpt2" : "llama"));
  if (is_bytes) keys.emplace_back(key("merges"), merge_lines(spec, texts));
  keys.emplace_back(key("tokens"), std::move(texts));
  if (!is_bytes) keys.emplace_back(key("scores"), scores_of(spec));
  keys.emplace_back(key("token_type"), std::move(types));
  add_ids(spec, keys);
  if (!is_bytes) keys.emplace_back(key("add_space_prefix"), spec.strip_leading_space);
  return keys;
}

}  // namespace tern
