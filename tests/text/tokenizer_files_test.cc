// SPDX-License-Identifier: MIT
// The readers of tokenizer files: what each accepts, what each refuses with one line, and the SentencePiece
// reader against the SentencePiece library where that is installed.
#include <gtest/gtest.h>

#include <bit>
#include <random>

#include "tests/text/test_tokenizers.h"
#ifdef TERN_TEST_SENTENCEPIECE
#  include <sentencepiece_processor.h>
#endif

namespace tern {
namespace {

std::string json_with(const std::string& normalizer, const std::string& pre, const std::string& decoder,
                      const std::string& extra_model = "") {
  return R"({"version":"1.0","added_tokens":[{"id":6,"content":"<|x|>","special":true,"lstrip":false,"rstrip":true,
    "single_word":false,"normalized":false},{"id":7,"content":"<y>","special":false,"normalized":false}],"normalizer":)" +
         normalizer + R"(,"pre_tokenizer":)" + pre + R"(,"post_processor":null,"decoder":)" + decoder +
         R"(,"model":{"type":"BPE","unk_token":"<unk>",)" + extra_model +
         R"("vocab":{"<unk>":0,"a":1,"b":2,"ab":3,"\u2581":4,"\u2581a":5},"merges":["a b",["\u2581","a"]]}})";
}

Result<std::shared_ptr<const Tokenizer>> from_json(const std::string& json) {
  TERN_TRY_ASSIGN(auto spec, parse_tokenizer_json(json));
  return Tokenizer::create(std::move(spec));
}

void expect_refused(const std::string& json, const std::string& needle) {
  const auto tokenizer = from_json(json);
  ASSERT_FALSE(tokenizer.ok()) << json;
  const std::string& message = tokenizer.error().message;
  EXPECT_NE(message.find(needle), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

TEST(TokenizerJson, SmallCharBpe) {
  const auto tokenizer = from_json(json_with("null", "null", "null"));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  const Tokenizer& t = **tokenizer;
  EXPECT_EQ(t.encode("abc"), (std::vector<int32_t>{3, 0}));
  EXPECT_EQ(t.encode("a<y>b"), (std::vector<int32_t>{1, 7, 2}));  // user-defined: always
  EXPECT_EQ(t.encode("a<|x|>  b", {.parse_special = true}), (std::vector<int32_t>{1, 6, 2}));  // rstrip
  EXPECT_EQ(t.encode("<|x|>").size(), 5u);  // not allowed: five unknown characters, which are not fused
  EXPECT_EQ(t.decode(std::vector<int32_t>{6, 3}), "ab");
  EXPECT_EQ(t.decode(std::vector<int32_t>{6, 3}, {.render_special = true}), "<|x|>ab");
}

TEST(TokenizerJson, Metaspace) {
  const std::string decoder = R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always"})";
  const auto tokenizer = from_json(
      json_with("null", R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"always"})", decoder));
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
  EXPECT_EQ((*tokenizer)->encode("ab a"), (std::vector<int32_t>{4, 3, 5}));
  EXPECT_EQ((*tokenizer)->decode(std::vector<int32_t>{4, 3, 5}), "ab a");
  const auto first = from_json(json_with(
      "null", R"({"type":"Metaspace","replacement":"\u2581","prepend_scheme":"first","split":false})",
      decoder));
  ASSERT_TRUE(first.ok());
  EXPECT_EQ((*first)->encode("a<y>a"), (std::vector<int32_t>{5, 7, 1}));
}

TEST(TokenizerJson, NormalizersAndSteps) {
  const auto t = from_json(json_with(
      R"({"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true},
          {"type":"Replace","pattern":{"String":"c"},"content":"a"},{"type":"Replace","pattern":{"Regex":"d+"},"content":"b"}]})",
      R"({"type":"Sequence","pretokenizers":[{"type":"WhitespaceSplit"},{"type":"Digits","individual_digits":true},
          {"type":"Punctuation","behavior":"Removed"},{"type":"Split","pattern":{"Regex":"x+"},"behavior":"Removed","invert":false}]})",
      "null"));
  ASSERT_TRUE(t.ok()) << t.error().message;
  EXPECT_EQ((*t)->encode("  C\uFF24 A.b xx B  "), (std::vector<int32_t>{3, 1, 2, 2}));
}

TEST(TokenizerJson, RefusesByName) {
  expect_refused(json_with(R"({"type":"Precompiled","precompiled_charsmap":"AA=="})", "null", "null"),
                 "Precompiled");
  expect_refused(json_with(R"({"type":"BertNormalizer"})", "null", "null"), "BertNormalizer");
  expect_refused(json_with("null", R"({"type":"BertPreTokenizer"})", "null"), "BertPreTokenizer");
  expect_refused(json_with("null", "null", R"({"type":"WordPiece"})"), "WordPiece");
  expect_refused(json_with("null", "null", "null", R"("continuing_subword_prefix":"##",)"), "##");
  expect_refused(json_with("null", "null", "null", R"("dropout":0.1,)"), "dropout");
  expect_refused(
      json_with("null", R"({"type":"Split","pattern":{"Regex":"[a&&b]"},"behavior":"Isolated"})", "null"),
      "&&");
  expect_refused(
      json_with("null", R"({"type":"Split","pattern":{"Regex":"("},"behavior":"Isolated"})", "null"), "(");
  expect_refused(
      json_with(R"({"type":"Replace","pattern":{"String":"a"},"content":")" + std::string(100, 'x') + "\"}",
                "null", "null"),
      "longer");
  expect_refused(R"({"model":{"type":"WordLevel","vocab":{}}})", "WordLevel");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":0},"merges":["a b"]}})", "merges[0]");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b"]}})", "merge 0");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}})", "id 0");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":2000000000},"merges":[]}})", "2000000000");
  expect_refused(R"({"model":{"type":"BPE","vocab":{"a":-1},"merges":[]}})", "id");
  expect_refused(R"({"model":{"type":"BPE","vocab":[],"merges":[]}})", "object");
  expect_refused("{", "JSON");
  expect_refused("", "JSON");
  expect_refused("[]", "object");
  expect_refused("{}", "model");
  expect_refused(R"({"model":{"type":"Unigram","vocab":[["a",-1]],"unk_id":7}})", "unk_id");
  expect_refused(R"({"model":{"type":"Unigram","vocab":[["a"]]}})", "vocab[0]");
}

TEST(TokenizerSpec, RefusesWhatContradictsItself) {
  const auto base = [] {
    TokenizerSpec spec;
    spec.source = "test";
    spec.tokens = {"a", "b"};
    return spec;
  };
  const auto refused = [](TokenizerSpec spec) { return !Tokenizer::create(std::move(spec)).ok(); };
  EXPECT_FALSE(refused(base()));
  auto s = base();
  s.tokens.clear();
  EXPECT_TRUE(refused(s));
  s = base();
  s.types = {TokenType::kNormal};
  EXPECT_TRUE(refused(s));
  s = base();
  s.merges = {{0, 5}};
  EXPECT_TRUE(refused(s));
  s = base();
  s.merges = {{0, 1}};  // "ab" is no token
  EXPECT_TRUE(refused(s));
  for (const float score :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    s = base();
    s.model = TokenizerModel::kCharBpe;
    s.merge_rule = MergeRule::kByScore;
    s.scores = {0, score};
    EXPECT_TRUE(refused(s));
  }
  s = base();
  s.eos = 2;
  EXPECT_TRUE(refused(s));
  s = base();
  s.pad = 9;  // harmless: dropped, and said
  const auto padded = Tokenizer::create(s);
  ASSERT_TRUE(padded.ok());
  EXPECT_FALSE((*padded)->pad_id().has_value());
  EXPECT_FALSE((*padded)->doubts().empty());
  s = base();
  s.tokens.push_back(std::string(5000, 'x'));
  EXPECT_TRUE(refused(s));
  s = base();
  s.tokens.push_back("a");  // twice: the first counts, and it is said
  const auto twice = Tokenizer::create(s);
  ASSERT_TRUE(twice.ok());
  EXPECT_EQ((*twice)->encode("a"), std::vector<int32_t>{0});
}

TEST(Tokenizer, BosIsNotDoubled) {
  TERN_REQUIRE_DATA(file, "tokenizers/llama3/tokenizer.model");
  const auto t =
      test::load_tokenizer({"llama3", "", "tokenizers/llama3/tokenizer.model", test::read_llama3_spec});
  ASSERT_NE(t, nullptr);
  const auto once = t->encode("<|begin_of_text|>Hi", {.parse_special = true, .add_bos = true});
  EXPECT_EQ(once, t->encode("Hi", {.add_bos = true}));
  EXPECT_EQ(t->encode("", {.add_bos = true}), std::vector<int32_t>{128000});
  EXPECT_TRUE(t->is_end(128001));
  EXPECT_TRUE(t->is_end(128009));
  EXPECT_FALSE(t->is_end(128000));
  EXPECT_EQ(t->find("<|eot_id|>"), 128009);
  EXPECT_NE(t->description().find("128256 tokens"), std::string::npos) << t->description();
}

TEST(Tokenizer, LeadingSpaceOfSentencePiece) {
  TERN_REQUIRE_DATA(file, "tokenizers/llama2/tokenizer.model");
  const auto t = test::load_tokenizer({"llama2", "", "tokenizers/llama2/tokenizer.model",
                                       [](const std::string& b) { return parse_sentencepiece(b); }});
  ASSERT_NE(t, nullptr);
  const auto ids = t->encode("Hello", {.add_bos = false});
  EXPECT_EQ(t->decode(ids), "Hello");
  EXPECT_EQ(t->decode(ids, {.at_text_start = false}), " Hello");
  EXPECT_NE(ids, t->encode("Hello", {.add_bos = false, .at_text_start = false}));
  EXPECT_EQ(t->find(" Hello"), ids[0]);
}

TEST(Tiktoken, RefusesBrokenLines) {
  EXPECT_TRUE(looks_like_tiktoken("IQ== 0\nIg== 1\n"));
  EXPECT_FALSE(looks_like_tiktoken("\x0a\x05hello"));
  for (const char* bad :
       {"IQ==0\n", "IQ= 0\n", "IQ== x\n", "IQ== 1\n", "I=== 0\n", "IQ== 0 \n", "IQ== -1\n", "IQ== 0\nIQ"}) {
    EXPECT_FALSE(parse_tiktoken(bad, "gpt-2").ok()) << bad;
  }
  EXPECT_FALSE(parse_tiktoken("IQ== 0\n", "no-such-pre").ok());
  auto spec = parse_tiktoken("IQ== 0\r\nIg== 1\n\n", "gpt-2");
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->tokens, (std::vector<std::string>{"!", "\""}));
  EXPECT_FALSE(add_special_tokens(*spec, {{"<x>", 2'000'000'000}}, true).ok());
  EXPECT_FALSE(add_special_tokens(*spec, {{"<x>", 0}}, true).ok());
  EXPECT_FALSE(Tokenizer::create(*spec).ok());  // 254 bytes have no rank
}

std::string varint(uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += static_cast<char>(v | 0x80);
  return out + static_cast<char>(v);
}
std::string field(int number, const std::string& bytes) {
  return varint(number << 3 | 2) + varint(bytes.size()) + bytes;
}
std::string field(int number, uint64_t value) { return varint(number << 3) + varint(value); }
std::string piece(const std::string& text, float score, int type) {
  std::string body = field(1, text) + varint(2 << 3 | 5);
  const uint32_t bits = std::bit_cast<uint32_t>(score);
  for (int i = 0; i < 4; ++i) body += static_cast<char>(bits >> (8 * i));
  return field(1, body + field(3, static_cast<uint64_t>(type)));
}

TEST(SentencePiece, ReadsWhatItNeeds) {
  const std::string pieces = piece("<unk>", 0, 2) + piece("<s>", 0, 3) + piece("</s>", 0, 3) +
                             piece("\u2581", -3, 1) + piece("a", -2, 1) + piece("\u2581a", -1, 1);
  const auto spec =
      parse_sentencepiece(pieces + field(2, field(3, uint64_t{2})) + field(3, field(4, uint64_t{1})));
  ASSERT_TRUE(spec.ok()) << spec.error().message;
  EXPECT_EQ(spec->bos, 1);
  const auto t = Tokenizer::create(*spec);
  ASSERT_TRUE(t.ok()) << t.error().message;
  EXPECT_EQ((*t)->encode("  a   a ", {.add_bos = false}),
            (std::vector<int32_t>{5, 5}));  // extra spaces removed
  EXPECT_EQ((*t)->encode("<s>a", {.parse_special = true, .add_bos = false}), (std::vector<int32_t>{1, 5}));
}

TEST(SentencePiece, RefusesBrokenFiles) {
  const std::string good = piece("<unk>", 0, 2) + piece("a", -1, 1) + field(2, field(3, uint64_t{2}));
  ASSERT_TRUE(parse_sentencepiece(good).ok());
  EXPECT_FALSE(parse_sentencepiece("").ok());
  EXPECT_FALSE(parse_sentencepiece(good + field(2, field(3, uint64_t{3}))).ok());  // word model
  EXPECT_FALSE(parse_sentencepiece(good + piece("", 0, 1)).ok());                  // empty piece
  EXPECT_FALSE(parse_sentencepiece(good + piece("x", 0, 7)).ok());                 // no such type
  EXPECT_FALSE(parse_sentencepiece(good + "\x0a\xff\xff\xff\xff\x0f").ok());       // length beyond the end
  EXPECT_FALSE(parse_sentencepiece(good + std::string(11, '\xff')).ok());          // endless varint
  for (size_t n = 1; n < good.size(); ++n)
    (void)parse_sentencepiece(good.substr(0, n)).ok();  // must not crash
  auto nan = parse_sentencepiece(good + piece("x", std::numeric_limits<float>::quiet_NaN(), 1));
  ASSERT_TRUE(nan.ok());
  EXPECT_FALSE(Tokenizer::create(*nan).ok());
}

const char* const kModels[] = {"spm-hf-fixtures/test_sentencepiece_bpe.model",
                               "spm-hf-fixtures/test_sentencepiece_no_bos.model",
                               "spm-hf-fixtures/test_sentencepiece_unigram.model",
                               "spm-hf-fixtures/test_sentencepiece_with_bytefallback.model",
                               "llama2/tokenizer.model",
                               "tok512/tok512.model"};

TEST(SentencePiece, RealModelsLoad) {
  for (const std::string name : kModels) {
    TERN_REQUIRE_DATA(path, "tokenizers/" + name);
    auto spec = parse_sentencepiece(test::read_file(path));
    ASSERT_TRUE(spec.ok()) << name << ": " << spec.error().message;
    const auto t = Tokenizer::create(std::move(*spec));
    ASSERT_TRUE(t.ok()) << name << ": " << t.error().message;
    EXPECT_EQ((*t)->decode((*t)->encode("This is a test.")), "This is a test.") << name;
  }
}

#ifdef TERN_TEST_SENTENCEPIECE
TEST(SentencePiece, SameIdsAsTheLibrary) {
  std::vector<std::string> texts = {"",
                                    " ",
                                    "  two  spaces ",
                                    "Hello, world!",
                                    "\u00e9\u0301 \ufb01 \u2460 \uff21\uff22",
                                    "\u3000\u2003mixed\tspaces\nand lines",
                                    "\u4e2d\u6587\u3068\u65e5\u672c\u8a9e",
                                    "<s> </s> <unk>"};
  for (const char* file : {"corpora/flores200/eng_Latn.devtest", "corpora/flores200/jpn_Jpan.devtest",
                           "corpora/flores200/arb_Arab.devtest", "corpora/flores200/vie_Latn.devtest"}) {
    TERN_REQUIRE_DATA(path, file);
    std::ifstream lines(path);
    std::string line;
    for (int i = 0; i < 150 && std::getline(lines, line); ++i) texts.push_back(line);
  }
  for (const std::string name : kModels) {
    TERN_REQUIRE_DATA(path, "tokenizers/" + name);
    const std::string bytes = test::read_file(path);
    sentencepiece::SentencePieceProcessor library;
    ASSERT_TRUE(library.LoadFromSerializedProto(bytes).ok());
    auto spec = parse_sentencepiece(bytes);
    ASSERT_TRUE(spec.ok());
    const auto ours = Tokenizer::create(std::move(*spec));
    ASSERT_TRUE(ours.ok());
    for (const std::string& text : texts) {
      std::vector<int> want;
      ASSERT_TRUE(library.Encode(text, &want).ok());
      const auto got = (*ours)->encode(text, {.add_bos = false, .add_eos = false});
      EXPECT_EQ(got, std::vector<int32_t>(want.begin(), want.end())) << name << ": " << text;
      std::string back;
      ASSERT_TRUE(library.Decode(want, &back).ok());
      // The library writes U+2047 for unknown tokens; we write nothing.
      const bool unknown = std::count(want.begin(), want.end(), library.unk_id()) > 0;
      if (!unknown) {
        EXPECT_EQ((*ours)->decode(got), back) << name;
      }
    }
  }
}
#endif

}  // namespace
}  // namespace tern
