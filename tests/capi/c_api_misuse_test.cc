// SPDX-License-Identifier: MIT
// The C API used wrongly, cancelled, re-entered and thrown through: each gives a status and a text, and the
// handle goes on.
#include <gmock/gmock.h>

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "tests/capi/capi_fixture.h"

namespace tern::test {

namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::vector<int32_t> kPrompt = {256, 40, 41, 42};

class CApiMisuseTest : public CApi {
 protected:
  Handle<tern_session> fed_session() const {
    auto session = make_session(model_.get());
    EXPECT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_OK);
    return session;
  }
};

TEST_F(CApiMisuseTest, NullHandles) {
  size_t n = 0;
  int32_t token = 0;
  const float* logits = nullptr;
  tern_model* model = nullptr;
  tern_session* session = nullptr;
  tern_model_info info{};
  tern_result result{};
  EXPECT_EQ(tern_context_create(nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_context_describe(nullptr, nullptr, 0, &n), TERN_ERROR_USAGE);
  EXPECT_STREQ(tern_context_last_error(nullptr, &n), "");
  EXPECT_EQ(tern_model_open(nullptr, "x", 1, nullptr, &model), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_model_get_info(nullptr, &info, sizeof info), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_model_metadata(nullptr, "x", 1, nullptr, 0, &n), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_tokenize(nullptr, "x", 1, 0, nullptr, 0, &n), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_detokenize(nullptr, &token, 1, 0, nullptr, 0, &n), TERN_ERROR_USAGE);
  EXPECT_FALSE(tern_model_is_end_token(nullptr, 0));
  EXPECT_EQ(tern_session_create(nullptr, nullptr, &session), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_reset(nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_feed(nullptr, &token, 1), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_tokens(nullptr, nullptr, 0, &n), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_truncate(nullptr, 0), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_eval(nullptr, &logits, &n), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_generate(nullptr, nullptr, nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_set_system(nullptr, "x", 1), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_ask(nullptr, "x", 1, nullptr, nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_get_result(nullptr, &result, sizeof result), TERN_ERROR_USAGE);
  tern_session_cancel(nullptr, true);
  tern_session_destroy(nullptr);
  tern_model_close(nullptr);
  tern_context_destroy(nullptr);
  tern_context_options_init(nullptr, 8);
  tern_generate_params_init(nullptr, 8);
}

TEST_F(CApiMisuseTest, NullArgumentsAreNamed) {
  const auto session = fed_session();
  EXPECT_EQ(tern_model_open(context_.get(), nullptr, 3, nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "model is null");
  EXPECT_EQ(tern_tokenize(model_.get(), nullptr, 3, 0, nullptr, 0, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "text is null");
  EXPECT_EQ(tern_tokenize(model_.get(), nullptr, 0, 0, nullptr, 0, nullptr), TERN_OK);  // the empty text
  EXPECT_EQ(tern_session_feed(session.get(), nullptr, 1), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "tokens is null");
  EXPECT_EQ(tern_session_eval(session.get(), nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "logits is null");
  EXPECT_EQ(tern_session_create(model_.get(), nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_get_result(session.get(), nullptr, 8), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_model_get_info(model_.get(), nullptr, 8), TERN_ERROR_USAGE);
}

TEST_F(CApiMisuseTest, AFailedContextKeepsItsText) {
  tern_context_options options;
  tern_context_options_init(&options, sizeof options);
  options.isa = {"mmx", 3};
  tern_context* context = nullptr;
  ASSERT_EQ(tern_context_create(&options, &context), TERN_ERROR_USAGE);
  ASSERT_NE(context, nullptr);
  size_t length = 0;
  EXPECT_THAT(tern_context_last_error(context, &length), HasSubstr("mmx"));
  EXPECT_EQ(length, std::strlen(tern_context_last_error(context, nullptr)));
  tern_model* model = nullptr;
  EXPECT_EQ(tern_model_open(context, path().data(), path().size(), nullptr, &model), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_context_describe(context, nullptr, 0, nullptr), TERN_ERROR_USAGE);
  tern_context_destroy(context);

  options.isa = {nullptr, 0};
  options.threads = -1;
  ASSERT_EQ(tern_context_create(&options, &context), TERN_ERROR_USAGE);
  EXPECT_THAT(tern_context_last_error(context, nullptr), HasSubstr("threads is -1"));
  tern_context_destroy(context);
}

TEST_F(CApiMisuseTest, BadFiles) {
  tern_model* model = reinterpret_cast<tern_model*>(this);
  const std::string missing = folder() + "/missing.gguf";
  EXPECT_EQ(tern_model_open(context_.get(), missing.data(), missing.size(), nullptr, &model),
            TERN_ERROR_NOT_FOUND);
  EXPECT_THAT(error(), HasSubstr(missing));
  EXPECT_EQ(model, nullptr);
  const std::string with_nul = path() + std::string("\0x", 2);
  EXPECT_EQ(tern_model_open(context_.get(), with_nul.data(), with_nul.size(), nullptr, &model),
            TERN_ERROR_USAGE);
  EXPECT_EQ(tern_model_open(context_.get(), folder().data(), folder().size(), nullptr, &model),
            TERN_ERROR_IO);
  const std::string torn = folder() + "/torn.gguf";
  std::filesystem::copy_file(path(), torn);
  std::filesystem::resize_file(torn, std::filesystem::file_size(path()) / 2);
  EXPECT_EQ(tern_model_open(context_.get(), torn.data(), torn.size(), nullptr, &model), TERN_ERROR_CORRUPT);
  EXPECT_THAT(error(), HasSubstr("torn.gguf"));
}

TEST_F(CApiMisuseTest, StructsOfOtherSizes) {
  struct Later {
    tern_session_options known;
    uint64_t later;
  } options{};
  tern_session_options_init(&options.known,
                            sizeof options);  // a caller of a later version: the rest becomes zero
  EXPECT_EQ(options.later, 0u);
  tern_session* session = nullptr;
  ASSERT_EQ(tern_session_create(model_.get(), &options.known, &session), TERN_OK);
  tern_session_destroy(session);
  options.later = 1;
  EXPECT_EQ(tern_session_create(model_.get(), &options.known, &session), TERN_ERROR_UNSUPPORTED);
  EXPECT_THAT(error(), HasSubstr("tern_session_options"));
  for (const size_t size : {size_t{0}, sizeof(tern_session_options) - 1, size_t{1} << 40, SIZE_MAX}) {
    options.known.size = size;
    EXPECT_EQ(tern_session_create(model_.get(), &options.known, &session), TERN_ERROR_USAGE);
    EXPECT_THAT(error(), HasSubstr("tern_session_options_init"));
  }
  // A caller of an earlier version has a shorter struct, which must not be written past its end.
  tern_model_info info{};
  info.hidden_size = -7;
  ASSERT_EQ(tern_model_get_info(model_.get(), &info, offsetof(tern_model_info, hidden_size)), TERN_OK);
  EXPECT_GT(info.context_size, 0);
  EXPECT_EQ(info.hidden_size, -7);
}

TEST_F(CApiMisuseTest, SmallBuffersAreLeftAlone) {
  std::vector<int32_t> tokens(3, -5);
  size_t needed = 0;
  EXPECT_EQ(tern_tokenize(model_.get(), "abcd", 4, 0, tokens.data(), tokens.size(), &needed),
            TERN_ERROR_BUFFER_TOO_SMALL);
  EXPECT_EQ(needed, 5u);
  EXPECT_EQ(tokens, std::vector<int32_t>(3, -5));
  EXPECT_EQ(error(), "the buffer holds 3 tokens, 5 are needed");
  const int32_t ids[] = {40, 41};
  char text = 'x';
  EXPECT_EQ(tern_detokenize(model_.get(), ids, 2, 0, &text, 1, &needed), TERN_ERROR_BUFFER_TOO_SMALL);
  EXPECT_EQ(needed, 2u);
  EXPECT_EQ(text, 'x');
}

TEST_F(CApiMisuseTest, IdsOutsideTheVocabulary) {
  const auto session = fed_session();
  for (const int32_t bad : {-1, 258, INT32_MAX, INT32_MIN}) {
    const int32_t ids[] = {1, bad};
    EXPECT_EQ(tern_session_feed(session.get(), ids, 2), TERN_ERROR_USAGE);
    EXPECT_THAT(error(), StartsWith("token 1 of 2 is " + std::to_string(bad)));
    EXPECT_EQ(tern_detokenize(model_.get(), ids, 2, 0, nullptr, 0, nullptr), TERN_ERROR_USAGE);
    tern_generate_params params = params_of(1);
    params.stop_tokens = ids;
    params.stop_token_count = 2;
    EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_ERROR_USAGE);
    const tern_logit_bias bias = {bad, 1.0f};
    params = params_of(1);
    params.biases = &bias;
    params.bias_count = 1;
    EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_ERROR_USAGE);
  }
  EXPECT_EQ(tokens_of(session.get()), kPrompt);
}

TEST_F(CApiMisuseTest, WrongParameters) {
  const auto session = fed_session();
  const auto status_with = [&](auto&& change) {
    tern_generate_params params = params_of(2);
    change(params);
    return tern_session_generate(session.get(), &params, nullptr, nullptr);
  };
  EXPECT_EQ(status_with([](auto& p) { p.temperature = std::nanf(""); }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.temperature = -1; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.top_p = 2; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.max_tokens = -2; }), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "max_tokens is -2, expected -1 (no limit) or more");
  EXPECT_EQ(status_with([](auto& p) { p.flags = 1u << 31; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.bias_count = 1; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.stop_token_count = 1; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto& p) { p.stop_count = 1; }), TERN_ERROR_USAGE);
  const tern_text empty = {nullptr, 0};
  EXPECT_EQ(status_with([&](auto& p) { p.stops = &empty, p.stop_count = 1; }), TERN_ERROR_USAGE);
  EXPECT_EQ(status_with([](auto&) {}), TERN_OK);
  EXPECT_EQ(tern_tokenize(model_.get(), "a", 1, 1u << 30, nullptr, 0, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_detokenize(model_.get(), nullptr, 0, 1u << 30, nullptr, 0, nullptr), TERN_ERROR_USAGE);

  const auto create_with = [&](auto&& change) {
    tern_session_options options;
    tern_session_options_init(&options, sizeof options);
    change(options);
    tern_session* made = nullptr;
    const tern_status status = tern_session_create(model_.get(), &options, &made);
    tern_session_destroy(made);
    return status;
  };
  EXPECT_EQ(create_with([](auto& o) { o.context_size = -1; }), TERN_ERROR_USAGE);
  EXPECT_EQ(create_with([](auto& o) { o.context_size = INT64_MAX; }), TERN_ERROR_USAGE);
  EXPECT_EQ(create_with([](auto& o) { o.batch_size = 1 << 20; }), TERN_ERROR_USAGE);
  EXPECT_EQ(create_with([](auto& o) { o.kv_type = 3; }), TERN_ERROR_USAGE);
  EXPECT_EQ(create_with([](auto& o) { o.flags = 2; }), TERN_ERROR_USAGE);
  EXPECT_EQ(create_with([](auto& o) { o.kv_type = TERN_KV_F32; }), TERN_OK);
}

TEST_F(CApiMisuseTest, EmptySessions) {
  const auto session = make_session(model_.get());
  const float* logits = nullptr;
  EXPECT_EQ(result_of(session.get()).finish, TERN_FINISH_NONE);
  EXPECT_EQ(tern_session_eval(session.get(), &logits, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_generate(session.get(), nullptr, nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_EQ(tern_session_truncate(session.get(), 1), TERN_ERROR_USAGE);
  EXPECT_EQ(error(), "cannot keep 1 tokens, the session holds 0");
  EXPECT_EQ(tern_session_feed(session.get(), nullptr, 0), TERN_OK);
}

TEST_F(CApiMisuseTest, OneUseUntilReset) {
  const auto session = fed_session();
  const tern_generate_params params = params_of(2);
  EXPECT_EQ(tern_session_ask(session.get(), "Hi", 2, &params, nullptr, nullptr), TERN_ERROR_USAGE);
  EXPECT_THAT(error(), HasSubstr("sequence of tokens"));
  EXPECT_EQ(tokens_of(session.get()), kPrompt);
  ASSERT_EQ(tern_session_reset(session.get()), TERN_OK);
  EXPECT_EQ(tern_session_ask(session.get(), "Hi", 2, &params, nullptr, nullptr), TERN_OK);
  EXPECT_EQ(tern_session_feed(session.get(), kPrompt.data(), kPrompt.size()), TERN_ERROR_USAGE);
  EXPECT_THAT(error(), HasSubstr("conversation"));
}

TEST_F(CApiMisuseTest, CancelFromTheCallback) {
  const auto session = fed_session();
  tern_generate_params params = params_of(-1);
  const auto cancel = [](void* user, int32_t, const char*, size_t) {
    tern_session_cancel(static_cast<tern_session*>(user), true);
    return true;
  };
  ASSERT_EQ(tern_session_generate(session.get(), &params, cancel, session.get()), TERN_ERROR_CANCELLED);
  EXPECT_EQ(error(), "cancelled after 1 tokens of the answer");
  const tern_result result = result_of(session.get());
  EXPECT_EQ(result.finish, TERN_FINISH_CANCELLED);
  EXPECT_EQ(result.token_count, 1u);
  EXPECT_EQ(tokens_of(session.get()).size(), kPrompt.size() + 1);
  params.max_tokens = 2;  // the request has been answered: the session goes on
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
  ASSERT_EQ(tern_session_reset(session.get()), TERN_OK);
  params.max_tokens = -1;
  EXPECT_EQ(tern_session_ask(session.get(), "Hi", 2, &params, cancel, session.get()), TERN_ERROR_CANCELLED);
}

TEST_F(CApiMisuseTest, CancelFromAnotherThread) {
  const auto session = fed_session();
  // The other thread cancels while the call is inside its callback, whatever the scheduling.
  const auto wait_for_cancel = [](void* user, int32_t, const char*, size_t) {
    std::thread([user] { tern_session_cancel(static_cast<tern_session*>(user), true); }).join();
    return true;
  };
  const tern_generate_params params = params_of(-1);
  EXPECT_EQ(tern_session_generate(session.get(), &params, wait_for_cancel, session.get()),
            TERN_ERROR_CANCELLED);
}

TEST_F(CApiMisuseTest, CancelBeforeTheCall) {
  const auto session = fed_session();
  const tern_generate_params params = params_of(2);
  const float* logits = nullptr;
  tern_session_cancel(session.get(), true);
  EXPECT_EQ(tern_session_eval(session.get(), &logits, nullptr), TERN_ERROR_CANCELLED);
  EXPECT_EQ(tern_session_eval(session.get(), &logits, nullptr), TERN_OK);
  tern_session_cancel(session.get(), true);
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_ERROR_CANCELLED);
  EXPECT_EQ(result_of(session.get()).token_count, 0u);
  tern_session_cancel(session.get(), true);
  tern_session_cancel(session.get(), false);
  EXPECT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
}

struct Reentry {
  tern_session* session;
  tern_model* model;
  std::vector<tern_status> statuses = {};

  static bool call(void* user, int32_t, const char*, size_t) {
    auto* self = static_cast<Reentry*>(user);
    const float* logits = nullptr;
    const int32_t token = 1;
    const auto everything = [&] {
      self->statuses.push_back(tern_session_feed(self->session, &token, 1));
      self->statuses.push_back(tern_session_eval(self->session, &logits, nullptr));
      self->statuses.push_back(tern_session_reset(self->session));
      self->statuses.push_back(tern_session_generate(self->session, nullptr, nullptr, nullptr));
      self->statuses.push_back(tern_tokenize(self->model, "a", 1, 0, nullptr, 0, nullptr));
    };
    everything();
    std::thread(everything).join();
    return true;
  }
};

TEST_F(CApiMisuseTest, ASecondCallFindsTheContextBusy) {
  const auto session = fed_session(), alone = fed_session();
  const tern_generate_params params = params_of(1);
  Reentry reentry{session.get(), model_.get()};
  ASSERT_EQ(tern_session_generate(session.get(), &params, Reentry::call, &reentry), TERN_OK);
  EXPECT_EQ(reentry.statuses, std::vector<tern_status>(10, TERN_ERROR_BUSY));
  ASSERT_EQ(tern_session_generate(alone.get(), &params, nullptr, nullptr), TERN_OK);
  EXPECT_EQ(tokens_of(session.get()), tokens_of(alone.get()));
}

TEST_F(CApiMisuseTest, DestroyedByItsOwnCallback) {
  tern_session* session = fed_session().release();
  const tern_generate_params params = params_of(5);
  const auto destroy = [](void* user, int32_t, const char*, size_t) {
    auto** handle = static_cast<tern_session**>(user);
    tern_session_destroy(*handle);
    *handle = nullptr;
    return true;
  };
  EXPECT_EQ(tern_session_generate(session, &params, destroy, &session), TERN_OK);
  EXPECT_EQ(session, nullptr);
}

TEST_F(CApiMisuseTest, ThrownThrough) {
  const auto session = fed_session();
  const tern_generate_params params = params_of(5);
  const auto fail = [](void*, int32_t, const char*, size_t) -> bool {
    throw std::runtime_error("not a C function");
  };
  EXPECT_EQ(tern_session_generate(session.get(), &params, fail, nullptr), TERN_ERROR_INTERNAL);
  EXPECT_EQ(error(), "not a C function");
  const auto no_memory = [](void*, int32_t, const char*, size_t) -> bool { throw std::bad_alloc(); };
  EXPECT_EQ(tern_session_generate(session.get(), &params, no_memory, nullptr), TERN_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(error(), "out of memory");
  const auto odd = [](void*, int32_t, const char*, size_t) -> bool { throw 5; };
  EXPECT_EQ(tern_session_generate(session.get(), &params, odd, nullptr), TERN_ERROR_INTERNAL);
  // The session is as before.
  const auto fresh = fed_session();
  ASSERT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);
  ASSERT_EQ(tern_session_generate(fresh.get(), &params, nullptr, nullptr), TERN_OK);
  EXPECT_EQ(tokens_of(session.get()), tokens_of(fresh.get()));
}

}  // namespace

}  // namespace tern::test
