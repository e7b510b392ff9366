// SPDX-License-Identifier: MIT
// Right, or refused with a reason (law 4), at the level of models: each key of each architecture, each
// tensor, each known broken state of real files. A file is described, changed in one place, written, and
// loaded.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <limits>

#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class ConfigTest : public testing::Test {
 protected:
  static GgufContents contents(const char* shape, const char* container = "i2_s") {
    return gguf_contents(random_model(*find_shape(shape), 1), {*find_container(container)});
  }

  Result<std::shared_ptr<const Model>> load(const GgufContents& c, const LoadOptions& options = {}) {
    const Status written = write_contents(c, path_);
    EXPECT_TRUE(written.ok()) << written.error().message;
    return load_model(path_, machine_, options);
  }
  /// The model; a test that gets null has failed already.
  std::shared_ptr<const Model> good(const GgufContents& c, const LoadOptions& options = {}) {
    auto model = load(c, options);
    EXPECT_TRUE(model.ok()) << model.error().message;
    return model.ok() ? *model : nullptr;
  }
  /// The refusal, or "" where the file was accepted. Every refusal is one line and names the file.
  std::string refusal(const GgufContents& c, const LoadOptions& options = {}) {
    const auto model = load(c, options);
    if (model.ok()) return "";
    EXPECT_THAT(model.error().message, HasSubstr(path_));
    EXPECT_EQ(model.error().message.find('\n'), std::string::npos);
    return model.error().message;
  }
  std::vector<float> logits(const GgufContents& c, const LoadOptions& options = {}) {
    auto model = good(c, options);
    if (model == nullptr) return {};
    auto runner = Runner::create(model, machine_.backend(), {.context = 128});
    EXPECT_TRUE(runner.ok());
    Sequence sequence = (*runner)->new_sequence();
    const auto found = (*runner)->feed(sequence, test_tokens(9, model->config().vocab_size));
    EXPECT_TRUE(found.ok()) << found.error().message;
    return found.ok() ? std::vector<float>(found->begin(), found->end()) : std::vector<float>();
  }

  /// Overwrites bytes of a tensor: at `offset` from its front, or from its end where negative.
  static void patch(GgufContents& c, const char* tensor, int64_t offset, std::string bytes) {
    GgufContents::Tensor* t = c.find(tensor);
    ASSERT_NE(t, nullptr) << tensor;
    t->produce = [produce = t->produce, offset, bytes](std::span<std::byte> out) -> Status {
      TERN_TRY(produce(out));
      const int64_t at = offset >= 0 ? offset : static_cast<int64_t>(out.size()) + offset;
      std::memcpy(out.data() + at, bytes.data(), bytes.size());
      return {};
    };
  }
  static std::string f32_bytes(float value) {
    return std::string(reinterpret_cast<const char*>(&value), sizeof(value));
  }

  TempFolder folder_;
  std::string path_ = folder_.file("model.gguf");
  Machine machine_;
};

constexpr const char* kShapes[] = {"tiny", "bitnet-small", "llama-ternary-small", "bitllama-small"};

// ---- keys
// -----------------------------------------------------------------------------------------------------------

TEST_F(ConfigTest, EachShapeLoadsWithTheNumbersItWasWrittenWith) {
  for (const char* name : kShapes) {
    const ModelShape& shape = *find_shape(name);
    const auto model = good(contents(name));
    ASSERT_NE(model, nullptr);
    const Config& c = model->config();
    EXPECT_EQ(c.architecture, shape.architecture);
    EXPECT_EQ(c.hidden_size, static_cast<int64_t>(shape.hidden));
    EXPECT_EQ(c.intermediate_size, static_cast<int64_t>(shape.intermediate));
    EXPECT_EQ(c.num_layers, static_cast<int64_t>(shape.layers));
    EXPECT_EQ(c.num_heads, static_cast<int64_t>(shape.heads));
    EXPECT_EQ(c.num_kv_heads, static_cast<int64_t>(shape.kv_heads));
    EXPECT_EQ(c.head_dim, static_cast<int64_t>(shape.head_dim));
    EXPECT_EQ(c.vocab_size, static_cast<int64_t>(shape.vocab));
    EXPECT_EQ(c.max_seq_len, static_cast<int64_t>(shape.context));
    EXPECT_EQ(c.rms_norm_eps, shape.rms_eps);
    EXPECT_EQ(c.rope_theta, shape.rope_theta);
    EXPECT_EQ(c.rope_adjacent_pairs, !shape.has_sub_norms());
    EXPECT_EQ(c.linear_norm_eps.has_value(), shape.architecture == "bitllama");
    EXPECT_EQ(model->is_tied(), shape.is_tied);
    EXPECT_TRUE(c.doubts.empty()) << c.doubts.front();
  }
}

TEST_F(ConfigTest, ARequiredKeyThatIsMissingIsNamed) {
  for (const char* name : kShapes) {
    const std::string architecture = find_shape(name)->architecture;
    std::vector<std::string> required = {"embedding_length",     "feed_forward_length",
                                         "block_count",          "context_length",
                                         "attention.head_count", "attention.layer_norm_rms_epsilon"};
    if (architecture == "bitllama") required.push_back("linear_norm_epsilon");
    for (const std::string& suffix : required) {
      GgufContents c = contents(name);
      c.remove_key(architecture + "." + suffix);
      EXPECT_THAT(refusal(c), HasSubstr("'" + architecture + "." + suffix + "'")) << name;
    }
    GgufContents c = contents(name);
    c.remove_key("general.architecture");
    EXPECT_THAT(refusal(c), HasSubstr("'general.architecture'"));
  }
}

TEST_F(ConfigTest, AnOptionalKeyThatIsMissingHasItsDefault) {
  GgufContents c = contents("bitllama-small");  // 4 heads, 4 kv heads
  for (const char* suffix :
       {"attention.head_count_kv", "rope.dimension_count", "rope.freq_base", "vocab_size"}) {
    c.remove_key(std::string("bitllama.") + suffix);
  }
  const auto model = good(c);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().num_kv_heads, 4);
  EXPECT_EQ(model->config().rope_dim, 32);
  EXPECT_EQ(model->config().rope_theta, 10000);
  EXPECT_EQ(model->config().vocab_size, 258);
}

TEST_F(ConfigTest, AKeyOfTheWrongTypeOrRangeIsRefused) {
  struct Change {
    const char* key;
    GgufWriteValue value;
    const char* expected;
  };
  const Change changes[] = {
      {"bitnet-b1.58.block_count", std::string("two"), "bitnet-b1.58.block_count"},
      {"bitnet-b1.58.block_count", uint32_t{0}, "bitnet-b1.58.block_count' is 0"},
      {"bitnet-b1.58.block_count", uint32_t{9000}, "the file has only"},
      {"bitnet-b1.58.embedding_length", uint32_t{1u << 30}, "embedding_length' is 1073741824"},
      {"bitnet-b1.58.embedding_length", int32_t{-128}, "embedding_length"},
      {"bitnet-b1.58.attention.head_count", uint32_t{0}, "head_count' is 0"},
      {"bitnet-b1.58.attention.head_count", uint32_t{5}, "5 query heads are not a multiple of 2 kv heads"},
      {"bitnet-b1.58.attention.head_count", uint32_t{6}, "128 is not a multiple of 6 heads"},
      {"bitnet-b1.58.attention.value_length", uint32_t{16}, "tern needs them equal"},
      {"bitnet-b1.58.rope.dimension_count", uint32_t{7}, "expected an even number"},
      {"bitnet-b1.58.rope.dimension_count", uint32_t{64}, "rope.dimension_count' is 64"},
      {"bitnet-b1.58.attention.layer_norm_rms_epsilon", kNan, "layer_norm_rms_epsilon"},
      {"bitnet-b1.58.attention.layer_norm_rms_epsilon", 0.0f, "layer_norm_rms_epsilon' is 0"},
      {"bitnet-b1.58.rope.freq_base", -1.0f, "rope.freq_base' is -1"},
      {"bitnet-b1.58.rope.freq_base", std::numeric_limits<float>::infinity(), "rope.freq_base' is inf"},
      {"bitnet-b1.58.rope.scaling.type", std::string("longrope"),
       "'longrope': tern computes only 'none', 'linear' and 'yarn'"},
      {"bitnet-b1.58.rope.scaling.attn_factor", 1.0f, "rope.scaling.attn_factor' is not one"},
      {"bitnet-b1.58.hidden_activation", std::string("gelu"), "'gelu': tern computes 'silu' and 'relu2'"},
      {"general.architecture", std::string("mamba"),
       "'mamba' is not one that tern computes (bitnet, bitnet-25"},
      {"prism.hadamard.size", uint32_t{128}, "Hadamard"},
      {"tern.i2_s.order", std::string("big"), "expected x86-128, arm-64 or x86-1x4"},
  };
  for (const Change& change : changes) {
    GgufContents c = contents("tiny");
    c.set(change.key, change.value);
    EXPECT_THAT(refusal(c), HasSubstr(change.expected)) << change.key;
  }
}

TEST_F(ConfigTest, LinearRopeScalingDividesPositions) {
  GgufContents c = contents("tiny");
  const auto plain = logits(c);
  c.set("bitnet-b1.58.rope.scaling.type", std::string("linear"));
  c.set("bitnet-b1.58.rope.scaling.factor", 1.0f);
  EXPECT_EQ(logits(c), plain);
  c.set("bitnet-b1.58.rope.scaling.factor", 4.0f);
  EXPECT_NE(logits(c), plain);
  const auto model = good(c);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().rope_linear_factor, 4);
  c.set("bitnet-b1.58.rope.scaling.factor", 0.0f);
  EXPECT_THAT(refusal(c), HasSubstr("rope.scaling.factor' is 0"));
}

/// Writes the shape under another architecture's name.
GgufContents renamed(GgufContents c, const std::string& from, const std::string& to) {
  for (auto& [key, value] : c.keys) {
    if (key.starts_with(from + ".")) key = to + key.substr(from.size());
  }
  c.set("general.architecture", to);
  return c;
}

TEST_F(ConfigTest, AnAbsentActivationIsWhatEachFamilyWasTrainedWith) {
  struct Family {
    const char* architecture;
    GateKind gate;
    const char* word;
  };
  for (const Family& family :
       {Family{"bitnet-b1.58", GateKind::kRelu2, "relu2"}, Family{"bitnet-25", GateKind::kRelu2, "relu2"},
        Family{"bitnet", GateKind::kSilu, "silu"}}) {
    GgufContents c = renamed(contents("tiny"), "bitnet-b1.58", family.architecture);
    const std::string key = std::string(family.architecture) + ".hidden_activation";
    for (const GateKind stated : {GateKind::kRelu2, GateKind::kSilu}) {
      c.set(key, std::string(stated == GateKind::kRelu2 ? "relu2" : "silu"));
      const auto model = good(c);
      ASSERT_NE(model, nullptr);
      EXPECT_EQ(model->config().gate, stated);
      EXPECT_TRUE(model->config().doubts.empty());
    }
    c.remove_key(key);
    const auto model = good(c);
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->config().gate, family.gate) << family.architecture;
    EXPECT_THAT(model->config().doubts, Contains(AllOf(HasSubstr(key), HasSubstr(family.word))));
  }
  GgufContents llama = contents("llama-ternary-small");
  const auto model = good(llama);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().gate, GateKind::kSilu);
}

TEST_F(ConfigTest, AVocabularySizeThatDisagreesIsADoubtAndTheEmbeddingDecides) {
  GgufContents c = contents("tiny");
  c.set("bitnet-b1.58.vocab_size", uint32_t{300});
  const auto model = good(c);
  ASSERT_NE(model, nullptr);
  EXPECT_EQ(model->config().vocab_size, 258);
  EXPECT_THAT(model->config().doubts, Contains(AllOf(HasSubstr("300"), HasSubstr("258"))));
}

// ---- tensors
// --------------------------------------------------------------------------------------------------------

TEST_F(ConfigTest, EveryTensorIsNeeded) {
  for (const char* name : kShapes) {
    const GgufContents whole = contents(name);
    for (const auto& tensor : whole.tensors) {
      GgufContents c = whole;
      c.remove_tensor(tensor.name);
      if (tensor.name == "output.weight") {
        const auto model = good(c);  // then the head is the embedding
        ASSERT_NE(model, nullptr);
        EXPECT_TRUE(model->is_tied());
      } else {
        EXPECT_THAT(refusal(c), HasSubstr("'" + tensor.name + "'")) << name;
      }
    }
  }
}

TEST_F(ConfigTest, EveryShapeIsChecked) {
  for (const char* name : kShapes) {
    const GgufContents whole = contents(name);
    for (size_t i = 0; i < whole.tensors.size(); ++i) {
      GgufContents c = whole;
      auto& tensor = c.tensors[i];
      tensor.dtype = DType::kF32;
      tensor.shape[0] *= 2;
      tensor.produce = [](std::span<std::byte>) { return Status(); };
      EXPECT_THAT(refusal(c),
                  AllOf(HasSubstr("'" + tensor.name + "'"), HasSubstr("expected shape"), HasSubstr("found")))
          << name;
    }
  }
}

TEST_F(ConfigTest, ATensorThatTheArchitectureDoesNotUseIsRefused) {
  for (const char* extra : {"blk.0.attn_q.bias", "blk.1.attn_q_norm.weight", "blk.2.attn_q.weight",
                            "output.bias", "blk.0.attn_norm.scale", "token_embd.scale"}) {
    GgufContents c = contents("tiny");
    c.add_f32(extra, std::vector<float>(1, 1.0f));
    EXPECT_THAT(refusal(c), AllOf(HasSubstr(std::string("'") + extra + "'"), HasSubstr("does not use")));
  }
  GgufContents deeper = contents("tiny");
  deeper.set("bitnet-b1.58.block_count", uint32_t{1});
  EXPECT_THAT(refusal(deeper), AllOf(HasSubstr("'blk.1."), HasSubstr("does not use")));
}

TEST_F(ConfigTest, ASeparateHeadIsUsed) {
  GgufContents c = contents("tiny");
  const auto tied = logits(c);
  c.add_f32("output.weight", std::vector<float>(258 * 128, 0.0f), 258);
  const auto model = good(c);
  ASSERT_NE(model, nullptr);
  EXPECT_FALSE(model->is_tied());
  EXPECT_EQ(logits(c), std::vector<float>(258, 0.0f));
  EXPECT_NE(tied, std::vector<float>(258, 0.0f));
}

TEST_F(ConfigTest, AScaleTensorMultiplies) {
  const TestModel model = random_model(*find_shape("tiny"), 1);
  const float scale = model.tensor("blk.0.attn_v.weight").scale;
  const auto expected = logits(gguf_contents(model, {}));
  GgufContents c = gguf_contents(model, {});
  patch(c, "blk.0.attn_v.weight", -32, f32_bytes(0.25f));  // I2_S: the scale opens the trailer of 32 bytes
  EXPECT_NE(logits(c), expected);
  c.add_f32("blk.0.attn_v.scale", {scale * 4});  // 0.25 * (4 * scale) is exact
  EXPECT_EQ(logits(c), expected);
  c.remove_tensor("blk.0.attn_v.scale");
  c.add_f32("blk.0.attn_v.scale", {kNan});
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("'blk.0.attn_v.scale'"), HasSubstr("not finite")));
  c.remove_tensor("blk.0.attn_v.scale");
  c.add_f32("blk.0.attn_v.scale", {1, 1, 1});  // blocks of rows, but 3 does not divide them
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("'blk.0.attn_v.scale'"), HasSubstr("shape [3]")));
}

TEST_F(ConfigTest, RopeFrequenciesDivide) {
  GgufContents c = contents("llama-ternary-small");
  const auto plain = logits(c);
  c.add_f32("rope_freqs.weight", std::vector<float>(32, 1.0f));
  EXPECT_EQ(logits(c), plain);
  c.remove_tensor("rope_freqs.weight");
  c.add_f32("rope_freqs.weight", std::vector<float>(32, 8.0f));
  EXPECT_NE(logits(c), plain);
  for (const float bad : {0.0f, -1.0f, kNan}) {
    c.remove_tensor("rope_freqs.weight");
    c.add_f32("rope_freqs.weight", std::vector<float>(32, bad));
    EXPECT_THAT(refusal(c), HasSubstr("'rope_freqs.weight': entry 0"));
  }
  c.remove_tensor("rope_freqs.weight");
  c.add_f32("rope_freqs.weight", std::vector<float>(12, 1.0f));
  EXPECT_THAT(refusal(c), HasSubstr("expected shape [32], found [12]"));
}

TEST_F(ConfigTest, ATernaryEmbeddingIsRefused) {
  GgufContents c = contents("tiny");
  auto* embedding = c.find("token_embd.weight");
  embedding->dtype = DType::kI2_S;
  embedding->produce = [](std::span<std::byte>) { return Status(); };
  EXPECT_THAT(refusal(c), AllOf(HasSubstr("'token_embd.weight' has type i2_s"), HasSubstr("--act int16")));
}

// ---- values
// ---------------------------------------------------------------------------------------------------------

TEST_F(ConfigTest, ANormThatIsNotFiniteIsRefusedByName) {
  for (const char* tensor : {"blk.0.attn_norm.weight", "blk.1.attn_sub_norm.weight", "blk.0.ffn_norm.weight",
                             "blk.1.ffn_sub_norm.weight", "output_norm.weight"}) {
    for (const float bad : {kNan, std::numeric_limits<float>::infinity()}) {
      GgufContents c = contents("tiny");
      patch(c, tensor, 12, f32_bytes(bad));
      EXPECT_THAT(refusal(c), AllOf(HasSubstr(std::string("'") + tensor + "'"), HasSubstr("not finite")));
    }
  }
}

TEST_F(ConfigTest, AScaleThatIsNotFiniteIsRefusedByName) {
  struct Place {
    const char* container;
    int64_t offset;  // of the first or the tensor's only scale
    std::string bad;
  };
  const std::string f32_nan = f32_bytes(kNan), f32_inf = f32_bytes(std::numeric_limits<float>::infinity());
  const std::string f16_nan("\x00\x7e", 2), f16_inf("\x00\x7c", 2);
  const Place places[] = {{"i2_s", -32, f32_nan}, {"i2_s", -32, f32_inf},   {"i2_s-arm-64", -32, f32_inf},
                          {"tq1_0", 52, f16_nan}, {"tq2_0", 64, f16_inf},   {"iq1_bn", 0, f16_nan},
                          {"iq2_bn", 0, f32_nan}, {"q2_0_g64", 0, f16_inf}, {"q2_0_g128", 0, f16_nan}};
  for (const Place& place : places) {
    GgufContents c = contents("llama-ternary-small", place.container);
    patch(c, "blk.1.ffn_up.weight", place.offset, place.bad);
    EXPECT_THAT(refusal(c), AllOf(HasSubstr("'blk.1.ffn_up.weight'"), HasSubstr("not finite")))
        << place.container;
  }
}

TEST_F(ConfigTest, CodesWithoutAMeaningAreRefused) {
  struct Place {
    const char* container;
    int64_t offset;
    char byte;
  };
  // I2_S, TQ2_0, IQ2_BN: two-bit code 3. TQ1_0, IQ1_BN: a byte that is not ceil(256 v / 243) for any v: 1 is
  // (v = 1 gives 2, v = 0 gives 0).
  const Place places[] = {{"i2_s", 7, '\xc0'},  {"i2_s-arm-64", 7, '\x30'}, {"i2_s-x86-1x4", 7, '\x0c'},
                          {"tq2_0", 5, '\x03'}, {"iq2_bn", 9, '\xc0'},      {"tq1_0", 5, '\x01'},
                          {"iq1_bn", 6, '\x01'}};
  for (const Place& place : places) {
    GgufContents c = contents("llama-ternary-small", place.container);
    patch(c, "blk.0.ffn_down.weight", place.offset, std::string(1, place.byte));
    EXPECT_THAT(refusal(c),
                AllOf(HasSubstr("'blk.0.ffn_down.weight'"), HasSubstr(fmt::format("byte {}", place.offset))))
        << place.container;
  }
}

// ---- what a container does not say
// ------------------------------------------------------------------------------------

TEST_F(ConfigTest, RopeKeysAreComputedOrRefused) {
  GgufContents c = contents("llama-ternary-small", "i2_s");
  const auto plain = logits(c);
  c.set("llama.rope.scaling.factor", 4.0f);  // without a type: linear, as other readers take it
  const auto scaled = logits(c);
  EXPECT_NE(scaled, plain);
  c.set("llama.rope.scaling.type", std::string("linear"));
  EXPECT_EQ(logits(c), scaled);
  c.set("llama.rope.scaling.type", std::string("none"));
  EXPECT_EQ(logits(c), plain);
  c.set("llama.rope.freq_base", 1e-30f);
  EXPECT_THAT(refusal(c), HasSubstr("RoPE angle"));
  c = contents("llama-ternary-small", "i2_s");
  c.set("llama.rope.dimension_count", uint32_t{2});
  EXPECT_THAT(refusal(c), HasSubstr("rotates a part of a head"));
  c = contents("llama-ternary-small", "i2_s");
  c.set("llama.attention.layer_norm_rms_epsilon", 1e300);
  EXPECT_THAT(refusal(c), HasSubstr("expected a positive number"));
}

TEST_F(ConfigTest, WeightOnlyContainersOfLlamaNeedAnAnswer) {
  for (const char* container : {"q2_0_g64", "q2_0_g128", "tq1_0", "tq2_0"}) {
    GgufContents c = contents("llama-ternary-small", container);
    const auto expected = logits(c);
    c.remove_key("tern.activation");
    EXPECT_THAT(refusal(c), AllOf(HasSubstr("'blk.0.attn_q.weight'"), HasSubstr("--act int8")));
    LoadOptions int8;
    int8.activations = ActivationBits::kInt8;
    EXPECT_EQ(logits(c, int8), expected);
    c.set("tern.activation", std::string("int4"));
    EXPECT_THAT(refusal(c), AllOf(HasSubstr("tern.activation"), HasSubstr("'int4'")));
  }
  for (const char* container : {"i2_s", "iq1_bn", "iq2_bn"}) {  // containers of BitNet models
    GgufContents c = contents("llama-ternary-small", container);
    c.remove_key("tern.activation");
    EXPECT_NE(good(c), nullptr);
  }
}

TEST_F(ConfigTest, TheByteOrderOfI2sComesFromTheKeyTheOptionOrADoubtfulDefault) {
  const auto expected = logits(contents("tiny", "i2_s"));
  for (const char* order : {"x86-128", "arm-64", "x86-1x4"}) {
    GgufContents c = contents("tiny", std::string_view(order) == "x86-128"  ? "i2_s"
                                      : std::string_view(order) == "arm-64" ? "i2_s-arm-64"
                                                                            : "i2_s-x86-1x4");
    EXPECT_EQ(logits(c), expected) << order;
    c.remove_key("tern.i2_s.order");
    LoadOptions options;
    options.i2s_order = *parse_i2s_order(order);
    EXPECT_EQ(logits(c, options), expected) << order;
    const auto model = good(c);  // x86-128 assumed: wrong for two of the three, so it must be said
    ASSERT_NE(model, nullptr);
    EXPECT_THAT(model->config().doubts, Contains(HasSubstr("x86-128 assumed")));
  }
}

/// Overwrites the type id of a tensor in a finished file.
void overwrite_type_id(const std::string& path, const std::string& tensor, uint32_t id) {
  std::ifstream in(path, std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const size_t name = bytes.find(tensor);
  ASSERT_NE(name, std::string::npos);
  uint32_t dims = 0;
  std::memcpy(&dims, bytes.data() + name + tensor.size(), 4);
  std::memcpy(bytes.data() + name + tensor.size() + 4 + 8 * dims, &id, 4);
  std::ofstream(path, std::ios::binary) << bytes;
}

TEST_F(ConfigTest, ClashingTypeIdsAreToldApartOrRefused) {
  for (const char* container : {"q2_0_g64", "q2_0_g128"}) {  // ids 42 and 142; formats tests have both as 42
    const auto model = good(contents("llama-ternary-small", container));
    ASSERT_NE(model, nullptr);
    EXPECT_EQ(model->layers()[0].q.dtype, find_container(container)->dtype);
  }
  for (const auto& [id, meaning] :
       {std::pair{38u, "--tl-config"}, std::pair{39u, "tl2"}, std::pair{40u, "NVFP4"},
        std::pair{142u, "IQ2_TN in old ik_llama"}, std::pair{335u, "2304 bytes"}, std::pair{999u, "999"}}) {
    ASSERT_TRUE(write_contents(contents("tiny"), path_).ok());
    overwrite_type_id(path_, "blk.0.attn_k.weight", id);
    const auto model = load_model(path_, machine_);
    ASSERT_FALSE(model.ok()) << id;
    EXPECT_THAT(model.error().message, AllOf(HasSubstr("blk.0.attn_k.weight"), HasSubstr(meaning)));
  }
}

TEST_F(ConfigTest, ATruncatedFileIsRefused) {
  ASSERT_TRUE(write_contents(contents("tiny"), path_).ok());
  const auto size = std::filesystem::file_size(path_);
  for (const uint64_t left :
       {size - 33, size - 1000, size / 2, size / 10, uint64_t{500}, uint64_t{24}, uint64_t{3}, uint64_t{0}}) {
    std::filesystem::resize_file(path_, left);
    const auto model = load_model(path_, machine_);
    ASSERT_FALSE(model.ok()) << left;
    EXPECT_THAT(model.error().message, HasSubstr(path_));
  }
  std::filesystem::remove(path_);
  const auto model = load_model(path_, machine_);
  ASSERT_FALSE(model.ok());
  EXPECT_THAT(model.error().message, HasSubstr(path_));
}

}  // namespace
}  // namespace tern::test
