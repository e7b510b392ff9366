// SPDX-License-Identifier: MIT
// The forward pass against the independent evaluation in doubles of reference.h: sub-norms, squared ReLU,
// both RoPE pairings, grouped heads, tied and separate heads, every scale scope.
//
// Bounds. Given the same integers both sides compute the same real function, tern with f32 roundings of 2^-24
// = 6e-8 relative each. A logit passes through some 15 operations per layer whose longest sums round 512/16 +
// 5 = 37 times in a row; for 3 layers that is 15 * 3 * 37 * 6e-8 = 1e-4 of the sums' absolute terms if every
// rounding pushed the same way.
//   logits     |difference| <= 1e-4 * (1 + largest |logit|)          measured: printed, some 1e-6
//   integers   |x * s - q| <= 0.5 + 127 * 1e-4                      the same relative error at the largest q
//   s          1e-4 relative
// A wrong gate, norm, pairing or head moves logits by tenths.
#include "tests/model/reference.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/float16.h"
#include "tests/tools/recording_backend.h"
#include "tests/tools/test_machine.h"

namespace tern::test {
namespace {

/// Feeds tokens one by one to both sides and compares after each.
void expect_agreement(const std::string& path, Reference& reference, const std::string& what) {
  Machine machine;
  RecordingBackend backend(machine.backend());
  auto weights = Weights::open(path);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  auto model = Model::load(*weights, backend, {});
  ASSERT_TRUE(model.ok()) << model.error().message;
  const auto runner = Runner::create(*model, backend, {.kv_type = KvType::kF32});
  ASSERT_TRUE(runner.ok()) << runner.error().message;

  Sequence sequence = (*runner)->new_sequence();
  double worst = 0, largest = 0;
  for (const int32_t token :
       test_tokens(70, (*model)->config().vocab_size, 5)) {  // into the second page of the cache
    backend.recorded.clear();
    const auto logits = (*runner)->feed(sequence, {&token, 1});
    ASSERT_TRUE(logits.ok()) << logits.error().message;
    const Vector expected = reference.step(token, backend.recorded);
    ASSERT_EQ(expected.size(), logits->size());
    // The last one is the check of the final residual, which no projection reads.
    ASSERT_EQ(reference.used() + 1, backend.recorded.size()) << what;
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = std::abs(expected[i] - double{(*logits)[i]});
      worst = std::max(worst, std::isnan(difference) ? HUGE_VAL : difference);
      largest = std::max(largest, std::abs(expected[i]));
    }
  }
  fmt::print("{}: logits up to {:.3g} within {:.2g}; integers within {:.6f}; scales within {:.2g}\n", what,
             largest, worst, reference.worst_rounding(), reference.worst_scale());
  EXPECT_GT(largest, 1) << what << ": such logits would agree by being nothing";
  EXPECT_LE(worst, 1e-4 * (1 + largest)) << what;
  EXPECT_LE(reference.worst_rounding(), 0.5 + 127 * 1e-4) << what;
  EXPECT_LE(reference.worst_scale(), 1e-4) << what;
}

class ReferenceTest : public testing::TestWithParam<const char*> {};

TEST_P(ReferenceTest, RandomModelsAgreeWithTheEvaluationInDoubles) {
  const TestModel model = random_model(*find_shape(GetParam()), 11);
  const auto fits = std::find_if(ternary_containers().begin(), ternary_containers().end(),
                                 [&](const Container& c) { return can_hold(c, model); });
  TempFolder folder;
  const std::string path = folder.file("m.gguf");
  const Status written = write_gguf(model, {*fits}, path);
  ASSERT_TRUE(written.ok()) << written.error().message;
  Reference reference(model);
  expect_agreement(path, reference, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Shapes, ReferenceTest,
                         testing::Values("tiny", "bitnet-odd", "bitnet-small", "bitnet-ragged",
                                         "llama-ternary-small", "llama-dense-tiny", "llama-dense-odd",
                                         "bitllama-small"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// Gives every projection its own scale per row or group, and the extreme trits of the container: +2 in Q2_0
/// (its code 3), no zero in Q1_0.
void vary(const TestModel& model, DType dtype, GgufContents& contents, Reference& reference) {
  const TernaryCodec* codec = find_codec(dtype);
  uint32_t state = 12345;
  auto random = [&state](uint32_t below) {
    state = state * 1664525u + 1013904223u;
    return (state >> 8) % below;
  };
  for (const TestTensor& t : model.tensors) {
    if (!t.is_ternary()) continue;
    auto trits = std::make_shared<std::vector<int8_t>>(t.trits());
    for (int8_t& trit : *trits) {
      if (!codec->has_zero && trit == 0) trit = random(2) == 0 ? int8_t{-1} : int8_t{1};
      const bool has_two = dtype == DType::kQ2_0_G64 || dtype == DType::kQ2_0_G128;
      if (has_two && random(8) == 0) trit = 2;
    }
    auto scales = std::make_shared<std::vector<float>>(t.rows * codec->scales_per_row(t.cols));
    for (float& scale : *scales) {
      scale = f16_to_f32(f32_to_f16(t.scale * (0.5f + static_cast<float>(random(1000)) / 1000)));
    }
    contents.find(t.name)->produce = [=, rows = t.rows, cols = t.cols](std::span<std::byte> out) {
      return codec->encode(trits->data(), scales->data(), rows, cols, I2sOrder::kX86_128, out);
    };
    const size_t group = t.cols / codec->scales_per_row(t.cols);
    reference.set(t.name, {t.rows, t.cols, {}, *trits, group, Vector(scales->begin(), scales->end())});
  }
}

TEST(ReferenceScales, ScalesThatDifferWithinAMatrix) {
  const TestModel model = random_model(*find_shape("llama-ternary-small"), 13);
  for (const DType dtype : {DType::kTQ1_0, DType::kTQ2_0, DType::kIQ1_BN, DType::kIQ2_BN, DType::kQ1_0,
                            DType::kQ2_0_G64, DType::kQ2_0_G128}) {
    GgufContents contents = gguf_contents(model, {{std::string(dtype_name(dtype)), dtype}});
    Reference reference(model);
    vary(model, dtype, contents, reference);
    TempFolder folder;
    const std::string path = folder.file("m.gguf");
    const Status written = write_contents(contents, path);
    ASSERT_TRUE(written.ok()) << written.error().message;
    expect_agreement(path, reference, std::string(dtype_name(dtype)));
  }
}

/// The comparison must be able to fail: with another gate the integers are off by whole steps.
TEST(ReferenceScales, TheReferenceTellsArchitecturesApart) {
  TestModel model = random_model(*find_shape("bitnet-small"), 17);
  TempFolder folder;
  const std::string path = folder.file("m.gguf");
  ASSERT_TRUE(write_gguf(model, {}, path).ok());
  Machine machine;
  RecordingBackend backend(machine.backend());
  const auto loaded = Model::load(*Weights::open(path), backend, {});
  ASSERT_TRUE(loaded.ok()) << loaded.error().message;
  const auto runner = Runner::create(*loaded, backend, {.kv_type = KvType::kF32});
  ASSERT_TRUE(runner.ok());
  model.shape.architecture = "bitnet-b1.58";  // the same tensors, but squared ReLU instead of SiLU
  Reference wrong(model);
  Sequence sequence = (*runner)->new_sequence();
  double worst = 0;
  for (const int32_t token : test_tokens(4, 258, 5)) {
    backend.recorded.clear();
    const auto logits = (*runner)->feed(sequence, {&token, 1});
    ASSERT_TRUE(logits.ok());
    const Vector expected = wrong.step(token, backend.recorded);
    for (size_t i = 0; i < expected.size(); ++i)
      worst = std::max(worst, std::abs(expected[i] - double{(*logits)[i]}));
  }
  EXPECT_GT(wrong.worst_rounding(),
            1);  // the integers alone give it away; logits share them, so they hide it
}

}  // namespace
}  // namespace tern::test
