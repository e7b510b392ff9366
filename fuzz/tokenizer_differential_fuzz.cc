// SPDX-License-Identifier: MIT
// Any text against statements that must hold for every text: the hand-written splitters cut as their regular
// expressions do, pieces join to the text, the short and the long BPE engine and a naive one agree, text
// comes back, and streaming gives what the whole gives. Also looks for slow texts (run with -timeout).
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/check.h"
#include "text/pretokenize.h"
#include "text/stop_strings.h"
#include "text/stream_decoder.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

namespace tern {
namespace {

struct Collect final : PieceSink {
  std::vector<std::string_view> pieces;
  void piece(std::string_view text) override { pieces.push_back(text); }
};

std::vector<std::string_view> split(const PreTokenizer& pre, std::string_view text) {
  Collect sink;
  pre.split(text, sink);
  return sink.pieces;
}

struct Pair {
  PreTokenizer hand, regex;
};

Pair make_pair(const char* name, const std::vector<const char*>& expressions) {
  std::vector<PreStep> steps;
  for (const char* e : expressions) {
    PreStep step;
    step.kind = PreStep::Kind::kRegex;
    step.text = e;
    steps.push_back(step);
  }
  // PCRE2 10.42 has the classes of Unicode 14.
  return {*PreTokenizer::create(pre_recipe(name)->steps, UnicodeVersion::k14),
          *PreTokenizer::create(steps, UnicodeVersion::k14)};
}

constexpr const char* kLlama3 =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| "
    "?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|"
    "\\s+(?!\\S)|\\s+";
constexpr const char* kGpt2 =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

// Bytes, and merges that make long tokens of few letters.
std::shared_ptr<const Tokenizer> byte_tokenizer(bool whole_text) {
  TokenizerSpec spec;
  spec.source = "fuzz";
  spec.merge_rule = MergeRule::kById;  // any pair that joins to a token, so the joined text decides
  for (int b = 0; b < 256; ++b) spec.tokens.push_back(std::string(1, static_cast<char>(b)));
  const auto merge = [&](int32_t a, int32_t b) {
    spec.tokens.push_back(spec.tokens[a] + spec.tokens[b]);
    return static_cast<int32_t>(spec.tokens.size() - 1);
  };
  const int32_t aa = merge('a', 'a'), ab = merge('a', 'b'), ba = merge('b', 'a');
  merge(merge(aa, aa), aa);
  merge(aa, ab);
  merge(ba, 'b');
  merge(' ', ' ');
  merge(0xE2, 0x82);
  if (!whole_text) spec.pre_tokenizer = pre_recipe("llama-bpe")->steps;
  return *Tokenizer::create(std::move(spec));
}

std::vector<int32_t> naive(const Tokenizer& t, std::string_view text) {
  std::vector<std::string> parts;
  for (const char c : text) parts.emplace_back(1, c);
  for (;;) {
    int32_t best = INT32_MAX;  // ids of merged tokens are in the order of the merges
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto id = t.find(parts[i] + parts[i + 1]);
      if (id && *id < best) {
        best = *id;
        at = i;
      }
    }
    if (best == INT32_MAX) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  std::vector<int32_t> ids;
  for (const std::string& part : parts) ids.push_back(*t.find(part));
  return ids;
}

struct World {
  std::vector<Pair> pairs;
  std::shared_ptr<const Tokenizer> cut = byte_tokenizer(false), whole = byte_tokenizer(true);
  std::shared_ptr<const StopSet> stops = *StopSet::create({"stop", "top", "ab", "\n\n"});
  World() {
    pairs.push_back(make_pair("llama-bpe", {kLlama3}));
    pairs.push_back(make_pair("gpt-2", {kGpt2}));
    pairs.push_back(make_pair("falcon_e", {"[\\p{P}\\$\\+<=>\\^~\\|`]+", kGpt2, "[0-9]"}));
    pairs.push_back(make_pair("deepseek-coder", {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
                                                 "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+", "\\p{N}"}));
    pairs.push_back(make_pair("default", {"[\\p{P}\\$\\+<=>\\^~\\|]+", kGpt2, "\\p{N}+", "[0-9][0-9][0-9]"}));
  }
};

void check(const World& world, std::string_view text) {
  for (const Pair& pair : world.pairs) {
    const auto pieces = split(pair.hand, text);
    TERN_CHECK(pieces == split(pair.regex, text), "hand-written splitter and expression differ");
    size_t at = 0;
    for (const std::string_view piece : pieces) {
      TERN_CHECK(!piece.empty() && piece.data() == text.data() + at, "pieces do not join to the text");
      at += piece.size();
    }
    TERN_CHECK(at == text.size(), "text is missing behind the last piece");
  }
  const auto ids = world.cut->encode(text);
  TERN_CHECK(world.cut->decode(ids, {.replace_invalid = false}) == text, "text does not come back");
  if (text.size() <= 300) TERN_CHECK(world.whole->encode(text) == naive(*world.whole, text), "BPE differs");

  StreamDecoder stream(world.cut);
  StopStrings filter(world.stops), at_once(world.stops);
  std::string joined, shown;
  for (const int32_t id : ids) {
    const std::string part = stream.push(id);
    TERN_CHECK(is_valid_utf8(part), "half a character");
    joined += part;
    shown += filter.push(part);
  }
  const std::string rest = stream.finish();
  joined += rest;
  shown += filter.push(rest);
  shown += filter.finish();
  TERN_CHECK(joined == world.cut->decode(ids, {.at_text_start = false}), "streamed text differs");
  const std::string whole = at_once.push(joined) + at_once.finish();
  TERN_CHECK(shown == whole && filter.stopped() == at_once.stopped(), "stop strings depend on the cuts");
}

}  // namespace
}  // namespace tern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tern::World world;  // made once; immutable
  tern::check(world, std::string_view(reinterpret_cast<const char*>(data), size));
  return 0;
}
