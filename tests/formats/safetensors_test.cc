// SPDX-License-Identifier: MIT
// safetensors: good files, one broken file per refusal rule (FORMATS.md B.1), the reference's verdicts on its
// own test files, the writer's bytes, and reader(writer(x)) == x.
#include "formats/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "core/mapped_file.h"
#include "formats/gguf.h"
#include "tests/test_data.h"

namespace tern {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string with_length(uint64_t length, std::string_view rest) {
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &length, 8);
  return bytes.append(rest);
}

// A file of this header and `data_bytes` bytes 0, 1, 2...
std::string file_of(std::string_view header, size_t data_bytes = 0) {
  std::string bytes = with_length(header.size(), header);
  for (size_t i = 0; i < data_bytes; ++i) bytes += static_cast<char>(i);
  return bytes;
}

std::span<const std::byte> as_bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

TEST(SafetensorsReader, ReadsTensorsByOffset) {
  const std::string bytes = file_of(
      R"( {"b":{"shape":[2],"dtype":"I16","data_offsets":[4,8]} , "__metadata__":{"format":"pt","\u00e9\ud83d\ude00\n":""},)"
      "\n\t"
      R"("a\"\\\/":{"dtype":"F32","shape":[],"data_offsets":[0,4]},"e":{"dtype":"BOOL","shape":[3,0],"data_offsets":[8,8]}} )",
      8);
  // The leading blank is not allowed: the header starts with '{'.
  ASSERT_FALSE(parse_safetensors(as_bytes(bytes)).ok());
  const std::string good = with_length(bytes.size() - 8 - 8 - 1, bytes.substr(9));
  const auto file = parse_safetensors(as_bytes(good));
  ASSERT_TRUE(file.ok()) << file.error().message;
  ASSERT_EQ(file->tensors.size(), 3u);
  EXPECT_EQ(file->tensors[0].name, "a\"\\/");
  EXPECT_EQ(file->tensors[0].dtype, DType::kF32);
  EXPECT_TRUE(file->tensors[0].shape.empty());
  EXPECT_EQ(file->tensors[1].name, "b");
  EXPECT_THAT(file->tensors[1].shape, ElementsAre(2u));
  EXPECT_THAT(file->tensors[1].data, ElementsAre(std::byte{4}, std::byte{5}, std::byte{6}, std::byte{7}));
  EXPECT_EQ(file->find("e")->data.size(), 0u);
  EXPECT_EQ(file->find("c"), nullptr);
  EXPECT_THAT(file->metadata,
              ElementsAre(std::pair<std::string, std::string>("format", "pt"),
                          std::pair<std::string, std::string>("\xc3\xa9\xf0\x9f\x98\x80\n", "")));
}

TEST(SafetensorsReader, KnowsEveryPlainType) {
  const std::map<std::string, std::pair<DType, int>> kTypes = {
      {"F64", {DType::kF64, 8}},   {"F32", {DType::kF32, 4}}, {"F16", {DType::kF16, 2}},
      {"BF16", {DType::kBF16, 2}}, {"I64", {DType::kI64, 8}}, {"I32", {DType::kI32, 4}},
      {"I16", {DType::kI16, 2}},   {"I8", {DType::kI8, 1}},   {"U64", {DType::kU64, 8}},
      {"U32", {DType::kU32, 4}},   {"U16", {DType::kU16, 2}}, {"U8", {DType::kU8, 1}},
      {"BOOL", {DType::kBool, 1}}};
  for (const auto& [name, type] : kTypes) {
    const int bytes = 3 * type.second;
    const auto header =
        fmt::format(R"({{"t":{{"dtype":"{}","shape":[3],"data_offsets":[0,{}]}}}})", name, bytes);
    const std::string text = file_of(header, bytes);
    const auto file = parse_safetensors(as_bytes(text));
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->tensors[0].dtype, type.first);
    EXPECT_EQ(safetensors_dtype_name(type.first), name);
  }
  EXPECT_EQ(safetensors_dtype_name(DType::kI2_S), "");
}

struct Broken {
  const char* name;
  std::string bytes;
  std::vector<std::string> words;
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }

// A header of one tensor "t" with these three values.
std::string one(std::string_view dtype, std::string_view shape, std::string_view offsets,
                size_t data_bytes = 4) {
  return file_of(fmt::format(R"({{"t":{{"dtype":{},"shape":{},"data_offsets":{}}}}})", dtype, shape, offsets),
                 data_bytes);
}

const std::string kU8 = R"({"dtype":"U8","shape":[4],"data_offsets":[0,4]})";
std::string tensors(const std::string& inside, size_t data_bytes = 4) {
  return file_of("{" + inside + "}", data_bytes);
}

const std::string kDeep(20000, '[');
const std::string kManyDims = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";

const std::vector<Broken> kBrokenFiles = {
    {"empty", "", {"byte 0", "8 bytes, the file has 0"}},
    {"length_cut", std::string(7, '\0'), {"8 bytes, the file has 7"}},
    {"length_beyond_file", with_length(3, "{}"), {"header length 3", "2 bytes behind"}},
    {"length_over_limit", with_length(100'000'001, "{}"), {"100000001", "at most 100000000"}},
    {"length_huge", with_length(~uint64_t{0}, "{}"), {"at most 100000000"}},
    {"length_0", with_length(0, "{}"), {"starts with '{'"}},
    {"starts_with_space", file_of(" {}"), {"byte 8", "starts with '{'"}},
    {"array_outside", file_of("[]"), {"starts with '{'"}},
    {"not_utf8", file_of("{\"a\xff\":{}}"), {"not UTF-8"}},
    {"not_closed", file_of("{"), {"byte 9", "expected a string", "end of the header"}},
    {"garbage_behind", file_of("{} x"), {"byte 11", "white space", "'x'"}},
    {"two_objects", file_of("{}{}"), {"white space behind"}},
    {"trailing_comma", tensors("\"t\":" + kU8 + ","), {"expected a string", "'}'"}},
    {"no_colon", tensors("\"t\" " + kU8), {"expected ':'"}},
    {"no_comma", tensors("\"t\":" + kU8 + "\"u\":" + kU8), {"expected '}'"}},
    {"key_without_quotes", tensors("t:" + kU8), {"expected a string"}},
    {"string_not_closed", file_of("{\"t"), {"string that ends"}},
    {"raw_newline_in_string", file_of("{\"a\nb\":1}"), {"raw control characters"}},
    {"bad_escape", file_of("{\"\\x\":1}"), {"expected an escape"}},
    {"escape_cut", file_of("{\"\\"), {"expected an escape"}},
    {"bad_hex", file_of("{\"\\u00g0\":1}"), {"four hexadecimal digits"}},
    {"hex_cut", file_of("{\"\\u00"), {"four hexadecimal digits"}},
    {"lone_high_surrogate", file_of("{\"\\ud800\":1}"), {"surrogate pair"}},
    {"lone_low_surrogate", file_of("{\"\\udc00\":1}"), {"surrogate pair"}},
    {"two_high_surrogates", file_of("{\"\\ud800\\ud800\":1}"), {"surrogate pair"}},
    {"name_empty", tensors("\"\":" + kU8), {"is empty or has control"}},
    {"name_control", tensors("\"a\\u0007\":" + kU8), {"control characters", "a\\x07"}},
    {"name_twice",
     tensors(
         R"("t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"\u0074":{"dtype":"U8","shape":[4],"data_offsets":[4,8]})",
         8),
     {"tensor 't' appears twice"}},
    {"nested_deeply", tensors("\"t\":{\"shape\":" + kDeep), {"'t'", "unsigned integer"}},
    {"objects_nested", tensors("\"t\":{\"a\":{\"a\":{}}}"), {"key 'a' is not known"}},
    {"info_is_array", tensors("\"t\":[]"), {"'t'", "expected '{'"}},
    {"unknown_key",
     tensors(R"("t":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"x":1})"),
     {"key 'x' is not known"}},
    {"dtype_twice", tensors(R"("t":{"dtype":"U8","dtype":"U8"})"), {"key 'dtype' appears twice"}},
    {"dtype_missing", tensors(R"("t":{"shape":[4],"data_offsets":[0,4]})"), {"'dtype' is missing"}},
    {"shape_missing", tensors(R"("t":{"dtype":"U8","data_offsets":[0,4]})"), {"'shape' is missing"}},
    {"offsets_missing", tensors(R"("t":{"dtype":"U8","shape":[4]})"), {"'data_offsets' is missing"}},
    {"dtype_unknown", one("\"F8_E4M3\"", "[4]", "[0,4]"), {"'t'", "dtype 'F8_E4M3'"}},
    {"dtype_number", one("4", "[4]", "[0,4]"), {"expected a string"}},
    {"shape_negative", one("\"U8\"", "[-4]", "[0,4]"), {"unsigned integer", "'-4]"}},
    {"shape_float", one("\"U8\"", "[4.0]", "[0,4]"), {"unsigned integer", "'4.0]"}},
    {"shape_exponent", one("\"U8\"", "[4e0]", "[0,4]"), {"unsigned integer"}},
    {"shape_leading_zero", one("\"U8\"", "[04]", "[0,4]"), {"unsigned integer"}},
    {"shape_string", one("\"U8\"", "[\"4\"]", "[0,4]"), {"unsigned integer"}},
    {"shape_null", one("\"U8\"", "null", "[0,4]"), {"expected '['"}},
    {"shape_above_64_bits", one("\"U8\"", "[18446744073709551616]", "[0,4]"), {"at most 64 bits"}},
    {"shape_overflow", one("\"U8\"", "[4294967296,4294967296]", "[0,0]", 0), {"overflows 64 bits"}},
    {"bytes_overflow", one("\"F64\"", "[2305843009213693952]", "[0,0]", 0), {"more than 2^63 bytes"}},
    {"too_many_dims", one("\"U8\"", kManyDims, "[0,1]", 1), {"at most 32 dimensions"}},
    {"size_mismatch", one("\"I32\"", "[2]", "[0,4]"), {"takes 8 bytes", "[0, 4] give 4"}},
    {"offsets_backwards", one("\"U8\"", "[4]", "[4,0]"), {"run backwards"}},
    {"offsets_one", one("\"U8\"", "[4]", "[0]"), {"two data_offsets, found 1"}},
    {"offsets_three", one("\"U8\"", "[4]", "[0,4,4]"), {"two data_offsets"}},
    {"hole_at_start", one("\"U8\"", "[4]", "[1,5]", 5), {"[1, 5]", "begin of 0"}},
    {"beyond_buffer", one("\"U8\"", "[4]", "[0,4]", 3), {"end of at most 3"}},
    {"bytes_behind", one("\"U8\"", "[4]", "[0,4]", 5), {"end at 4", "has 5 bytes"}},
    {"no_tensors_but_bytes", file_of("{}", 1), {"end at 0", "has 1 bytes"}},
    {"hole",
     tensors(
         R"("t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"u":{"dtype":"U8","shape":[1],"data_offsets":[5,6]})",
         6),
     {"'u'", "begin of 4"}},
    {"overlap",
     tensors(
         R"("t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"u":{"dtype":"U8","shape":[2],"data_offsets":[3,5]})",
         5),
     {"'u'", "begin of 4"}},
    {"metadata_twice", tensors(R"("__metadata__":{},"__metadata__":{})", 0), {"__metadata__ appears twice"}},
    {"metadata_key_twice", tensors(R"("__metadata__":{"a":"","a":""})", 0), {"key 'a' twice"}},
    {"metadata_number", tensors(R"("__metadata__":{"a":1})", 0), {"expected a string"}},
    {"metadata_nested", tensors(R"("__metadata__":{"a":{}})", 0), {"expected a string"}},
};

class SafetensorsRefusal : public ::testing::TestWithParam<Broken> {};

TEST_P(SafetensorsRefusal, NamesWhatIsWrong) {
  const std::vector<std::byte> bytes(as_bytes(GetParam().bytes).begin(), as_bytes(GetParam().bytes).end());
  const auto file = parse_safetensors(bytes);
  ASSERT_FALSE(file.ok());
  for (const std::string& word : GetParam().words) EXPECT_THAT(file.error().message, HasSubstr(word));
  EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(EachRule, SafetensorsRefusal, ::testing::ValuesIn(kBrokenFiles),
                         [](const auto& info) { return std::string(info.param.name); });

// ---- writer
// -----------------------------------------------------------------------------------------------------

class SafetensorsWrite : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = ::testing::TempDir() + "tern_safetensors_" + std::to_string(::getpid());
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    path_ = folder_ + "/model.safetensors";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string folder_, path_;
};

TEST_F(SafetensorsWrite, BytesAreTheFormats) {
  const std::string data = "abcdef";
  const std::vector<SafetensorsTensor> tensors = {{"b\"", DType::kU8, {2, 1}, as_bytes(data).first(2)},
                                                  {"a", DType::kF32, {}, as_bytes(data).subspan(2, 4)}};
  ASSERT_TRUE(write_safetensors(path_, tensors, {{"k\n", "v\\"}}).ok());
  std::ifstream in(path_, std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(in), {}};
  std::string header =
      R"({"__metadata__":{"k\u000a":"v\\"},"b\"":{"dtype":"U8","shape":[2,1],"data_offsets":[0,2]},)"
      R"("a":{"dtype":"F32","shape":[],"data_offsets":[2,6]}})";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  EXPECT_EQ(content, with_length(header.size(), header) + data);
}

TEST_F(SafetensorsWrite, ReadsBackWhatWasWritten) {
  constexpr DType kTypes[] = {DType::kF64, DType::kF32, DType::kF16, DType::kBF16, DType::kI64,
                              DType::kI32, DType::kI16, DType::kI8,  DType::kU64,  DType::kU32,
                              DType::kU16, DType::kU8,  DType::kBool};
  for (uint64_t seed = 0; seed < 60; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937_64 random(seed);
    std::string pool(8 * 27, '\0');
    for (char& c : pool) c = static_cast<char>(random());
    std::vector<SafetensorsTensor> tensors(random() % 6);
    for (size_t i = 0; i < tensors.size(); ++i) {
      auto& tensor = tensors[i];
      tensor.name = fmt::format("{}\\\"\xe2\x82\xac/{}", random() % 10, i);
      tensor.dtype = kTypes[random() % std::size(kTypes)];
      uint64_t elements = 1;
      for (size_t d = random() % 4; d > 0; --d) elements *= tensor.shape.emplace_back(1 + random() % 3);
      tensor.data = as_bytes(pool).first(elements * (tensor_byte_size(tensor.dtype, 1, 1).value()));
    }
    std::vector<std::pair<std::string, std::string>> metadata;
    for (size_t i = random() % 4; i > 0; --i)
      metadata.emplace_back(fmt::format("{}\t\"", i), "\x01\xc3\xa9\\");
    ASSERT_TRUE(write_safetensors(path_, tensors, metadata).ok());
    const auto mapped = MappedFile::open(path_);
    ASSERT_TRUE(mapped.ok());
    const auto file = parse_safetensors((*mapped)->bytes());
    ASSERT_TRUE(file.ok()) << file.error().message;
    EXPECT_EQ(file->metadata, metadata);
    ASSERT_EQ(file->tensors.size(), tensors.size());
    for (size_t i = 0; i < tensors.size(); ++i) {
      EXPECT_EQ(file->tensors[i].name, tensors[i].name);
      EXPECT_EQ(file->tensors[i].dtype, tensors[i].dtype);
      EXPECT_EQ(file->tensors[i].shape, tensors[i].shape);
      EXPECT_TRUE(std::ranges::equal(file->tensors[i].data, tensors[i].data));
    }
  }
}

TEST_F(SafetensorsWrite, RefusesWhatTheReaderWouldRefuse) {
  const std::string data = "abcd";
  const auto refusal = [&](std::vector<SafetensorsTensor> tensors,
                           std::vector<std::pair<std::string, std::string>> metadata = {}) {
    const Status status = write_safetensors(path_, tensors, metadata);
    EXPECT_NE(status.ok(), std::filesystem::is_empty(folder_));
    return status.ok() ? std::string("accepted") : status.error().message;
  };
  const auto bytes = as_bytes(data);
  EXPECT_THAT(refusal({{"", DType::kU8, {4}, bytes}}), HasSubstr("a name of plain"));
  EXPECT_THAT(refusal({{"__metadata__", DType::kU8, {4}, bytes}}), HasSubstr("a name of plain"));
  EXPECT_THAT(refusal({{"a\n", DType::kU8, {4}, bytes}}), HasSubstr("a\\x0a"));
  EXPECT_THAT(refusal({{"t", DType::kI2_S, {4}, bytes}}), HasSubstr("no dtype for i2_s"));
  EXPECT_THAT(refusal({{"t", DType::kU8, {3}, bytes}}), HasSubstr("'t'"));
  EXPECT_THAT(refusal({{"t", DType::kU8, {1ull << 32, 1ull << 32, 4}, bytes}}),
              HasSubstr("does not take the 4 bytes"));
  EXPECT_THAT(refusal({{"t", DType::kU8, {4}, bytes}, {"t", DType::kU8, {4}, bytes}}), HasSubstr("twice"));
  EXPECT_THAT(refusal({}, {{"a", ""}, {"a", ""}}), HasSubstr("'a' is there twice"));
  EXPECT_THAT(refusal({}, {{"a", "\xff"}}), HasSubstr("not UTF-8"));
  EXPECT_EQ(refusal({{"t", DType::kU8, {4}, bytes}}), "accepted");
}

// ---- third-party files
// ------------------------------------------------------------------------------------------

// What the index's error names look like in our messages. An empty list means no verdict or a good file.
TEST(SafetensorsThirdParty, ReferenceVerdicts) {
  TERN_REQUIRE_DATA(folder, "formats/safetensors_unit");
  const std::map<std::string, std::string> kWords = {{"HeaderTooLarge", "at most 100000000"},
                                                     {"InvalidHeaderLength", "bytes behind it"},
                                                     {"TensorInvalidInfo", "but data_offsets"},
                                                     {"ValidationOverflow", "overflows 64 bits"}};
  // Not whole files, or without a verdict: 16 zero bytes that stand for a tensor's data or for a header that
  // the reference's test builds at run time, and the leading blanks that the format forbids and that its test
  // leaves open.
  const std::map<std::string, std::string> kOurs = {
      {"test_deserialization_1.safetensors", "starts with '{'"},
      {"test_json_attack_0.safetensors", "starts with '{'"},
      {"test_whitespace_leading_padded_header_0.safetensors", "starts with '{'"}};
  std::ifstream in(folder / "index.json");
  size_t good = 0, refused = 0;
  for (const auto& entry : nlohmann::json::parse(in)) {
    const std::string name = entry.at("file");
    const auto mapped = MappedFile::open(folder / name);
    ASSERT_TRUE(mapped.ok());
    const auto file = parse_safetensors((*mapped)->bytes());
    const auto& errors = entry.at("expected_errors");
    const bool is_ours = kOurs.count(name) != 0;
    ASSERT_EQ(file.ok(), errors.empty() && !is_ours) << name;
    ++(file.ok() ? good : refused);
    if (file.ok()) continue;
    const std::string word = is_ours ? kOurs.at(name) : kWords.at(errors.at(0));
    // 2 x (2^63 - 1) elements fit 64 bits; it is their bytes that do not.
    const bool is_bytes = name == "test_validation_overflow_1.safetensors";
    EXPECT_THAT(file.error().message, HasSubstr(is_bytes ? "more than 2^63 bytes" : word)) << name;
  }
  EXPECT_EQ(good, 3u);
  EXPECT_EQ(refused, 8u);
}

TEST(SafetensorsThirdParty, RealFilesLoad) {
  TERN_REQUIRE_DATA(folder, "formats/safetensors");
  const auto load = [&](const char* name) {
    auto mapped = MappedFile::open(folder / name).value();
    auto file = parse_safetensors(mapped->bytes());
    EXPECT_TRUE(file.ok()) << file.error().message;
    return std::pair(std::move(mapped), std::move(file).value());
  };
  const auto [mapped, codes] = load("jfk-codes.safetensors");
  ASSERT_NE(codes.find("codes"), nullptr);
  EXPECT_EQ(codes.find("codes")->dtype, DType::kI64);
  EXPECT_THAT(codes.find("codes")->shape, ElementsAre(1u, 2u, 828u));
  const auto [mapped1, ints] = load("tensor-1d-int32.safetensors");
  int32_t values[3];
  ASSERT_EQ(ints.tensors[0].data.size(), sizeof(values));
  std::memcpy(values, ints.tensors[0].data.data(), sizeof(values));
  EXPECT_THAT(values, ElementsAre(1, 2, 3));
  EXPECT_THAT(load("tensor-2d-float64.safetensors").second.tensors[0].shape, ElementsAre(2u, 3u));
  EXPECT_THAT(load("tensor-3d-float32.safetensors").second.tensors[0].shape, ElementsAre(2u, 2u, 3u));
  EXPECT_THAT(load("tensor-4d-float32.safetensors").second.tensors[0].shape, ElementsAre(2u, 3u, 1u, 3u));
}

}  // namespace
}  // namespace tern
