// SPDX-License-Identifier: MIT
// What tells the families apart that share an architecture's name: weight-only models from BitNet ones (TriLM
// and Falcon in `llama`, Bonsai and the embedding models in `qwen3`), and the keys and tensors of qwen3. Each
// is either computed as it was trained or refused with a reason.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

class FamiliesTest : public testing::Test {
 protected:
  static GgufContents contents(const char* shape, const char* container) {
    return gguf_contents(random_model(*find_shape(shape), 1), {*find_container(container)});
  }
  /// The configuration from the header alone, as `tern info` sees it.
  Result<Config> inspect(const GgufContents& c) {
    EXPECT_TRUE(write_contents(c, path_).ok());
    TERN_TRY_ASSIGN(const auto weights, Weights::open(path_));
    return inspect_config(*weights);
  }
  /// The activations of a file, and its doubts in *doubts.
  std::string activations(const GgufContents& c, std::vector<std::string>* doubts = nullptr) {
    const auto config = inspect(c);
    if (!config.ok()) return config.error().message;
    if (doubts != nullptr) *doubts = config->doubts;
    return std::string(activation_name(config->activation_bits));
  }
  std::string refusal(const GgufContents& c, const LoadOptions& options = {}) {
    EXPECT_TRUE(write_contents(c, path_).ok());
    const auto model = load_model(path_, machine_, options);
    return model.ok() ? "" : model.error().message;
  }
  std::vector<float> logits(const GgufContents& c, const LoadOptions& options = {}) {
    EXPECT_TRUE(write_contents(c, path_).ok());
    auto model = load_model(path_, machine_, options);
    EXPECT_TRUE(model.ok()) << model.error().message;
    if (!model.ok()) return {};
    auto runner = Runner::create(*model, machine_.backend(), {.context = 64});
    EXPECT_TRUE(runner.ok());
    Sequence sequence = (*runner)->new_sequence();
    const auto found = (*runner)->feed(sequence, test_tokens(9, (*model)->config().vocab_size));
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() ? std::vector<float>(found->begin(), found->end()) : std::vector<float>();
  }
  static LoadOptions with(ActivationBits bits) {
    LoadOptions options;
    options.activations = bits;
    return options;
  }

  TempFolder folder_;
  std::string path_ = folder_.file("model.gguf");
  Machine machine_;
};

// ---- activations

TEST_F(FamiliesTest, TheContainerOrTheSizesTellWhetherActivationsWereQuantised) {
  struct Case {
    const char *shape, *container, *expected;
  };
  for (const Case& c :
       {Case{"falcon3-small", "i2_s", "int8"}, Case{"falcon3-small", "iq1_bn", "int8"},
        Case{"falcon3-small", "tq1_0", "unstated"}, Case{"falcon3-small", "q2_0_g128", "unstated"},
        Case{"bonsai-small", "q1_0", "int16"}, Case{"ternary-bonsai-small", "q2_0_g64", "int16"},
        Case{"ternary-bonsai-small", "q2_0_g128", "int16"}, Case{"ternary-bonsai-small", "ptq1_0", "int16"},
        Case{"embedding-small", "i2_s", "int8"}, Case{"bitnet-small", "tq2_0", "int8"}}) {
    GgufContents file = contents(c.shape, c.container);
    std::vector<std::string> doubts;
    EXPECT_EQ(activations(file, &doubts), c.expected) << c.shape << " " << c.container;
    if (std::string_view(c.expected) == "unstated") {
      EXPECT_THAT(doubts, Contains(HasSubstr("--act int8")));
      EXPECT_THAT(refusal(file), AllOf(HasSubstr("blk.0."), HasSubstr("--act int8 or --act int16")));
    } else {
      EXPECT_THAT(doubts, IsEmpty());
      EXPECT_EQ(refusal(file), "");
    }
    file.set("tern.activation", std::string("f32"));  // the key decides over everything
    EXPECT_EQ(activations(file), "f32");
    file.set("tern.activation", std::string("int4"));
    EXPECT_THAT(refusal(file), AllOf(HasSubstr("tern.activation"), HasSubstr("'int4'")));
  }
}

TEST_F(FamiliesTest, TrilmIsKnownByItsSizes) {
  const ModelShape& trilm = *find_shape("trilm-99m");
  for (const char* container : {"tq1_0", "tq2_0", "q2_0_g64"}) {
    GgufContents c = contents("trilm-small", container);
    c.remove_key("tern.activation");
    EXPECT_EQ(activations(c), "unstated");
    // The header of the 99M; tensors are not looked at here.
    c.set("llama.embedding_length", static_cast<uint32_t>(trilm.hidden));
    c.set("llama.feed_forward_length", static_cast<uint32_t>(trilm.intermediate));
    c.set("llama.block_count", static_cast<uint32_t>(trilm.layers));
    for (const char* key : {"llama.attention.head_count", "llama.attention.head_count_kv"})
      c.set(key, static_cast<uint32_t>(trilm.heads));
    for (const char* key : {"llama.attention.key_length", "llama.attention.value_length"})
      c.set(key, static_cast<uint32_t>(trilm.head_dim));
    c.set("llama.rope.dimension_count", static_cast<uint32_t>(trilm.head_dim));
    std::vector<std::string> doubts;
    EXPECT_EQ(activations(c, &doubts), "int16");
    EXPECT_THAT(doubts, Contains(HasSubstr("TriLM 99M")));
    c.set("llama.attention.head_count_kv", uint32_t{4});  // grouped heads: no TriLM
    EXPECT_EQ(activations(c), "unstated");
  }
}

TEST_F(FamiliesTest, QuantisedContainersThatBothKindsUseNeedAnAnswerInQwen3) {
  GgufContents c = contents("embedding-small", "i2_s");
  for (const auto& tensor : std::vector<GgufContents::Tensor>(c.tensors)) {
    if (tensor.name.ends_with("_norm_in.weight")) c.remove_tensor(tensor.name);
  }
  EXPECT_EQ(activations(c), "unstated");  // a BitNet Qwen3 or a weight-only one
  EXPECT_THAT(refusal(c), HasSubstr("--act"));
  EXPECT_NE(logits(c, with(ActivationBits::kInt8)), logits(c, with(ActivationBits::kInt16)));
}

TEST_F(FamiliesTest, TheAnswerOfTheUserDecidesOverTheFile) {
  const GgufContents c = contents("ternary-bonsai-small", "q2_0_g128");
  const auto by_file = logits(c), in_16 = logits(c, with(ActivationBits::kInt16)),
             in_float = logits(c, with(ActivationBits::kF32));
  EXPECT_EQ(by_file, in_16);
  EXPECT_NE(by_file, in_float);
  float largest = 0, worst = 0;
  for (size_t i = 0; i < in_float.size(); ++i) {
    largest = std::max(largest, std::fabs(in_float[i]));
    worst = std::max(worst, std::fabs(in_float[i] - in_16[i]));
  }
  EXPECT_LE(worst, 1e-3f * largest);  // the bound that tests/scripts/arch_test.py derives
  EXPECT_THAT(refusal(c, with(ActivationBits::kInt8)),
              AllOf(HasSubstr("'token_embd.weight'"), HasSubstr("--act int16")));
}

TEST_F(FamiliesTest, MatricesTooWideForSixteenBitsAreRefused) {
  GgufContents c = contents("trilm-small", "tq2_0");
  constexpr uint32_t kWide = 33024;  // 129 * 256, the first multiple of TQ2_0's block above the limit
  c.set("llama.feed_forward_length", kWide);
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (const char* part : {"ffn_gate", "ffn_up", "ffn_down"}) {
      auto* tensor = c.find(fmt::format("blk.{}.{}.weight", layer, part));
      const bool is_down = std::string_view(part) == "ffn_down";
      tensor->shape = is_down ? std::vector<uint64_t>{kWide, 512} : std::vector<uint64_t>{512, kWide};
      tensor->produce = [](std::span<std::byte> out) {
        std::fill(out.begin(), out.end(), std::byte{0});
        return Status();
      };
    }
  }
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("'blk.0.ffn_down.weight'"), HasSubstr("33024 columns")));
}

// ---- qwen3

TEST_F(FamiliesTest, EachShapeLoadsWithTheNumbersItWasWrittenWith) {
  struct Case {
    const char *shape, *container;
  };
  for (const Case& c : {Case{"bonsai-small", "q1_0"}, Case{"ternary-bonsai-small", "ptq1_0"},
                        Case{"embedding-small", "i2_s"}, Case{"qwen3-dense-small", "i2_s"}}) {
    const ModelShape& shape = *find_shape(c.shape);
    ASSERT_TRUE(write_contents(contents(c.shape, c.container), path_).ok());
    const auto model = load_model(path_, machine_);
    ASSERT_TRUE(model.ok()) << model.error().message;
    const Config& config = (*model)->config();
    EXPECT_TRUE(config.has_qk_norm);
    EXPECT_FALSE(config.rope_adjacent_pairs);
    EXPECT_EQ(config.has_linear_norms, shape.has_linear_norms);
    EXPECT_EQ(config.pooling.has_value(), shape.has_linear_norms);
    EXPECT_EQ(config.head_dim, static_cast<int64_t>(shape.head_dim));
    EXPECT_EQ(config.rope_yarn.has_value(), shape.yarn_factor != 1);
    EXPECT_EQ((*model)->is_tied(), shape.is_tied);
    EXPECT_THAT(config.doubts, IsEmpty());
  }
}

TEST_F(FamiliesTest, EveryTensorOfQwen3IsNeeded) {
  for (const char* shape : {"ternary-bonsai-small", "embedding-small"}) {
    const GgufContents whole = contents(shape, *shape == 't' ? "q2_0_g64" : "i2_s");
    for (const auto& tensor : whole.tensors) {
      if (tensor.name.starts_with("blk.1.")) continue;  // as layer 0
      // Which tensors are there tells embedding models from others: without this one they are not.
      if (tensor.name == "blk.0.attn_q_norm_in.weight") continue;
      GgufContents c = whole;
      c.remove_tensor(tensor.name);
      EXPECT_THAT(refusal(c), HasSubstr("'" + tensor.name + "'"));
    }
  }
  GgufContents c = contents("embedding-small", "i2_s");
  c.remove_tensor("blk.0.attn_q_norm_in.weight");
  EXPECT_THAT(refusal(c), HasSubstr("--act"));
  EXPECT_THAT(refusal(c, with(ActivationBits::kInt8)), HasSubstr("attn_k_norm_in.weight'"));
  c = contents("bonsai-small", "q1_0");
  c.add_f32("blk.0.attn_q.bias", std::vector<float>(384));
  EXPECT_THAT(refusal(c), HasSubstr("'blk.0.attn_q.bias'"));
}

TEST_F(FamiliesTest, YarnKeysAreComputedOrRefused) {
  GgufContents c = contents("ternary-bonsai-small", "q2_0_g64");
  const auto plain = logits(c);
  const auto key = [](const char* suffix) { return std::string("qwen3.rope.scaling.") + suffix; };
  c.set(key("type"), std::string("yarn"));
  c.set(key("factor"), 4.0f);
  EXPECT_THAT(refusal(c), HasSubstr("original_context_length"));  // readers differ in its default
  c.set(key("original_context_length"), uint32_t{1024});
  const auto scaled = logits(c);
  EXPECT_NE(scaled, plain);
  c.set(key("finetuned"), true);
  EXPECT_EQ(logits(c), scaled);
  c.set(key("factor"), 1.0f);  // nothing to stretch: frequencies and magnitude stay
  EXPECT_EQ(logits(c), plain);
  c.set(key("factor"), 0.5f);
  EXPECT_THAT(refusal(c), HasSubstr("expected 1 or more for yarn"));
  c.set(key("factor"), 4.0f);
  c.set(key("attn_factor"), 1.5f);
  EXPECT_THAT(refusal(c), HasSubstr("'qwen3.rope.scaling.attn_factor'"));
  c.remove_key(key("attn_factor"));
  c.set(key("type"), std::string("longrope"));
  EXPECT_THAT(refusal(c), HasSubstr("'longrope'"));
}

TEST_F(FamiliesTest, PoolingIsReadOrAssumedWithADoubt) {
  GgufContents c = contents("embedding-small", "i2_s");
  c.remove_key("qwen3.pooling_type");
  auto config = inspect(c);
  ASSERT_TRUE(config.ok()) << config.error().message;
  EXPECT_EQ(config->pooling, Pooling::kLast);
  EXPECT_THAT(config->doubts, Contains(HasSubstr("qwen3.pooling_type")));
  c.set("qwen3.pooling_type", uint32_t{1});
  config = inspect(c);
  ASSERT_TRUE(config.ok());
  EXPECT_EQ(config->pooling, Pooling::kMean);
  c.set("qwen3.pooling_type", uint32_t{9});
  EXPECT_FALSE(inspect(c).ok());
}

}  // namespace
}  // namespace tern::test
