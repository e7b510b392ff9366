// SPDX-License-Identifier: MIT
// Hugging Face directories of every storage become files whose logits are those of the same model written as
// GGUF directly, bit for bit: trits, scales, norms, order of q/k rows and RoPE convention are then all right.
#include <gtest/gtest.h>

#include <fstream>

#include "core/float16.h"
#include "tests/convert/convert_fixture.h"

namespace tern::test {
namespace {

constexpr const char* kShapes[] = {"tiny", "bitnet-small", "bitnet-odd", "llama-ternary-small",
                                   "llama-dense-odd"};

TestModel model_of(const char* shape) {
  TestModel model = random_model(*find_shape(shape), 7);
  model.vocabulary = {};  // logits only
  return model;
}

class Import : public ::testing::TestWithParam<std::tuple<const char*, HfStorage, size_t>> {};

TEST_P(Import, GivesTheLogitsOfTheModel) {
  const auto [shape, storage, shards] = GetParam();
  TempFolder folder;
  TestModel model = model_of(shape);
  for (TestTensor& tensor :
       model.tensors) {  // a scale whose reciprocal is a bf16, as in real checkpoints that divide
    if (storage == HfStorage::kPackedDivide)
      tensor.scale = 1.0f / bf16_to_f32(f32_to_bf16(1.0f / tensor.scale));
  }
  GgufOptions direct;
  direct.container = ternary_containers()[0];
  for (const Container& container : ternary_containers()) {
    if (container.dtype == DType::kTL1 || container.dtype == DType::kTL2)
      continue;  // their tiles are not in the file
    if (can_hold(container, model)) direct.container = container;
  }
  ASSERT_TRUE(write_gguf(model, direct, folder.file("direct.gguf")).ok());
  HfOptions options;
  options.storage = storage;
  options.shards = shards;
  hf_directory(model, options).write(folder.file("hf"));
  ASSERT_EQ(convert(folder.file("hf"), folder.file("out.gguf")), "");
  EXPECT_EQ(logits_of(folder.file("out.gguf")), logits_of(folder.file("direct.gguf")));
}

INSTANTIATE_TEST_SUITE_P(All, Import,
                         ::testing::Combine(::testing::ValuesIn(kShapes),
                                            ::testing::Values(HfStorage::kPackedMultiply,
                                                              HfStorage::kPackedDivide),
                                            ::testing::Values(1, 3)));

TEST(ImportMasters, AbsmeanGivesTheTritsAndTheMeanMagnitude) {
  for (const HfStorage storage : {HfStorage::kMasterBf16, HfStorage::kMasterF32}) {
    TempFolder folder;
    const TestModel model = model_of("tiny");
    HfOptions options;
    options.storage = storage;
    hf_directory(model, options).write(folder.file("hf"));
    const auto checkpoint = open_checkpoint(folder.file("hf"), {});
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    for (const CheckpointTensor& tensor : checkpoint->tensors) {
      if (!tensor.is_ternary()) continue;
      const TestTensor& truth = model.tensor(tensor.name);
      std::vector<int8_t> trits(truth.rows * truth.cols);
      std::vector<float> scales(truth.rows);
      ASSERT_TRUE(tensor.read_trits(0, truth.rows, trits.data(), scales.data()).ok());
      EXPECT_EQ(trits, truth.trits()) << tensor.name;
      // The latent weights average 0.5 to 1.4 times the scale they were made from.
      EXPECT_GT(scales[0], 0.5f * truth.scale);
      EXPECT_LT(scales[0], 1.4f * truth.scale);
      if (storage == HfStorage::kMasterBf16) {
        EXPECT_EQ(bf16_to_f32(f32_to_bf16(scales[0])), scales[0]) << "rounded to the dtype of the weights";
      }
    }
  }
}

TEST(ImportByValue, DenseTernaryValuesAreFoundAndDeclaredWeightOnly) {
  TempFolder folder;
  const TestModel model = model_of("llama-ternary-small");
  HfOptions options;
  options.storage = HfStorage::kByValueF16;
  hf_directory(model, options).write(folder.file("hf"));
  const auto checkpoint = open_checkpoint(folder.file("hf"), {});
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
  EXPECT_EQ(checkpoint->text("tern.activation"), "int16");
  size_t found = 0;
  for (const CheckpointTensor& tensor : checkpoint->tensors) {
    if (!tensor.name.starts_with("blk.") || tensor.shape.size() != 2) continue;
    ASSERT_TRUE(tensor.is_ternary()) << tensor.name;
    const TestTensor& truth = model.tensor(tensor.name);
    std::vector<int8_t> trits(truth.rows * truth.cols);
    std::vector<float> scales(truth.rows * tensor.scales_per_row());
    ASSERT_TRUE(tensor.read_trits(0, truth.rows, trits.data(), scales.data()).ok());
    EXPECT_EQ(trits, truth.trits()) << tensor.name;
    ++found;
  }
  EXPECT_EQ(found, 14u);
}

TEST(ImportByValue, SeveralScalesOfAMatrixAreKept) {
  // TriLM: halves of the columns with a scale each, in f16.
  TempFolder folder;
  const TestModel model = model_of("llama-ternary-small");
  HfOptions options;
  options.storage = HfStorage::kByValueF16;
  HfDirectory directory = hf_directory(model, options);
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  auto& tensor = directory.tensors.at(name);
  const uint64_t cols = tensor.shape[1];  // 512
  const auto value_at = [&](uint64_t i) {
    uint16_t half;
    std::memcpy(&half, tensor.bytes.data() + 2 * i, 2);
    return half;
  };
  for (uint64_t i = 0; i < tensor.bytes.size() / 2; ++i) {
    const float doubled = f16_to_f32(value_at(i)) * (i % cols < cols / 2 ? 1.0f : 2.0f);
    const uint16_t half = f32_to_f16(doubled);
    std::memcpy(tensor.bytes.data() + 2 * i, &half, 2);
  }
  directory.write(folder.file("hf"));
  ASSERT_EQ(convert(folder.file("hf"), folder.file("out.gguf")), "");
  const auto out = facts_by_name(folder.file("out.gguf"));
  EXPECT_EQ(out.at("blk.0.ffn_down.weight").scales.scope, ScaleScope::kGroup);
  EXPECT_EQ(out.at("blk.0.ffn_down.weight").scales.largest,
            2 * out.at("blk.0.ffn_down.weight").scales.smallest);
  EXPECT_EQ(out.at("blk.1.ffn_down.weight").scales.scope, ScaleScope::kTensor);
  expect_same_numbers(folder.file("hf"), folder.file("out.gguf"));
}

TEST(ImportSpellings, AllOfThemAreKnown) {
  TempFolder folder;
  const TestModel model = model_of("tiny");
  int i = 0;
  for (const char* name : {"BitNetForCausalLM", "BitnetForCausalLM"}) {
    HfOptions options;
    options.class_name = name;
    const std::string path = folder.file("hf" + std::to_string(i++));
    hf_directory(model, options).write(path);
    const auto checkpoint = open_checkpoint(path, {});
    ASSERT_TRUE(checkpoint.ok()) << checkpoint.error().message;
    EXPECT_EQ(checkpoint->text("general.architecture"), "bitnet-b1.58") << name;
  }
}

TEST(ImportShapes, LayersWithoutThePrefixOfTheCausalClass) {
  TempFolder folder;
  HfOptions options;
  options.prefix = "";
  hf_directory(model_of("tiny"), options).write(folder.file("hf"));
  EXPECT_EQ(convert(folder.file("hf"), folder.file("out.gguf")), "");
}

TEST(ImportEmbedding, LinearsWithNormsOfTheirOwn) {
  // The form of the BitNet embedding checkpoints: class Qwen3Model, no head, a norm inside every linear.
  const ModelShape* shape = nullptr;
  for (const ModelShape& s : known_shapes()) {
    if (s.has_linear_norms && s.hidden <= 512) shape = &s;
  }
  if (shape == nullptr) GTEST_SKIP() << "no such shape in the test models";
  TempFolder folder;
  TestModel model = random_model(*shape, 5);
  model.vocabulary = {};
  HfOptions options;
  options.class_name = "Qwen3Model";
  options.prefix = "";
  options.storage = HfStorage::kMasterBf16;
  hf_directory(model, options).write(folder.file("hf"));
  ASSERT_EQ(convert(folder.file("hf"), folder.file("out.gguf")), "");
  const auto checkpoint = open_checkpoint(folder.file("out.gguf"), {});
  ASSERT_TRUE(checkpoint.ok());
  EXPECT_EQ(checkpoint->number("qwen3.pooling_type"), 3u);
  EXPECT_NE(checkpoint->find_tensor("blk.0.ffn_down_norm_in.weight"), nullptr);
  EXPECT_FALSE(logits_of(folder.file("out.gguf")).empty());
}

}  // namespace
}  // namespace tern::test
