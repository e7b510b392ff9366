// SPDX-License-Identifier: MIT
// One hand-made broken file per refusal rule of the GGUF reader (FORMATS.md A.1, A.2), and beside each the
// nearest file that is right where the two are easily confused. The message must name what is wrong.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "formats/gguf.h"
#include "tests/formats/gguf_builder.h"

namespace tern {
namespace {

using test::GgufBuilder;
using ::testing::HasSubstr;

struct Broken {
  const char* name;
  std::string bytes;
  ErrorCode code;
  std::vector<std::string> words;  // all of them must stand in the message
};

void PrintTo(const Broken& broken, std::ostream* out) { *out << broken.name; }

GgufBuilder one_key() { return GgufBuilder(0, 1); }
GgufBuilder one_tensor() { return GgufBuilder(1, 0); }
constexpr auto kCorrupt = ErrorCode::kCorrupt;
constexpr auto kUnsupported = ErrorCode::kUnsupported;
constexpr uint64_t kHuge = uint64_t{1} << 62;

// One tensor "t" of the given type with `data_bytes` behind the padded header.
std::string tensor_file(const std::vector<uint64_t>& shape, uint32_t type_id, size_t data_bytes) {
  return one_tensor().tensor("t", shape, type_id, 0).pad().zeros(data_bytes).text();
}

const std::vector<Broken> kHeaderCases = {
    {"empty", "", kCorrupt, {"byte 0", "magic", "0 left"}},
    {"magic_cut", "GGU", kCorrupt, {"byte 0", "magic"}},
    {"bad_magic",
     std::string(GgufBuilder().text()).replace(3, 1, "\n"),
     kCorrupt,
     {"byte 0", "'GGUF'", "GGU\\x0a"}},
    {"version_cut", "GGUF\x03", kCorrupt, {"byte 4", "version"}},
    {"version_0", GgufBuilder(0, 0, 0).text(), kUnsupported, {"byte 4", "version 2 or 3", "found 0"}},
    {"version_1", GgufBuilder(0, 0, 1).text(), kUnsupported, {"version 2 or 3", "found 1"}},
    {"version_4", GgufBuilder(0, 0, 4).text(), kUnsupported, {"version 2 or 3", "found 4"}},
    {"big_endian", GgufBuilder(0, 0, 0x03000000).text(), kUnsupported, {"big-endian"}},
    {"counts_cut", GgufBuilder().text().substr(0, 20), kCorrupt, {"byte 16", "metadata count", "truncated"}},
    {"tensors_negative",
     GgufBuilder(uint64_t(-1), 0).text(),
     kCorrupt,
     {"byte 8", "tensor count", "negative"}},
    {"keys_negative",
     GgufBuilder(0, uint64_t(-5)).text(),
     kCorrupt,
     {"byte 16", "metadata count", "negative (-5)"}},
    {"tensors_too_many", GgufBuilder(131073, 0).text(), kCorrupt, {"byte 8", "131073", "at most 131072"}},
    {"keys_too_many", GgufBuilder(0, 65537).text(), kCorrupt, {"byte 16", "65537", "at most 65536"}},
    {"tensors_beyond_file",
     GgufBuilder(2, 0).zeros(33).text(),
     kCorrupt,
     {"tensor count is 2", "33 bytes left"}},
    {"keys_beyond_file",
     GgufBuilder(0, 2).zeros(14).text(),
     kCorrupt,
     {"metadata count is 2", "14 bytes left"}},
    {"garbage_without_tensors",
     GgufBuilder().zeros(9).text(),
     kCorrupt,
     {"byte 24", "9 bytes behind the header"}},
};

const std::string kLongKey(65536, 'k');
const std::vector<Broken> kMetadataCases = {
    {"key_empty", one_key().key("", 0).u8(0).u8(0).text(), kCorrupt, {"byte 24", "key is empty"}},
    {"key_too_long",
     one_key().key(kLongKey, 0).u8(0).text(),
     kCorrupt,
     {"byte 24", "65536", "at most 65535"}},
    {"key_beyond_file", one_key().u64(100).zeros(14).text(), kCorrupt, {"key needs 100 bytes", "truncated"}},
    {"key_length_huge", one_key().u64(uint64_t(-1)).zeros(14).text(), kCorrupt, {"at most 65535"}},
    {"key_newline", one_key().key("a\nb", 0).u8(0).text(), kCorrupt, {"control characters", "a\\x0ab"}},
    {"key_not_utf8", one_key().key("a\xff", 0).u8(0).text(), kCorrupt, {"not UTF-8", "a\\xff"}},
    {"key_twice",
     GgufBuilder(0, 2).key("a", 0).u8(0).key("a", 0).u8(0).text(),
     kCorrupt,
     {"'a' appears twice"}},
    {"value_type_13", one_key().key("abc", 13).u8(0).text(), kCorrupt, {"'abc'", "value type 13", "0 to 12"}},
    {"value_type_negative", one_key().key("abc", uint32_t(-1)).u8(0).text(), kCorrupt, {"value type -1"}},
    {"value_cut",
     one_key().key("abcdef", 10).u32(0).text(),
     kCorrupt,
     {"'abcdef'", "needs 8 bytes", "4 left"}},
    {"bool_2", one_key().key("a", 7).u8(2).text(), kCorrupt, {"'a'", "bool of 0 or 1", "found 2"}},
    {"string_beyond_file",
     one_key().key("a", 8).u64(9).text(),
     kCorrupt,
     {"a string needs 9 bytes", "0 left"}},
    {"string_huge",
     one_key().key("a", 8).u64((uint64_t{1} << 30) + 1).text(),
     kCorrupt,
     {"at most 1073741824"}},
    {"array_of_arrays", one_key().key("a", 9).u32(9).u64(0).text(), kUnsupported, {"'a'", "array of arrays"}},
    {"array_type_13", one_key().key("a", 9).u32(13).u64(0).text(), kCorrupt, {"value type 13"}},
    {"array_too_long",
     one_key().key("a", 9).u32(0).u64((uint64_t{1} << 30) + 1).text(),
     kCorrupt,
     {"at most 1073741824"}},
    {"array_negative", one_key().key("a", 9).u32(0).u64(kHuge << 1).text(), kCorrupt, {"length is negative"}},
    {"array_beyond_file",
     one_key().key("a", 9).u32(4).u64(3).zeros(11).text(),
     kCorrupt,
     {"length is 3", "11 bytes left"}},
    {"strings_beyond_file",
     one_key().key("a", 9).u32(8).u64(2).zeros(15).text(),
     kCorrupt,
     {"length is 2", "15 bytes left"}},
    {"string_in_array_beyond_file",
     one_key().key("a", 9).u32(8).u64(2).u64(1).raw("x").u64(5).text(),
     kCorrupt,
     {"a string needs 5 bytes"}},
    {"bool_in_array_2",
     one_key().key("a", 9).u32(7).u64(2).u8(1).u8(2).text(),
     kCorrupt,
     {"byte 50", "bool of 0 or 1"}},
    {"alignment_0",
     one_key().key("general.alignment", 4).u32(0).text(),
     kCorrupt,
     {"power of two", "found 0"}},
    {"alignment_24",
     one_key().key("general.alignment", 4).u32(24).text(),
     kCorrupt,
     {"power of two", "found 24"}},
    {"alignment_u64",
     one_key().key("general.alignment", 10).u64(32).text(),
     kCorrupt,
     {"expected u32", "found u64"}},
};

const std::vector<uint64_t> kShape = {8};
const std::string kName64(64, 'n');
const std::vector<Broken> kTensorCases = {
    {"name_empty", one_tensor().tensor("", {1}, 0, 0).zeros(40).text(), kCorrupt, {"tensor name is empty"}},
    {"name_64_bytes",
     one_tensor().tensor(kName64, {1}, 0, 0).text(),
     kCorrupt,
     {"name of 64 bytes", "at most 63"}},
    {"name_control",
     one_tensor().tensor("a\x7f", {1}, 0, 0).text(),
     kCorrupt,
     {"control characters", "a\\x7f"}},
    {"dims_0",
     one_tensor().tensor("t", {}, 0, 0).zeros(8).text(),
     kCorrupt,
     {"'t'", "1 to 4 dimensions", "found 0"}},
    {"dims_5",
     one_tensor().tensor("t", {1, 1, 1, 1, 1}, 0, 0).text(),
     kCorrupt,
     {"1 to 4 dimensions", "found 5"}},
    {"dim_0", one_tensor().tensor("t", {0}, 0, 0).text(), kCorrupt, {"dimension 0 is 0"}},
    {"dim_negative",
     one_tensor().tensor("t", {8, uint64_t(-8)}, 0, 0).text(),
     kCorrupt,
     {"dimension 1 is -8"}},
    {"elements_overflow",
     one_tensor().tensor("t", {kHuge, 4}, 24, 0).text(),
     kCorrupt,
     {"elements overflows"}},
    {"bytes_overflow",
     one_tensor().tensor("t", {kHuge}, 0, 0).text(),
     kCorrupt,
     {"'t'", "more than 2^63 bytes"}},
    {"i2_s_bytes_overflow",
     one_tensor().tensor("t", {3037000499, 3037000500}, 28, 0).text(),
     kCorrupt,
     {"2^63 bytes"}},
    {"block_q8_0", tensor_file({48}, 8, 64), kCorrupt, {"q8_0 has blocks of 32 columns", "found 48"}},
    {"block_tq1_0", tensor_file({128}, 34, 64), kCorrupt, {"tq1_0 has blocks of 256 columns", "found 128"}},
    {"block_iq2_bn", tensor_file({96}, 135, 64), kCorrupt, {"iq2_bn has blocks of 64 columns", "found 96"}},
    {"i2_s_not_by_4", tensor_file({3, 5}, 36, 64), kCorrupt, {"i2_s", "multiple of 4", "5 x 3"}},
    {"info_cut",
     one_tensor().tensor("tensor", {1, 1}, 0, 0).text().substr(0, 24 + 41),
     kCorrupt,
     {"truncated"}},
    {"offset_unaligned",
     one_tensor().tensor("t", kShape, 0, 8).pad().zeros(64).text(),
     kCorrupt,
     {"offset 8", "multiple of the alignment 32"}},
    {"first_offset",
     one_tensor().tensor("t", kShape, 0, 32).pad().zeros(64).text(),
     kCorrupt,
     {"first tensor has offset 32", "expected 0"}},
    {"name_twice",
     GgufBuilder(2, 0).tensor("t", kShape, 0, 0).tensor("t", kShape, 0, 32).pad().zeros(64).text(),
     kCorrupt,
     {"tensor 't' appears twice"}},
    {"gap",
     GgufBuilder(2, 0).tensor("a", kShape, 0, 0).tensor("b", kShape, 0, 64).pad().zeros(96).text(),
     kCorrupt,
     {"'a'", "takes 32 bytes", "64 lie between", "next tensor"}},
    {"overlap",
     GgufBuilder(2, 0).tensor("a", {16}, 0, 0).tensor("b", kShape, 0, 32).pad().zeros(96).text(),
     kCorrupt,
     {"'a'", "takes 64 bytes", "32 lie between"}},
    {"backwards",
     GgufBuilder(3, 0)
         .tensor("a", kShape, 0, 0)
         .tensor("b", kShape, 0, 32)
         .tensor("c", kShape, 0, 0)
         .pad()
         .zeros(96)
         .text(),
     kCorrupt,
     {"'b'", "0 lie between"}},
    {"offset_huge",
     GgufBuilder(2, 0).tensor("a", kShape, 0, 0).tensor("b", kShape, 0, uint64_t(-32)).pad().zeros(64).text(),
     kCorrupt,
     {"'a'", "lie between"}},
    {"data_missing",
     one_tensor().tensor("t", kShape, 0, 0).text(),
     kCorrupt,
     {"padding before the tensor data"}},
    {"data_cut",
     tensor_file(kShape, 0, 31),
     kCorrupt,
     {"'t'", "32 bytes at offset 0", "only 31", "truncated"}},
    {"first_data_cut",
     GgufBuilder(2, 0).tensor("a", {16}, 0, 0).tensor("b", kShape, 0, 64).pad().zeros(40).text(),
     kCorrupt,
     {"'a'", "64 bytes at offset 0", "only 40"}},
    {"garbage_behind",
     tensor_file({1}, 0, 33),
     kCorrupt,
     {"'t'", "takes 4 bytes (32 with padding)", "33 lie between"}},
    {"i2_s_without_trailer", tensor_file({128, 2}, 36, 64), kCorrupt, {"96 bytes at offset 0", "only 64"}},
    {"i2_s_of_next_engine", tensor_file({128, 2}, 36, 160), kCorrupt, {"i2_s of 2 x 128 takes 96 bytes"}},
    {"tl2_or_mxfp4", tensor_file({256, 64}, 39, 256 * 64 / 32 * 17), kCorrupt, {"tl2 of 64 x 256", "MXFP4"}},
    {"pq2_0_or_iq2_tn", tensor_file({256, 64}, 142, 64 * 66), kCorrupt, {"4352 bytes", "IQ2_TN"}},
    {"ptq1_0_or_iq1_tn", tensor_file({256, 64}, 143, 64 * 54), kCorrupt, {"3584 bytes", "IQ1_TN"}},
    {"tl2_narrow", tensor_file({192, 64}, 39, 64), kCorrupt, {"256 columns or more, found 192"}},
    {"iq2_bn_r4_rows", tensor_file({64, 6}, 335, 64), kCorrupt, {"multiple of 4 rows, found 6 x 64"}},
    {"q2_0_neither",
     tensor_file({128, 64}, 42, 2400),
     kCorrupt,
     {"q2_0_g64", "takes 2304 bytes", "2400 lie between"}},
};

// Ids that mean something elsewhere, and one that means nothing anywhere: refused by number.
std::vector<Broken> foreign_type_cases() {
  const struct {
    uint32_t id;
    const char* meaning;
  } kForeign[] = {{3, "Q4_1"},
                  {4, "removed"},
                  {15, "activations"},
                  {20, "IQ4_NL"},
                  {31, "removed"},
                  {37, "I8_S"},
                  {40, "NVFP4"},
                  {40, "Q1_0 with groups of 32"},
                  {43, "not known"},
                  {336, "not known"},
                  {0x7fffffff, "not known"},
                  {0xffffffff, "type id -1"}};
  std::vector<Broken> cases;
  for (const auto& foreign : kForeign) {
    const std::string id = std::to_string(static_cast<int32_t>(foreign.id));
    cases.push_back({"foreign_type",
                     tensor_file({256}, foreign.id, 256),
                     ErrorCode::kUnsupported,
                     {"tensor 't'", "type id " + id, foreign.meaning}});
  }
  return cases;
}

class GgufRefusal : public ::testing::TestWithParam<Broken> {};

TEST_P(GgufRefusal, NamesWhatIsWrong) {
  const Broken& broken = GetParam();
  // An exact copy on the heap, so that a sanitizer sees a read beyond it.
  const std::vector<std::byte> bytes(std::as_bytes(std::span(broken.bytes)).begin(),
                                     std::as_bytes(std::span(broken.bytes)).end());
  const auto file = parse_gguf(bytes);
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().code, broken.code) << file.error().message;
  for (const std::string& word : broken.words) EXPECT_THAT(file.error().message, HasSubstr(word));
  EXPECT_EQ(file.error().message.find('\n'), std::string::npos);
}

const auto case_name = [](const auto& info) {
  return std::string(info.param.name) + "_" + std::to_string(info.index);
};
INSTANTIATE_TEST_SUITE_P(Header, GgufRefusal, ::testing::ValuesIn(kHeaderCases), case_name);
INSTANTIATE_TEST_SUITE_P(Metadata, GgufRefusal, ::testing::ValuesIn(kMetadataCases), case_name);
INSTANTIATE_TEST_SUITE_P(Tensors, GgufRefusal, ::testing::ValuesIn(kTensorCases), case_name);
INSTANTIATE_TEST_SUITE_P(ForeignTypes, GgufRefusal, ::testing::ValuesIn(foreign_type_cases()), case_name);

// A good file with everything in it, cut at every length: only the lengths that lack nothing but the last
// padding load.
TEST(GgufTruncation, EveryCutIsRefused) {
  const std::string whole = GgufBuilder(2, 2)
                                .key("general.alignment", 4)
                                .u32(32)
                                .key("list", 9)
                                .u32(8)
                                .u64(2)
                                .string("ab")
                                .string("c")
                                .tensor("a", {256, 2}, 35, 0)
                                .tensor("b", {3}, 0, 160)
                                .pad()
                                .zeros(160 + 32)
                                .text();
  const size_t data_end = whole.size() - 32 + 12;  // 3 floats; what follows is padding
  for (size_t length = 0; length <= whole.size(); ++length) {
    const std::vector<std::byte> bytes(std::as_bytes(std::span(whole)).begin(),
                                       std::as_bytes(std::span(whole)).begin() + length);
    EXPECT_EQ(parse_gguf(bytes).ok(), length >= data_end) << length << " of " << whole.size();
  }
}

// Every single byte of a good header, set to every value: never a crash, and what is accepted stays inside
// the file.
TEST(GgufCorruption, EveryByteEveryValue) {
  std::string whole = GgufBuilder(2, 1)
                          .key("k", 9)
                          .u32(7)
                          .u64(2)
                          .u8(0)
                          .u8(1)
                          .tensor("a", {64}, 42, 0)
                          .tensor("b", {4}, 36, 32)
                          .pad()
                          .zeros(32 + 33)
                          .text();
  ASSERT_TRUE(parse_gguf(std::as_bytes(std::span(whole))).ok());
  size_t accepted = 0;
  for (size_t i = 0; i < whole.size(); ++i) {
    const char original = whole[i];
    for (int value = 0; value < 256; ++value) {
      whole[i] = static_cast<char>(value);
      const auto bytes = std::as_bytes(std::span(whole));
      const auto file = parse_gguf(bytes);
      if (!file.ok()) continue;
      ++accepted;
      for (const auto& tensor : file->tensors) {
        EXPECT_GE(tensor.data.data(), bytes.data());
        EXPECT_LE(tensor.data.data() + tensor.data.size(), bytes.data() + bytes.size());
      }
    }
    whole[i] = original;
  }
  EXPECT_GT(accepted, 256u * 65u);  // at least every value of every data byte
}

}  // namespace
}  // namespace tern
