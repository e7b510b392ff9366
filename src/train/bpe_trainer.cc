// SPDX-License-Identifier: MIT
#include "train/bpe_trainer.h"

#include <algorithm>
#include <optional>
#include <queue>
#include <unordered_map>

#include "core/check.h"
#include "text/byte_alphabet.h"
#include "text/pretokenize.h"
#include "train/tokenizer_writer.h"

namespace tern::train {
namespace {

constexpr size_t kLongestPiece = 256;  // bytes

struct TextHash {
  using is_transparent = void;
  size_t operator()(std::string_view s) const { return std::hash<std::string_view>()(s); }
};
using Counts = std::unordered_map<std::string, int64_t, TextHash, std::equal_to<>>;

class Counter final : public PieceSink {
 public:
  Counter(Counts& counts, int64_t times) : counts_(counts), times_(times) {}
  void piece(std::string_view text) override {
    if (text.size() < 2 || text.size() > kLongestPiece) return;  // one byte has no pair
    if (const auto found = counts_.find(text); found != counts_.end()) {
      found->second += times_;
    } else {
      counts_.emplace(text, times_);
    }
  }

 private:
  Counts& counts_;
  int64_t times_;
};

using Pair = std::pair<int32_t, int32_t>;
struct PairHash {
  size_t operator()(const Pair& p) const {
    const uint64_t key =
        static_cast<uint64_t>(static_cast<uint32_t>(p.first)) << 32 | static_cast<uint32_t>(p.second);
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15u) >> 16);
  }
};

struct Word {
  std::vector<int32_t> ids;
  int64_t count;
};

// The pairs of all words and how often each stands, kept exact while pairs are merged. The heap is lazy: an
// entry whose count is no longer true is put back with the true one when it comes up.
class Merger {
 public:
  Merger(const Counts& counts, int32_t first_byte_id) {
    words_.reserve(counts.size());
    for (const auto& [text, count] : counts) {
      Word word{{}, count};
      word.ids.reserve(text.size());
      for (const char c : text) word.ids.push_back(first_byte_id + static_cast<uint8_t>(c));
      const auto index = static_cast<uint32_t>(words_.size());
      for (size_t i = 0; i + 1 < word.ids.size(); ++i) change({word.ids[i], word.ids[i + 1]}, count, index);
      words_.push_back(std::move(word));
    }
    publish();
  }

  // The most frequent pair; of equal ones the lowest. nullopt where none stands twice.
  std::optional<Pair> best() {
    while (!heap_.empty()) {
      const Entry top = heap_.top();
      const int64_t count = pairs_[top.pair].count;
      if (count == top.count) return top.pair;
      heap_.pop();
      if (count < top.count && count > 1) heap_.push({count, top.pair});
    }
    return std::nullopt;
  }

  // Never to be merged.
  void forbid(Pair pair) { pairs_[pair].count = INT64_MIN / 2; }

  // Replaces the pair by `id` in every word, from the left.
  void merge(Pair pair, int32_t id) {
    const std::vector<uint32_t> words = std::move(pairs_[pair].words);
    for (const uint32_t index : words) merge_in(index, pair, id);
    pairs_.erase(pair);
    publish();
  }

 private:
  struct Entry {
    int64_t count;
    Pair pair;
    bool operator<(const Entry& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  struct PairInfo {
    int64_t count = 0;
    std::vector<uint32_t> words;  // where it stands or stood, some more than once
  };

  void change(Pair pair, int64_t by, uint32_t word) {
    PairInfo& info = pairs_[pair];
    info.count += by;
    if (by > 0) {
      if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
      grown_.push_back(pair);
    }
  }

  void publish() {
    std::sort(grown_.begin(), grown_.end());
    grown_.erase(std::unique(grown_.begin(), grown_.end()), grown_.end());
    for (const Pair& pair : grown_) {
      if (const auto found = pairs_.find(pair); found != pairs_.end() && found->second.count > 1) {
        heap_.push({found->second.count, pair});
      }
    }
    grown_.clear();
  }

  // A word keeps its place in memory; `to` is how far the new ids reach.
  void merge_in(uint32_t index, Pair pair, int32_t id) {
    std::vector<int32_t>& ids = words_[index].ids;
    const int64_t count = words_[index].count;
    size_t to = 0;
    for (size_t i = 0; i < ids.size();) {
      if (i + 1 == ids.size() || ids[i] != pair.first || ids[i + 1] != pair.second) {
        ids[to++] = ids[i++];
        continue;
      }
      if (to > 0) {
        change({ids[to - 1], pair.first}, -count, index);
        change({ids[to - 1], id}, count, index);
      }
      if (i + 2 < ids.size()) {
        change({pair.second, ids[i + 2]}, -count, index);
        change({id, ids[i + 2]}, count, index);
      }
      ids[to++] = id;
      i += 2;
    }
    ids.resize(to);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, PairInfo, PairHash> pairs_;
  std::priority_queue<Entry> heap_;
  std::vector<Pair> grown_;  // since the last publish()
};

}  // namespace

struct BpeTrainer::Impl {
  std::string pre;
  PreTokenizer pre_tokenizer;
  Counts counts;
};

BpeTrainer::BpeTrainer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
BpeTrainer::BpeTrainer(BpeTrainer&&) noexcept = default;
BpeTrainer::~BpeTrainer() = default;

Result<BpeTrainer> BpeTrainer::create(std::string_view pre) {
  const auto recipe = pre_recipe(pre);
  if (!recipe || (pre != "gpt-2" && pre != "llama-bpe")) {
    return make_error(ErrorCode::kUsage, "pre-tokenizer: expected gpt-2 or llama-bpe, found '{}'", pre);
  }
  TERN_TRY_ASSIGN(auto cutter, PreTokenizer::create(recipe->steps, UnicodeVersion::k16));
  return BpeTrainer(std::make_unique<Impl>(Impl{std::string(pre), std::move(cutter), {}}));
}

void BpeTrainer::add(std::string_view text, int64_t times) {
  Counter counter(impl_->counts, times);
  impl_->pre_tokenizer.split(text, counter);
}

Result<BpeVocabulary> BpeTrainer::train(int32_t vocab_size, std::vector<std::string> special) const {
  const size_t smallest = 256 + special.size();
  if (vocab_size < 0 || static_cast<size_t>(vocab_size) < smallest || vocab_size > 1'000'000) {
    return make_error(ErrorCode::kUsage,
                      "vocabulary size: expected {} (256 bytes, {} special tokens) to 1000000, found {}",
                      smallest, special.size(), vocab_size);
  }
  BpeVocabulary v;
  v.pre = impl_->pre;
  v.special = static_cast<int32_t>(special.size());
  std::unordered_map<std::string, int32_t> ids;  // by the text that tokenizer.json has: special or alphabet
  const auto add = [&](std::string text, std::string bytes) {
    const auto [at, is_new] = ids.emplace(std::move(text), static_cast<int32_t>(v.tokens.size()));
    if (is_new) v.tokens.push_back(std::move(bytes));
    return at->second;
  };
  for (std::string& text : special) add(text, text);
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes(1, static_cast<char>(byte));
    add(alphabet_of_bytes(bytes), bytes);
  }
  if (v.tokens.size() != smallest) {
    return make_error(ErrorCode::kUsage, "special tokens: one stands there twice or is a single byte's text");
  }
  Merger merger(impl_->counts, v.special);
  while (v.tokens.size() < static_cast<size_t>(vocab_size)) {
    const auto pair = merger.best();
    if (!pair) break;
    std::string bytes = v.tokens[pair->first] + v.tokens[pair->second];
    std::string text = alphabet_of_bytes(bytes);
    if (const auto found = ids.find(text); found != ids.end() && found->second < v.special) {
      merger.forbid(*pair);  // text that spells a special token must not become it
      continue;
    }
    const int32_t id = add(std::move(text), std::move(bytes));
    v.merges.push_back(*pair);
    merger.merge(*pair, id);
  }
  return v;
}

std::string tokenizer_json(const BpeVocabulary& v) {
  TokenizerSpec spec;
  spec.tokens = v.tokens;
  spec.types.assign(v.tokens.size(), TokenType::kNormal);
  std::fill_n(spec.types.begin(), v.special, TokenType::kControl);
  spec.merges = v.merges;
  spec.ignore_merges = v.pre == "llama-bpe";
  auto json = write_tokenizer_json(spec, v.pre);
  TERN_CHECK(json.ok(), "train() makes what can be written");
  return std::move(*json);
}

}  // namespace tern::train
