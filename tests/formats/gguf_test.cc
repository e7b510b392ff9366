// SPDX-License-Identifier: MIT
// The GGUF reader on good files: values of every type, look-ups, byte spans of every tensor type, id 42 by
// span, and the third-party files of the test data. Refusals are in gguf_refusals_test.cc.
#include "formats/gguf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <fstream>
#include <limits>

#include "formats/weights.h"
#include "tests/formats/gguf_builder.h"
#include "tests/test_data.h"

namespace tern {
namespace {

using test::GgufBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

GgufBuilder every_value_type() {
  GgufBuilder builder(0, 14);
  builder.key("u8", 0)
      .u8(200)
      .key("i8", 1)
      .u8(0x80)
      .key("u16", 2)
      .raw("\xff\xff")
      .key("i16", 3)
      .raw("\xff\xff");
  builder.key("u32", 4).u32(0xffffffff).key("i32", 5).u32(0xffffffff);
  builder.key("f32", 6)
      .u32(std::bit_cast<uint32_t>(1.5f))
      .key("bool", 7)
      .u8(1)
      .key("string", 8)
      .string("t\xff\n");
  builder.key("array", 9).u32(3).u64(2).u8(1).u8(0).raw("\xff\xff");
  builder.key("strings", 9).u32(8).u64(3).string("a").string("").string("cc");
  builder.key("u64", 10).u64(std::numeric_limits<uint64_t>::max()).key("i64", 11).u64(uint64_t{1} << 63);
  builder.key("f64", 12).u64(std::bit_cast<uint64_t>(-2.25));
  return builder;
}

TEST(GgufReader, ReadsEveryValueType) {
  const auto builder = every_value_type();
  const auto file = parse_gguf(builder.bytes());
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->metadata.size(), 14u);
  const auto data = [&](std::string_view key) { return file->find(key)->data; };
  EXPECT_EQ(std::get<uint64_t>(data("u8")), 200u);
  EXPECT_EQ(std::get<int64_t>(data("i8")), -128);
  EXPECT_EQ(std::get<uint64_t>(data("u16")), 65535u);
  EXPECT_EQ(std::get<int64_t>(data("i16")), -1);
  EXPECT_EQ(std::get<uint64_t>(data("u32")), 0xffffffffu);
  EXPECT_EQ(std::get<int64_t>(data("i32")), -1);
  EXPECT_EQ(std::get<double>(data("f32")), 1.5);
  EXPECT_EQ(std::get<bool>(data("bool")), true);
  EXPECT_EQ(std::get<std::string_view>(data("string")), "t\xff\n");  // values may be any bytes, names may not
  EXPECT_EQ(std::get<uint64_t>(data("u64")), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(std::get<int64_t>(data("i64")), std::numeric_limits<int64_t>::min());
  EXPECT_EQ(std::get<double>(data("f64")), -2.25);
  const auto array = std::get<GgufArray>(data("array"));
  ASSERT_EQ(array.count, 2u);
  EXPECT_EQ(array.at<int16_t>(0), 1);
  EXPECT_EQ(array.at<int16_t>(1), -1);
  EXPECT_THAT(std::get<GgufArray>(data("strings")).strings, ElementsAre("a", "", "cc"));
  EXPECT_EQ(file->metadata[0].first, "u8");  // file order
  EXPECT_EQ(file->find("nothing"), nullptr);
  EXPECT_EQ(file->find_tensor("u8"), nullptr);
}

TEST(GgufReader, TypedLookUps) {
  const auto builder = every_value_type();
  const auto parsed = parse_gguf(builder.bytes());
  ASSERT_TRUE(parsed.ok());
  const GgufFile file = *parsed;  // a copy finds its names as well
  EXPECT_EQ(file.get_uint("u8").value(), 200u);
  EXPECT_EQ(file.get_uint("u64").value(), std::numeric_limits<uint64_t>::max());
  EXPECT_EQ(file.get_uint("absent").value(), std::nullopt);
  EXPECT_EQ(file.get_float("f32").value(), 1.5);
  EXPECT_EQ(file.get_float("f64").value(), -2.25);
  EXPECT_EQ(file.get_bool("bool").value(), true);
  EXPECT_EQ(file.get_string("string").value(), "t\xff\n");
  EXPECT_EQ(file.get_array("array").value()->count, 2u);
  EXPECT_EQ(file.get_array("absent").value(), nullptr);

  EXPECT_THAT(file.get_uint("i32").error().message,
              HasSubstr("'i32': expected an unsigned integer, found -1"));
  EXPECT_THAT(file.get_uint("f32").error().message, HasSubstr("expected an unsigned integer, found f32"));
  EXPECT_THAT(file.get_float("u32").error().message, HasSubstr("expected f32 or f64, found u32"));
  EXPECT_THAT(file.get_bool("u8").error().message, HasSubstr("expected bool, found u8"));
  EXPECT_THAT(file.get_string("array").error().message, HasSubstr("expected string, found array"));
  EXPECT_THAT(file.get_array("string").error().message, HasSubstr("expected array, found string"));
}

TEST(GgufReader, AcceptsVersion2AndOtherAlignments) {
  for (const uint32_t version : {2u, 3u}) {
    for (const uint32_t alignment : {1u, 8u, 64u, 4096u}) {
      GgufBuilder builder(2, 1, version);
      const uint64_t second = (12 + alignment - 1) / alignment * alignment;
      builder.key("general.alignment", 4).u32(alignment).tensor("a", {3}, 0, 0).tensor("b", {2}, 1, second);
      builder.pad(alignment).zeros(second).raw("\x01\x02\x03\x04");
      const auto file = parse_gguf(builder.bytes());
      ASSERT_TRUE(file.ok()) << file.error().message;
      EXPECT_EQ(file->version, version);
      EXPECT_EQ(file->alignment, alignment);
      EXPECT_EQ(file->data_offset % alignment, 0u);
      EXPECT_EQ(file->find_tensor("b")->data[3], std::byte{4});
    }
  }
}

// rows, cols and bytes worked out by hand from FORMATS.md A.3 and A.4.
struct Span {
  uint32_t type_id;
  DType dtype;
  uint64_t rows, cols, bytes;
};
constexpr Span kSpans[] = {
    {0, DType::kF32, 2, 256, 2048},      {1, DType::kF16, 2, 256, 1024},
    {2, DType::kQ4_0, 2, 256, 288},      {8, DType::kQ8_0, 2, 256, 544},
    {12, DType::kQ4_K, 2, 256, 288},     {14, DType::kQ6_K, 2, 256, 420},
    {24, DType::kI8, 2, 256, 512},       {25, DType::kI16, 2, 256, 1024},
    {26, DType::kI32, 2, 256, 2048},     {27, DType::kI64, 2, 256, 4096},
    {28, DType::kF64, 2, 256, 4096},     {30, DType::kBF16, 2, 256, 1024},
    {34, DType::kTQ1_0, 2, 256, 108},    {35, DType::kTQ2_0, 2, 256, 132},
    {36, DType::kI2_S, 2, 256, 160},     {41, DType::kQ1_0, 2, 256, 72},
    {42, DType::kQ2_0_G64, 2, 256, 144}, {134, DType::kIQ1_BN, 2, 256, 108},
    {135, DType::kIQ2_BN, 2, 256, 136},  {142, DType::kQ2_0_G128, 2, 256, 136},
    {143, DType::kPTQ1_0, 2, 256, 112},  {335, DType::kIQ2_BN_R4, 4, 256, 272},
    {38, DType::kTL1, 32, 256, 2080},    {39, DType::kTL2, 32, 512, 3808},
};

TEST(GgufReader, EveryTensorTypeHasItsSpan) {
  for (const Span& span : kSpans) {
    EXPECT_EQ(tensor_byte_size(span.dtype, span.rows, span.cols).value(), span.bytes)
        << dtype_name(span.dtype);
    EXPECT_EQ(gguf_type_id(span.dtype).value(), static_cast<int32_t>(span.type_id));
    // In the middle of a file with padding, and last in the file with and without it.
    const uint64_t padded = (span.bytes + 31) / 32 * 32;
    GgufBuilder builder(2, 0);
    builder.tensor("a", {span.cols, span.rows}, span.type_id, 0)
        .tensor("b", {span.cols, span.rows, 1, 1}, span.type_id, padded);
    builder.pad().zeros(padded + span.bytes);
    for (int i = 0; i < 2; ++i, builder.zeros(padded - span.bytes)) {
      const auto file = parse_gguf(builder.bytes());
      ASSERT_TRUE(file.ok()) << file.error().message;
      for (const auto& tensor : file->tensors) {
        EXPECT_EQ(tensor.dtype, span.dtype);
        EXPECT_EQ(tensor.byte_size, span.bytes);
        EXPECT_EQ(tensor.data.size(), span.bytes);
        EXPECT_EQ(tensor.rows(), span.rows);
        EXPECT_EQ(tensor.cols(), span.cols);
      }
    }
  }
}

TEST(GgufReader, ByteSizesThatAreNoTensorOfGguf) {
  EXPECT_EQ(tensor_byte_size(DType::kHfU8, 8, 5).value(), 10u);
  EXPECT_THAT(tensor_byte_size(DType::kHfU8, 6, 5).error().message, HasSubstr("multiple of 4 rows"));
  EXPECT_THAT(gguf_type_id(DType::kHfU8).error().message, HasSubstr("no tensor type for hf_u8"));
  EXPECT_EQ(tensor_byte_size(DType::kBool, 3, 5).value(), 15u);
  EXPECT_EQ(tensor_byte_size(DType::kU64, 3, 5).value(), 120u);
}

// Id 42 alone in a file of every length: groups of 64 take 18/64 bytes per weight, groups of 128 take 34/128.
// The expectation is written out from the two sizes; where both fit, mainline's 64 wins.
TEST(GgufReader, Id42IsDecidedByTheSpan) {
  for (const uint64_t blocks : {1u, 2u, 3u, 7u, 8u, 16u, 17u, 64u}) {
    const uint64_t size64 = 36 * blocks, size128 = 34 * blocks;
    const auto padded = [](uint64_t n) { return (n + 31) / 32 * 32; };
    for (uint64_t length = 0; length <= padded(size64) + 1; ++length) {
      GgufBuilder builder(1, 0);
      builder.tensor("t", {128, blocks}, 42, 0).pad().zeros(length);
      const auto file = parse_gguf(builder.bytes());
      const bool is64 = size64 <= length && length <= padded(size64);
      const bool is128 = !is64 && size128 <= length && length <= padded(size128);
      ASSERT_EQ(file.ok(), is64 || is128) << blocks << " blocks, " << length << " bytes";
      if (!file.ok()) continue;
      EXPECT_EQ(file->tensors[0].dtype, is64 ? DType::kQ2_0_G64 : DType::kQ2_0_G128);
    }
  }
  // 192 columns are no multiple of 128: only groups of 64 can be meant.
  GgufBuilder builder(1, 0);
  builder.tensor("t", {192, 16}, 42, 0).pad().zeros(34 * 24);
  EXPECT_FALSE(parse_gguf(builder.bytes()).ok());
}

TEST(Weights, OpensAndLooksUpStrictly) {
  const std::string path = ::testing::TempDir() + "weights_test.gguf";
  GgufBuilder builder(1, 0);
  builder.tensor("t", {2, 3}, 0, 0).pad().zeros(24);
  std::ofstream(path, std::ios::binary) << builder.text();
  const auto weights = Weights::open(path);
  ASSERT_TRUE(weights.ok()) << weights.error().message;
  const Weights& file = **weights;
  EXPECT_EQ(file.path(), path);
  EXPECT_EQ(file.file_bytes(), builder.size());
  EXPECT_EQ(file.get("t", {2, 3}).value()->name, "t");
  EXPECT_THAT(file.get("t", {3, 2}).error().message, HasSubstr("'t': expected shape [3, 2], found [2, 3]"));
  EXPECT_THAT(file.get("u", {3, 2}).error().message, HasSubstr("tensor 'u' of shape [3, 2]"));
  EXPECT_EQ(file.get("u", {3, 2}).error().code, ErrorCode::kNotFound);
  EXPECT_EQ(file.find("u", {3, 2}).value(), nullptr);
  EXPECT_FALSE(file.find("t", {3, 2}).ok());

  std::ofstream(path, std::ios::binary) << builder.text().substr(0, 30);
  EXPECT_THAT(Weights::open(path).error().message, HasSubstr(path + ": byte 24"));
  std::remove(path.c_str());
  EXPECT_EQ(Weights::open(path).error().code, ErrorCode::kNotFound);
}

// ---- third-party files
// -----------------------------------------------------------------------------------------

struct Vocabulary {
  const char* file;
  const char* architecture;
  const char* model;
  size_t tokens;
};

// Architecture, tokenizer model and number of tokens as the models' own configurations state them.
constexpr Vocabulary kVocabularies[] = {
    {"ggml-vocab-llama-spm.gguf", "llama", "llama", 32000},
    {"ggml-vocab-phi-3.gguf", "phi3", "llama", 32064},
    {"ggml-vocab-gpt-2.gguf", "gpt2", "gpt2", 50257},
    {"ggml-vocab-falcon.gguf", "falcon", "gpt2", 65024},
    {"ggml-vocab-mpt.gguf", "mpt", "gpt2", 50432},
    {"ggml-vocab-deepseek-coder.gguf", "llama", "gpt2", 32256},
};

TEST(GgufThirdParty, VocabularyFilesLoad) {
  TERN_REQUIRE_DATA(folder, "tokenizers/gguf");
  for (const Vocabulary& expected : kVocabularies) {
    const auto weights = Weights::open(folder / expected.file);
    ASSERT_TRUE(weights.ok()) << weights.error().message;
    const GgufFile& file = (*weights)->gguf();
    EXPECT_EQ(file.get_string("general.architecture").value(), expected.architecture) << expected.file;
    EXPECT_EQ(file.get_string("tokenizer.ggml.model").value(), expected.model) << expected.file;
    const GgufArray* tokens = file.get_array("tokenizer.ggml.tokens").value();
    ASSERT_NE(tokens, nullptr);
    EXPECT_EQ(tokens->strings.size(), expected.tokens) << expected.file;
    const GgufArray* types = file.get_array("tokenizer.ggml.token_type").value();
    ASSERT_NE(types, nullptr);
    EXPECT_EQ(types->count, expected.tokens);
    EXPECT_EQ(types->element_type, GgufType::kI32);
  }
}

// Made for other parsers: whatever they are, the answer is a file whose views are in bounds or one line of
// error.
TEST(GgufThirdParty, HostileFilesAreAnswered) {
  TERN_REQUIRE_DATA(folder, "formats/gguf_fuzz_corpus");
  size_t files = 0;
  for (const auto& sub : {"gguf_fuzz_corpus", "gguf_crash", "gguf_tiny"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder.parent_path() / sub)) {
      const auto weights = Weights::open(entry.path());
      ++files;
      if (weights.ok()) continue;
      EXPECT_EQ(weights.error().message.find('\n'), std::string::npos);
      EXPECT_THAT(weights.error().message, HasSubstr(entry.path().filename().string()));
    }
  }
  EXPECT_EQ(files, 165u);
  EXPECT_FALSE(
      Weights::open(folder.parent_path() / "gguf_crash/crash-69e8aa7487115a5484cc9c94c0decd84c1361bcb.bin")
          .ok());
  // Headers without tensors: metadata of two to five keys.
  const auto tiny = Weights::open(folder.parent_path() / "gguf_tiny/bitnet-b1.58-2B.gguf");
  ASSERT_TRUE(tiny.ok()) << tiny.error().message;
  EXPECT_EQ((*tiny)->gguf().get_string("general.architecture").value(), "bitnet");
  // Its header has other fields than v3's.
  EXPECT_FALSE(Weights::open(folder.parent_path() / "gguf_tiny/mini.gguf").ok());
}

}  // namespace
}  // namespace tern
