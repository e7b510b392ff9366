// SPDX-License-Identifier: MIT
// What a lying header makes the readers allocate, counted by this program's own operator new
// (counting_new.cc): never more than a small multiple of the bytes that are really there.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/mapped_file.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "tests/formats/counting_new.h"
#include "tests/formats/gguf_builder.h"
#include "tests/test_data.h"

namespace tern {
namespace {

using test::GgufBuilder;

// The bounds. Fixed: the error message, its formatting buffers and a first growth of each vector. Per byte of
// file: a metadata entry of 14 bytes becomes a pair of string and value (at most 128 bytes) in a vector that
// doubles (at most three times its final size in all), a string of 8 bytes a view of 16: 128 * 3 / 14 = 27.5
// is the largest.
constexpr size_t kFixedBytes = 8192;
constexpr size_t kBytesPerByte = 28;

Result<GgufFile> parse(std::span<const std::byte> bytes) { return parse_gguf(bytes); }

template <class Parse>
size_t bytes_allocated_by(Parse parser, std::span<const std::byte> bytes) {
  const size_t before = test::allocated_bytes();
  (void)parser(bytes).ok();
  return test::allocated_bytes() - before;
}

void expect_small(const GgufBuilder& builder, const char* what) {
  const size_t allocated = bytes_allocated_by(parse, builder.bytes());
  EXPECT_LE(allocated, kFixedBytes + kBytesPerByte * builder.size())
      << what << " of " << builder.size() << " bytes";
}

TEST(Allocation, TheCounterCounts) {
  const size_t before = test::allocated_bytes();
  std::vector<char> memory(12345);
  EXPECT_GE(test::allocated_bytes() - before, 12345u);
}

TEST(Allocation, LyingGgufHeaders) {
  for (const uint64_t lie :
       {uint64_t{1} << 15, uint64_t{1} << 17, uint64_t{1} << 28, uint64_t{1} << 30, uint64_t{1} << 40,
        uint64_t{1} << 62, ~uint64_t{0}, ~uint64_t{0} / 16, ~uint64_t{0} / 8}) {
    expect_small(GgufBuilder(lie, 0).zeros(64), "tensor count");
    expect_small(GgufBuilder(0, lie).zeros(64), "metadata count");
    expect_small(GgufBuilder(0, 1).u64(lie).zeros(64), "key length");
    expect_small(GgufBuilder(0, 1).key("a", 8).u64(lie).zeros(64), "string length");
    for (uint32_t type = 0; type <= 12; ++type) {
      expect_small(GgufBuilder(0, 1).key("a", 9).u32(type).u64(lie).zeros(64), "array length");
    }
    expect_small(GgufBuilder(1, 0).u64(lie).zeros(64), "name length");
    expect_small(GgufBuilder(1, 0).tensor("t", {lie}, 24, 0).zeros(64), "dimension");
    expect_small(GgufBuilder(1, 0).tensor("t", {8, lie}, 24, 0).zeros(64), "rows");
  }
  // Counts that the file's size allows, with nothing behind them that keeps the promise.
  expect_small(GgufBuilder(65536, 0).zeros(65536 * 33), "tensor count within the size");
  expect_small(GgufBuilder(0, 65536).zeros(65536 * 14), "metadata count within the size");
  expect_small(GgufBuilder(0, 1).key("a", 9).u32(8).u64(1 << 17).raw(std::string(8 << 17, '\xff')),
               "strings");
}

// The most that honest bytes can cost: as many smallest entries as fit.
TEST(Allocation, ManySmallGgufEntries) {
  GgufBuilder keys(0, 60000);
  for (int i = 0; i < 60000; ++i) keys.key(std::to_string(i), 0).u8(0);
  ASSERT_TRUE(parse_gguf(keys.bytes()).ok());
  expect_small(keys, "keys");
  GgufBuilder strings(0, 1);
  strings.key("a", 9).u32(8).u64(100000).zeros(800000);
  ASSERT_TRUE(parse_gguf(strings.bytes()).ok());
  expect_small(strings, "strings");
  GgufBuilder tensors(50000, 0);
  for (int i = 0; i < 50000; ++i) tensors.tensor(std::to_string(i), {1}, 24, 32 * i);
  tensors.pad().zeros(32 * 50000);
  ASSERT_TRUE(parse_gguf(tensors.bytes()).ok());
  expect_small(tensors, "tensors");
}

TEST(Allocation, SafetensorsHeaders) {
  const auto expect_small_header = [](const std::string& header, uint64_t length) {
    std::string text(8, '\0');
    std::memcpy(text.data(), &length, 8);
    text += header;
    const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
    // An entry of __metadata__ takes 6 bytes and becomes two strings of 32 bytes, three times over, and a
    // view for the search for duplicates: (64 + 16) * 3 / 6 = 40 per byte.
    EXPECT_LE(bytes_allocated_by(parse_safetensors, bytes), kFixedBytes + 40 * text.size());
  };
  const std::string tensor = R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,18446744073709551615]}})";
  expect_small_header(tensor, tensor.size());
  for (const uint64_t lie : {uint64_t{99'999'999}, uint64_t{1} << 40, ~uint64_t{0}})
    expect_small_header(tensor, lie);
  std::string metadata = R"({"__metadata__":{)", shape = R"({"t":{"shape":[)";
  for (int i = 0; i < 60000; ++i) metadata += fmt::format("\"{}\":\"\",", i);
  for (int i = 0; i < 60000; ++i) shape += "1,";
  const std::string nested(1 << 20, '{');
  for (const auto& header : {metadata, shape, nested}) expect_small_header(header, header.size());
}

TEST(Allocation, ThirdPartyHostileFiles) {
  TERN_REQUIRE_DATA(folder, "formats/gguf_fuzz_corpus");
  for (const auto& sub : {"gguf_fuzz_corpus", "gguf_crash", "gguf_tiny"}) {
    for (const auto& entry : std::filesystem::directory_iterator(folder.parent_path() / sub)) {
      const auto file = MappedFile::open(entry.path()).value();
      EXPECT_LE(bytes_allocated_by(parse, file->bytes()), kFixedBytes + kBytesPerByte * file->bytes().size())
          << entry.path();
    }
  }
}

}  // namespace
}  // namespace tern
