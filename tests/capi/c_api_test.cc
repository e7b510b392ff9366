// SPDX-License-Identifier: MIT
// The C API does what the engine does: same tokens, same logits, same text; and what its header promises of
// sessions.
#include <gmock/gmock.h>

#include <array>
#include <thread>

#include "engine/chat_session.h"
#include "engine/gguf_tokenizer.h"
#include "tests/capi/capi_fixture.h"

extern "C" size_t c_sizes(size_t* sizes);
extern "C" int c_misuse(void);

namespace tern::test {

namespace {

using ::testing::HasSubstr;

const std::vector<int32_t> kPrompt = {256, 40, 41, 42, 99, 7};

/// The engine itself, without the C API.
struct Engine {
  explicit Engine(const std::string& path) {
    context = std::move(Context::create({.threads = 2, .pin = false})).value();
    weights = std::move(Weights::open(path)).value();
    model = std::move(Model::load(weights, context->backend(), {})).value();
    runner = std::move(Runner::create(model, context->backend(), {})).value();
    tokenizer = std::move(tokenizer_from_gguf(weights->gguf())).value();
  }
  std::unique_ptr<Context> context;
  std::shared_ptr<const Weights> weights;
  std::shared_ptr<const Model> model;
  std::unique_ptr<Runner> runner;
  std::shared_ptr<const Tokenizer> tokenizer;
};

struct Seen {
  std::vector<int32_t> tokens;
  std::string text;
  size_t stop_after = SIZE_MAX;

  static bool take(void* user, int32_t token, const char* text, size_t length) {
    auto* seen = static_cast<Seen*>(user);
    if (token >= 0) seen->tokens.push_back(token);
    seen->text.append(text, length);
    return seen->tokens.size() < seen->stop_after;
  }
};

class CApiTest : public CApi {};

TEST_F(CApiTest, VersionIsTheProjects) { EXPECT_STREQ(tern_version(), TERN_PROJECT_VERSION); }

TEST_F(CApiTest, NumbersAndLayoutsNeverChange) {
  const std::array<std::pair<int, const char*>, 12> statuses = {{{0, "ok"},
                                                                 {1, "usage"},
                                                                 {2, "not found"},
                                                                 {3, "corrupt"},
                                                                 {4, "unsupported"},
                                                                 {5, "io error"},
                                                                 {6, "out of memory"},
                                                                 {7, "numeric"},
                                                                 {8, "cancelled"},
                                                                 {9, "buffer too small"},
                                                                 {10, "busy"},
                                                                 {11, "internal"}}};
  for (const auto& [number, name] : statuses)
    EXPECT_STREQ(tern_status_name(static_cast<tern_status>(number)), name);
  EXPECT_STREQ(tern_status_name(static_cast<tern_status>(12)), "unknown");
  EXPECT_STREQ(tern_status_name(static_cast<tern_status>(-1)), "unknown");
  std::array<size_t, 16> sizes{};
  const size_t count = c_sizes(sizes.data());
  const std::vector<size_t> here = {sizeof(tern_status),          sizeof(tern_context_options),
                                    sizeof(tern_model_options),   sizeof(tern_model_info),
                                    sizeof(tern_session_options), sizeof(tern_generate_params),
                                    sizeof(tern_result)};
  EXPECT_EQ(std::vector<size_t>(sizes.begin(), sizes.begin() + static_cast<int64_t>(count)), here);
  EXPECT_EQ(c_misuse(), 1);
}

TEST_F(CApiTest, DescribesContextAndModel) {
  size_t needed = 0;
  ASSERT_EQ(tern_context_describe(context_.get(), nullptr, 0, &needed), TERN_OK);
  std::string text(needed, '\0');
  ASSERT_EQ(tern_context_describe(context_.get(), text.data(), text.size(), &needed), TERN_OK);
  EXPECT_THAT(text, HasSubstr("1 thread"));
  tern_model_info info{};
  ASSERT_EQ(tern_model_get_info(model_.get(), &info, sizeof info), TERN_OK);
  const ModelShape& shape = *find_shape("tiny");
  EXPECT_EQ(info.vocab_size, static_cast<int64_t>(shape.vocab));
  EXPECT_EQ(info.context_size, static_cast<int64_t>(shape.context));
  EXPECT_EQ(info.num_layers, static_cast<int64_t>(shape.layers));
  EXPECT_EQ(info.head_dim, static_cast<int64_t>(shape.head_dim));
  EXPECT_EQ(info.file_bytes, std::filesystem::file_size(path()));
  EXPECT_EQ(info.bos_token, 256);
  EXPECT_EQ(info.eos_token, 257);
  EXPECT_TRUE(info.has_tokenizer && info.has_chat_template);
  EXPECT_TRUE(tern_model_is_end_token(model_.get(), 257));
  EXPECT_FALSE(tern_model_is_end_token(model_.get(), 65));
}

TEST_F(CApiTest, MetadataAsText) {
  const auto value = [&](std::string_view key) {
    std::array<char, 64> buffer;
    size_t needed = 0;
    const tern_status status =
        tern_model_metadata(model_.get(), key.data(), key.size(), buffer.data(), buffer.size(), &needed);
    return status == TERN_OK ? std::string(buffer.data(), needed)
                             : std::string(tern_status_name(status)) + ": " + error();
  };
  EXPECT_EQ(value("general.architecture"), "bitnet-b1.58");
  EXPECT_EQ(value("bitnet-b1.58.block_count"), "2");
  EXPECT_EQ(value("bitnet-b1.58.attention.layer_norm_rms_epsilon"), "1e-05");
  EXPECT_EQ(value("tokenizer.ggml.add_bos_token"), "true");
  EXPECT_EQ(value("no.such.key"), "not found: the file has no key 'no.such.key'");
  EXPECT_THAT(value("tokenizer.ggml.tokens"),
              HasSubstr("unsupported: key 'tokenizer.ggml.tokens' is an array of 258"));
}

TEST_F(CApiTest, TextsMayContainNul) {
  const std::string text("a\0b\xc3\xa9", 5);
  std::array<int32_t, 16> tokens;
  size_t count = 0;
  ASSERT_EQ(tern_tokenize(model_.get(), text.data(), text.size(), 0, tokens.data(), tokens.size(), &count),
            TERN_OK);
  ASSERT_EQ(count, 6u);  // BOS and one token for each byte
  EXPECT_EQ(tokens[0], 256);
  std::array<char, 16> back;
  ASSERT_EQ(tern_detokenize(model_.get(), tokens.data(), count, 0, back.data(), back.size(), &count),
            TERN_OK);
  EXPECT_EQ(std::string(back.data(), count), text);
  ASSERT_EQ(tern_tokenize(model_.get(), text.data(), text.size(), TERN_TOKENIZE_NO_BOS | TERN_TOKENIZE_EOS,
                          tokens.data(), tokens.size(), &count),
            TERN_OK);
  EXPECT_EQ(tokens[count - 1], 257);
  EXPECT_EQ(count, 6u);
}

TEST_F(CApiTest, LogitsAreTheEnginesBitForBit) {
  Engine engine(path());
  Sequence sequence = engine.runner->new_sequence();
  const auto expected = engine.runner->feed(sequence, kPrompt);
  ASSERT_TRUE(expected.ok());
  const auto session = make_session(model_.get());
  for (const int32_t token : kPrompt) ASSERT_EQ(tern_session_feed(session.get(), &token, 1), TERN_OK);
  for (int round = 0; round < 2; ++round) {
    const float* logits = nullptr;
    size_t count = 0;
    ASSERT_EQ(tern_session_eval(session.get(), &logits, &count), TERN_OK) << error();
    ASSERT_EQ(count, expected->size());
    EXPECT_EQ(std::memcmp(logits, expected->data(), count * sizeof(float)), 0);
    // The second round computes them anew, after other tokens have been there.
    ASSERT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
    ASSERT_EQ(tern_session_eval(session.get(), &logits, &count), TERN_OK);
    ASSERT_EQ(tern_session_truncate(session.get(), kPrompt.size()), TERN_OK);
  }
}

TEST_F(CApiTest, TokensAreTheEnginesOnEveryContext) {
  Engine engine(path());
  const auto other_context = make_context("scalar", 3);
  const auto other_model = open_model(other_context.get(), path());
  for (const float temperature : {0.0f, 1.5f}) {
    GenerateParams expected_params;
    expected_params.sampling.temperature = temperature;
    expected_params.sampling.seed = 11;
    expected_params.max_tokens = 40;
    Sequence sequence = engine.runner->new_sequence();
    const auto expected = generate(*engine.runner, sequence, kPrompt, expected_params);
    ASSERT_TRUE(expected.ok());
    for (tern_model* model : {model_.get(), other_model.get()}) {
      const auto session = make_session(model);
      ASSERT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
      tern_generate_params params = params_of(40, temperature);
      params.seed = 11;
      Seen seen;
      ASSERT_EQ(tern_session_generate(session.get(), &params, Seen::take, &seen), TERN_OK);
      EXPECT_EQ(seen.tokens, expected->tokens);
      EXPECT_EQ(seen.text, engine.tokenizer->decode(expected->tokens, {.at_text_start = false}));
      const tern_result result = result_of(session.get());
      EXPECT_EQ(result.finish, TERN_FINISH_LENGTH);
      EXPECT_EQ(std::vector<int32_t>(result.tokens, result.tokens + result.token_count), expected->tokens);
      EXPECT_EQ(std::string(result.text, result.text_length), seen.text);
      EXPECT_EQ(result.prompt_tokens, static_cast<int64_t>(kPrompt.size()));
    }
  }
}

TEST_F(CApiTest, AnswersInPartsAreTheWhole) {
  const auto whole = make_session(model_.get()), parts = make_session(model_.get());
  for (const auto& session : {whole.get(), parts.get()}) {
    ASSERT_EQ(tern_session_feed(session, kPrompt.data(), kPrompt.size()), TERN_OK);
  }
  const tern_generate_params thirty = params_of(30), ten = params_of(10);
  ASSERT_EQ(tern_session_generate(whole.get(), &thirty, nullptr, nullptr), TERN_OK);
  for (int part = 0; part < 3; ++part) {
    ASSERT_EQ(tern_session_generate(parts.get(), &ten, nullptr, nullptr), TERN_OK);
    const float* logits = nullptr;
    ASSERT_EQ(tern_session_eval(parts.get(), &logits, nullptr), TERN_OK);
  }
  EXPECT_EQ(tokens_of(parts.get()), tokens_of(whole.get()));
  EXPECT_EQ(tokens_of(whole.get()).size(), kPrompt.size() + 30);
}

TEST_F(CApiTest, StopsAndBiases) {
  const auto session = make_session(model_.get());
  const auto answer = [&](const tern_generate_params& params) {
    EXPECT_EQ(tern_session_reset(session.get()), TERN_OK);
    EXPECT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
    Seen seen;
    EXPECT_EQ(tern_session_generate(session.get(), &params, Seen::take, &seen), TERN_OK) << error();
    return seen;
  };
  tern_generate_params params = params_of(20);
  const Seen all = answer(params);
  ASSERT_EQ(all.tokens.size(), 20u);

  const int32_t stop = all.tokens[9];
  const auto first =
      static_cast<size_t>(std::find(all.tokens.begin(), all.tokens.end(), stop) - all.tokens.begin());
  params.stop_tokens = &stop;
  params.stop_token_count = 1;
  EXPECT_EQ(answer(params).tokens.size(), first);
  EXPECT_EQ(result_of(session.get()).finish, TERN_FINISH_STOP);

  params = params_of(20);
  const std::string word = all.text.substr(4, 3);
  const tern_text stop_text = {word.data(), word.size()};
  params.stops = &stop_text;
  params.stop_count = 1;
  EXPECT_EQ(answer(params).text, all.text.substr(0, all.text.find(word)));
  EXPECT_EQ(result_of(session.get()).finish, TERN_FINISH_STOP);

  params = params_of(1);
  const tern_logit_bias bias = {all.tokens[0], -std::numeric_limits<float>::infinity()};
  params.biases = &bias;
  params.bias_count = 1;
  EXPECT_NE(answer(params).tokens, std::vector<int32_t>{all.tokens[0]});
}

TEST_F(CApiTest, CallbackEndsTheAnswer) {
  const auto session = make_session(model_.get());
  ASSERT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
  Seen seen;
  seen.stop_after = 3;
  const tern_generate_params params = params_of(-1);
  ASSERT_EQ(tern_session_generate(session.get(), &params, Seen::take, &seen), TERN_OK);
  EXPECT_EQ(seen.tokens.size(), 3u);
  EXPECT_EQ(result_of(session.get()).finish, TERN_FINISH_CALLBACK);
}

TEST_F(CApiTest, RoomIsLimitedAndSaysSo) {
  tern_session_options options;
  tern_session_options_init(&options, sizeof options);
  options.context_size = 16;
  options.batch_size = 4;
  const auto session = make_session(model_.get(), &options);
  const std::vector<int32_t> many(17, 40);
  EXPECT_EQ(tern_session_feed(session.get(), many.data(), 17), TERN_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(error(), "the session holds 0 tokens and has room for 16: 17 more do not fit");
  ASSERT_EQ(tern_session_feed(session.get(), many.data(), 10), TERN_OK);
  EXPECT_EQ(tern_session_feed(session.get(), many.data(), 7), TERN_ERROR_OUT_OF_MEMORY);
  const tern_generate_params params = params_of(-1);
  ASSERT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
  EXPECT_EQ(result_of(session.get()).finish, TERN_FINISH_CONTEXT);
  EXPECT_EQ(tokens_of(session.get()).size(), 17u);  // the last one has been drawn, nothing has read it
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_ERROR_OUT_OF_MEMORY);
  ASSERT_EQ(tern_session_truncate(session.get(), 8), TERN_OK);
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
}

TEST_F(CApiTest, ConversationIsTheEngines) {
  Engine engine(path());
  ChatSession expected(*engine.runner, engine.tokenizer, std::move(ChatTemplate::parse(kTemplate)).value());
  TextParams expected_params;
  expected_params.generate.sampling.temperature = 0;
  expected_params.generate.max_tokens = 12;
  ASSERT_TRUE(expected.set_system("Be brief.").ok());
  const auto session = make_session(model_.get());
  ASSERT_EQ(tern_session_set_system(session.get(), "Be brief.", 9), TERN_OK);
  tern_generate_params params = params_of(12);
  params.flags = 0;
  for (const std::string question : {"How far?", "And <|end_of_text|> back?"}) {
    const auto answer = expected.ask(question, expected_params);
    ASSERT_TRUE(answer.ok());
    Seen seen;
    ASSERT_EQ(tern_session_ask(session.get(), question.data(), question.size(), &params, Seen::take, &seen),
              TERN_OK);
    EXPECT_EQ(seen.text, answer->text);
    const tern_result result = result_of(session.get());
    EXPECT_EQ(std::vector<int32_t>(result.tokens, result.tokens + result.token_count), answer->raw.tokens);
    EXPECT_EQ(result.cached_tokens, answer->raw.timings.cached_tokens);
  }
  EXPECT_GT(result_of(session.get()).cached_tokens, 0);  // the first turn was kept
}

TEST_F(CApiTest, ATemplateMayComeWithTheOptions) {
  const auto plain = open_model(context_.get(), plain_path());
  auto session = make_session(plain.get());
  EXPECT_EQ(tern_session_ask(session.get(), "Hi", 2, nullptr, nullptr, nullptr), TERN_ERROR_NOT_FOUND);
  EXPECT_THAT(error(), HasSubstr("no chat template"));

  tern_model_options options;
  tern_model_options_init(&options, sizeof options);
  options.chat_template = {kTemplate, std::string_view(kTemplate).size()};
  const auto with_template = open_model(context_.get(), plain_path(), &options);
  session = make_session(with_template.get());
  const auto usual = make_session(model_.get());
  tern_generate_params params = params_of(8);
  Seen seen, expected;
  ASSERT_EQ(tern_session_ask(session.get(), "Hi", 2, &params, Seen::take, &seen), TERN_OK) << error();
  ASSERT_EQ(tern_session_ask(usual.get(), "Hi", 2, &params, Seen::take, &expected), TERN_OK);
  EXPECT_EQ(seen.text, expected.text);

  options.chat_template = {"{% for %}", 9};
  tern_model* broken = nullptr;
  EXPECT_NE(tern_model_open(context_.get(), plain_path().data(), plain_path().size(), &options, &broken),
            TERN_OK);
  EXPECT_EQ(broken, nullptr);
}

TEST_F(CApiTest, AFileWithoutTokenizerServesTokens) {
  const auto bare = open_model(context_.get(), no_tokenizer_path());
  const auto session = make_session(bare.get()), usual = make_session(model_.get());
  const tern_generate_params params = params_of(10);
  for (tern_session* each : {session.get(), usual.get()}) {
    ASSERT_EQ(tern_session_feed(each, kPrompt.data(), kPrompt.size()), TERN_OK);
    ASSERT_EQ(tern_session_generate(each, &params, nullptr, nullptr), TERN_OK);
  }
  EXPECT_EQ(tokens_of(session.get()), tokens_of(usual.get()));
  EXPECT_EQ(result_of(session.get()).text_length, 0u);
  EXPECT_EQ(tern_tokenize(bare.get(), "a", 1, 0, nullptr, 0, nullptr), TERN_ERROR_NOT_FOUND);
  EXPECT_THAT(error(), HasSubstr("tokenizer.ggml.model"));
}

TEST_F(CApiTest, HandlesMayBeDestroyedInAnyOrder) {
  auto context = make_context();
  auto model = open_model(context.get(), path());
  const auto session = make_session(model.get());
  context.reset();
  model.reset();
  ASSERT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
  const tern_generate_params params = params_of(3);
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
  EXPECT_EQ(tern_session_feed(session.get(), nullptr, 1), TERN_ERROR_USAGE);
}

TEST_F(CApiTest, ProgressOfLoading) {
  tern_model_options options;
  tern_model_options_init(&options, sizeof options);
  int64_t last = -1;
  options.progress = [](void* user, int64_t done, int64_t total) {
    EXPECT_LE(done, total);
    *static_cast<int64_t*>(user) = done;
  };
  options.progress_user = &last;
  EXPECT_NE(open_model(context_.get(), path(), &options), nullptr);
  EXPECT_GT(last, 0);
}

}  // namespace

}  // namespace tern::test
