// SPDX-License-Identifier: MIT
// The tiny random model, loaded with its byte-level tokenizer, for tests of the engine.
#pragma once

#include "engine/gguf_tokenizer.h"
#include "tests/tools/test_machine.h"

namespace tern::test {

class EngineTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const TestModel random = random_model(*find_shape("tiny"), 1);
    const std::string path = folder_.file("tiny.gguf");
    ASSERT_TRUE(write_gguf(random, gguf_options(random, "auto", "f16").value(), path).ok());
    auto weights = Weights::open(path);
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    auto tokenizer = tokenizer_from_gguf((*weights)->gguf());
    ASSERT_TRUE(tokenizer.ok()) << tokenizer.error().message;
    tokenizer_ = *tokenizer;
    auto model = Model::load(*weights, machine_.backend(), {});
    ASSERT_TRUE(model.ok()) << model.error().message;
    model_ = *model;
    runner_ = new_runner(512);
  }

  std::unique_ptr<Runner> new_runner(int64_t context, int64_t max_rows = 512) {
    RunnerOptions options;
    options.context = context;
    options.max_rows = max_rows;
    return Runner::create(model_, machine_.backend(), options).value();
  }

  TempFolder folder_;
  Machine machine_;
  std::shared_ptr<const Tokenizer> tokenizer_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Runner> runner_;
};

}  // namespace tern::test
