// SPDX-License-Identifier: MIT
// tern.hpp: values out, errors as exceptions, callbacks that may throw; and that it can be used beside
// namespace tern.
#include <array>
#include <stdexcept>

#include "tern/tern.hpp"
#include "tests/capi/capi_fixture.h"

namespace tern::test {

namespace {

class CppApiTest : public CApi {
 protected:
  api::Context context2_{{.threads = 2, .isa = "scalar", .pin = false}};
  api::Model model2_{context2_, path()};
};

api::GenerateParams greedy(int64_t max_tokens) {
  api::GenerateParams params;
  static_cast<tern_generate_params&>(params) = params_of(max_tokens);
  return params;
}

TEST_F(CppApiTest, AnswersAreThoseOfTheCApi) {
  const std::vector<int32_t> prompt = model2_.tokenize("Once");
  EXPECT_EQ(model2_.detokenize(prompt), "Once");
  EXPECT_EQ(model2_.metadata("general.architecture"), "bitnet-b1.58");
  EXPECT_EQ(model2_.info().bos_token, prompt[0]);
  const auto session = make_session(model_.get());
  ASSERT_EQ(tern_session_feed(session.get(), prompt.data(), prompt.size()), TERN_OK);
  const tern_generate_params params = params_of(12);
  ASSERT_EQ(tern_session_generate(session.get(), &params, nullptr, nullptr), TERN_OK);

  api::Session other(model2_);
  other.feed(prompt);
  EXPECT_EQ(other.eval().size(), static_cast<size_t>(model2_.info().vocab_size));
  std::string seen;
  const api::Answer answer = other.generate(greedy(12), [&](int32_t, std::string_view text) {
    seen += text;
    return true;
  });
  EXPECT_EQ(other.tokens(), tokens_of(session.get()));
  EXPECT_EQ(answer.text, seen);
  EXPECT_EQ(answer.tokens.size(), 12u);
  EXPECT_EQ(answer.finish, TERN_FINISH_LENGTH);
  other.truncate(2);
  EXPECT_EQ(other.tokens().size(), 2u);
}

TEST_F(CppApiTest, ViewsOfAllKinds) {
  api::Session session(model2_);
  session.feed({256, 40});
  session.feed(std::array<int32_t, 1>{41});
  const int32_t plain[] = {42, 43};
  session.feed(plain);
  session.feed({});
  EXPECT_EQ(session.tokens(), (std::vector<int32_t>{256, 40, 41, 42, 43}));
}

TEST_F(CppApiTest, OwnedLists) {
  api::Session session(model2_);
  session.feed({256, 40, 41});
  api::GenerateParams params = greedy(20);
  const api::Answer all = session.generate(params);
  session.truncate(3);
  params.stop_texts.push_back(all.text.substr(3, 2));
  const api::Answer stopped = session.generate(params);
  EXPECT_EQ(stopped.finish, TERN_FINISH_STOP);
  EXPECT_EQ(stopped.text, all.text.substr(0, all.text.find(params.stop_texts[0])));
}

TEST_F(CppApiTest, ErrorsCarryStatusAndText) {
  try {
    api::Model(context2_, folder() + "/missing.gguf");
    FAIL() << "a missing file was opened";
  } catch (const api::Error& e) {
    EXPECT_EQ(e.status(), TERN_ERROR_NOT_FOUND);
    EXPECT_NE(std::string(e.what()).find("missing.gguf"), std::string::npos);
  }
  EXPECT_THROW(api::Context({.threads = -3, .isa = "", .pin = false}), api::Error);
  api::Session session(model2_);
  EXPECT_THROW(session.feed({-1}), api::Error);
  EXPECT_THROW(session.eval(), api::Error);
}

TEST_F(CppApiTest, ExceptionsOfCallbacksComeOut) {
  api::Session session(model2_);
  session.feed({256, 40});
  int calls = 0;
  const auto fail = [&](int32_t, std::string_view) -> bool {
    ++calls;
    throw std::out_of_range("mine");
  };
  EXPECT_THROW(session.generate(greedy(5), fail), std::out_of_range);
  EXPECT_EQ(calls, 1);
}

TEST_F(CppApiTest, CancelledIsAnAnswer) {
  api::Session session(model2_);
  session.set_system("Be brief.");
  const api::Answer answer = session.ask("Why?", greedy(-1), [&](int32_t, std::string_view) {
    session.cancel();
    return true;
  });
  EXPECT_TRUE(answer.is_cancelled());
  EXPECT_FALSE(answer.tokens.empty());
  session.reset();
  EXPECT_EQ(session.ask("Why?", greedy(3)).tokens.size(), 3u);
}

TEST_F(CppApiTest, ASessionKeepsWhatItStandsOn) {
  api::Session session = [] {
    const api::Context context({.threads = 1, .isa = "", .pin = false});
    return api::Session(api::Model(context, path()));
  }();
  session.feed({256, 40});
  EXPECT_EQ(session.generate(greedy(2)).tokens.size(), 2u);
}

}  // namespace

}  // namespace tern::test
