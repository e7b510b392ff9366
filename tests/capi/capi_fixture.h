// SPDX-License-Identifier: MIT
// What the tests of the C API share: small model files, handles that close themselves, and an engine beside
// the API.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/context.h"
#include "runtime/runner.h"
#include "tern/tern.h"
#include "tests/tools/test_models.h"

namespace tern::test {

inline constexpr const char* kTemplate =
    "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{% if add_generation_prompt "
    "%}[assistant] {% endif %}";

struct Free {
  void operator()(tern_context* handle) const { tern_context_destroy(handle); }
  void operator()(tern_model* handle) const { tern_model_close(handle); }
  void operator()(tern_session* handle) const { tern_session_destroy(handle); }
};
template <class T>
using Handle = std::unique_ptr<T, Free>;

inline Handle<tern_context> make_context(const char* isa = "auto", int threads = 1) {
  tern_context_options options;
  tern_context_options_init(&options, sizeof options);
  options.isa = {isa, std::string_view(isa).size()};
  options.threads = threads;
  tern_context* context = nullptr;
  EXPECT_EQ(tern_context_create(&options, &context), TERN_OK) << tern_context_last_error(context, nullptr);
  return Handle<tern_context>(context);
}

inline Handle<tern_model> open_model(tern_context* context, const std::string& path,
                                     const tern_model_options* options = nullptr) {
  tern_model* model = nullptr;
  EXPECT_EQ(tern_model_open(context, path.data(), path.size(), options, &model), TERN_OK)
      << tern_context_last_error(context, nullptr);
  return Handle<tern_model>(model);
}

inline Handle<tern_session> make_session(tern_model* model, const tern_session_options* options = nullptr) {
  tern_session* session = nullptr;
  EXPECT_EQ(tern_session_create(model, options, &session), TERN_OK);
  return Handle<tern_session>(session);
}

inline tern_generate_params params_of(int64_t max_tokens, float temperature = 0) {
  tern_generate_params params;
  tern_generate_params_init(&params, sizeof params);
  params.max_tokens = max_tokens;
  params.temperature = temperature;
  params.flags = TERN_GENERATE_IGNORE_END;
  return params;
}

inline std::vector<int32_t> tokens_of(const tern_session* session) {
  size_t count = 0;
  EXPECT_EQ(tern_session_tokens(session, nullptr, 0, &count), TERN_OK);
  std::vector<int32_t> tokens(count);
  EXPECT_EQ(tern_session_tokens(session, tokens.data(), count, &count), TERN_OK);
  return tokens;
}

inline tern_result result_of(const tern_session* session) {
  tern_result result{};
  EXPECT_EQ(tern_session_get_result(session, &result, sizeof result), TERN_OK);
  return result;
}

/// One tiny model in three files: with a chat template, without, and without a tokenizer. Written once for
/// each program.
class CApi : public ::testing::Test {
 protected:
  static std::string folder() { return ::testing::TempDir() + "tern-capi-" + std::to_string(::getpid()); }

  static void SetUpTestSuite() {
    std::filesystem::create_directories(folder());
    const TestModel model = random_model(*find_shape("tiny"), 5);
    const auto options = gguf_options(model, "auto", "f16");
    ASSERT_TRUE(options.ok());
    GgufContents contents = gguf_contents(model, *options);
    ASSERT_TRUE(write_contents(contents, plain_path()).ok());
    contents.set("tokenizer.chat_template", std::string(kTemplate));
    ASSERT_TRUE(write_contents(contents, path()).ok());
    contents.remove_key("tokenizer.ggml.model");
    ASSERT_TRUE(write_contents(contents, no_tokenizer_path()).ok());
  }
  static void TearDownTestSuite() { std::filesystem::remove_all(folder()); }

  static std::string path() { return folder() + "/chat.gguf"; }
  static std::string plain_path() { return folder() + "/plain.gguf"; }
  static std::string no_tokenizer_path() { return folder() + "/no-tokenizer.gguf"; }

  std::string error() const { return tern_context_last_error(context_.get(), nullptr); }

  Handle<tern_context> context_ = make_context();
  Handle<tern_model> model_ = open_model(context_.get(), path());
};

}  // namespace tern::test
