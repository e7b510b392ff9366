// SPDX-License-Identifier: MIT
// The published vectors: one stream of 64 x 512 trits in every layout, checked by the first 16 bytes and the
// SHA-256 of all bytes, most of which the upstream quantisers reproduce. Decoding those bytes must give the
// stream back, so two containers of the same weights also agree with each other. Source: FORMATS.md G.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/ternary/codec.h"
#include "tests/sha256.h"

namespace tern {
namespace {

constexpr uint64_t kRows = 64, kCols = 512;

std::vector<int8_t> stream() {
  std::vector<int8_t> trits;
  uint64_t x = 1;
  for (uint64_t i = 0; i < kRows * kCols; ++i) {
    x = (1103515245 * x + 12345) % (uint64_t{1} << 31);
    trits.push_back(static_cast<int8_t>(static_cast<int>(x / 65536 % 3) - 1));
  }
  return trits;
}

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    if (!text.empty()) text += ' ';
    text += fmt::format("{:02x}", static_cast<unsigned>(b));
  }
  return text;
}

struct Vector {
  DType dtype;
  LayoutChoice choice;
  size_t bytes;       // that the published hash is of
  const char* first;  // 16 bytes
  const char* hash;   // 16 hex digits
};

const Vector kVectors[] = {
    {DType::kHfU8, {}, 8192, "82 45 14 69 59 56 94 40 94 20 65 82 28 94 aa 1a", "189a1c6c760aa8ae"},
    {DType::kI2_S, I2sOrder::kX86_128, 8224, "a6 50 22 69 58 94 04 04 28 22 46 82 16 25 85 a0",
     "4ded8648e45b8104"},
    {DType::kI2_S, I2sOrder::kArm_64, 8224, "8a 44 08 4a 65 96 20 01 08 09 42 a1 15 29 a1 a8",
     "0c07bb3c835f7d4c"},
    {DType::kI2_S, I2sOrder::kX86_1x4, 8224, "98 45 05 5a 50 a6 0a 19 12 15 64 92 26 1a 85 86",
     "bada794d292ef719"},
    {DType::kTQ1_0, {}, 6912, "f4 73 41 a7 86 d3 0a 0c 4e 41 66 b4 2e 47 ba e4", "20bb4a9f9d6f0a3e"},
    {DType::kTQ2_0, {}, 8448, "9a 05 88 69 25 16 10 10 28 88 91 82 94 58 52 0a", "dc58673381ed2ec6"},
    {DType::kQ1_0, {}, 4608, "00 3c 3b cc 70 f8 3f b3 b9 7e f9 75 f5 ce 0d 7e", "f618ddc90ffb0c91"},
    {DType::kQ2_0_G64, {}, 9216, "00 3c 46 09 90 a0 00 26 80 a9 a6 05 0a 89 82 49", "c43b647b2177124d"},
    {DType::kQ2_0_G128, {}, 8704, "00 3c 46 09 90 a0 00 26 80 a9 a6 05 0a 89 82 49", "203fe4b42dcd03b1"},
    {DType::kIQ2_BN, {}, 8448, "00 00 80 3f a2 11 20 a1 59 96 08 40 20 60 81 4a", "271cd9590c9e75b5"},
    {DType::kIQ1_BN, {}, 6784, "00 3c 78 03 b3 ab 08 f4 a7 e5 43 91 61 81 1c e5", "69014f0f2f490388"},
    {DType::kPTQ1_0, {}, 7168, "c6 5f 13 71 9d d8 3a 05 16 17 5d e7 2b 51 e8 f7", "8ce534ca4c2dc570"},
    {DType::kTL1, TlTile{64, 64, 32}, 8192, "71 31 75 15 71 04 68 46 00 52 05 64 08 17 82 21",
     "6aa8e041f79f5846"},
    {DType::kTL1, TlTile{64, 128, 64}, 8192, "71 31 75 15 71 04 68 46 00 52 05 64 08 17 82 21",
     "1ed974169bc532dd"},
    {DType::kTL2, TlTile{32, 96, 32}, 7509, "81 41 96 97 82 c3 78 19 9c bb 6a 62 22 99 87 9c",
     "9baf8ef48d97e641"},
    {DType::kMlx2, {}, 8192, "46 09 90 a0 00 26 80 a9 a6 05 0a 89 82 49 64 15", "ff6a2c86835126c6"},
};

class Conformance : public testing::TestWithParam<Vector> {};

TEST(Sha256, PublishedDigests) {
  EXPECT_EQ(test::sha256_hex({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const auto digest = [](std::string_view text) { return test::sha256_hex(std::as_bytes(std::span(text))); };
  EXPECT_EQ(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(digest(std::string(1000000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(ConformanceStream, RawCodes) {
  std::vector<std::byte> codes;
  for (const int8_t t : stream()) codes.push_back(static_cast<std::byte>(t + 1));
  EXPECT_EQ(codes.size(), 32768u);
  EXPECT_EQ(hex(std::span(codes).first(16)), "02 01 00 01 01 02 00 00 00 00 01 02 00 00 02 02");
  EXPECT_EQ(test::sha256_hex(codes).substr(0, 16), "f0ccea8d0edb91fa");
}

TEST_P(Conformance, EncodesToThePublishedBytesAndBack) {
  const Vector& vector = GetParam();
  const TernaryCodec* codec = find_codec(vector.dtype);
  ASSERT_NE(codec, nullptr);
  std::vector<int8_t> trits = stream();
  if (!codec->has_zero) {
    for (int8_t& t : trits) t = t >= 0 ? 1 : -1;  // as the published vector does
  }
  const std::vector<float> scales(kRows * codec->scales_per_row(kCols), 1.0f);

  const size_t size = tensor_byte_size(vector.dtype, kRows, kCols).value();
  std::vector<std::byte> bytes(size, std::byte{0xee});
  const Status encoded = codec->encode(trits.data(), scales.data(), kRows, kCols, vector.choice, bytes);
  ASSERT_TRUE(encoded.ok()) << encoded.error().message;
  EXPECT_EQ(hex(std::span(bytes).first(16)), vector.first);
  EXPECT_EQ(test::sha256_hex(std::span(bytes).first(vector.bytes)).substr(0, 16), vector.hash);

  std::vector<int8_t> decoded(trits.size(), 99);
  std::vector<float> decoded_scales(scales.size(), 1.0f);  // hf_u8 leaves them alone
  if (codec->has_scale) decoded_scales.assign(scales.size(), 0.0f);
  const Status status =
      codec->decode(bytes, kRows, kCols, 0, kRows, vector.choice, decoded.data(), decoded_scales.data());
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(decoded, trits);
  EXPECT_EQ(decoded_scales, scales);
}

INSTANTIATE_TEST_SUITE_P(Formats, Conformance, testing::ValuesIn(kVectors), [](const auto& info) {
  return fmt::format("{}_{}_{}", dtype_name(info.param.dtype), static_cast<int>(info.param.choice.i2s_order),
                     info.param.choice.tl_tile.block_rows);
});

// Four rows interleaved are the rows of IQ2_BN: no vector is published.
TEST(ConformanceAcrossContainers, Iq2BnR4EqualsIq2Bn) {
  const std::vector<int8_t> trits = stream();
  const std::vector<float> scales(kRows, 1.0f);
  for (const DType dtype : {DType::kIQ2_BN, DType::kIQ2_BN_R4}) {
    std::vector<std::byte> bytes(8448);
    ASSERT_TRUE(find_codec(dtype)->encode(trits.data(), scales.data(), kRows, kCols, {}, bytes).ok());
    const auto byte = [&](uint64_t at) { return static_cast<unsigned>(bytes[at]); };
    // The 32 bytes of columns 0 to 63 of rows 0 and 1, from the sentence of FORMATS.md A.3.
    for (uint64_t row = 0; row < 2 && dtype == DType::kIQ2_BN_R4; ++row) {
      for (uint64_t col = 0; col < 64; ++col) {
        const unsigned code = byte(16 + 4 * row + col % 4 + 16 * (col / 16)) >> 2 * (col / 4 % 4) & 3;
        EXPECT_EQ(static_cast<int>(code) - 1, trits[row * kCols + col]);
      }
    }
    std::vector<int8_t> decoded(trits.size());
    std::vector<float> found(kRows);
    ASSERT_TRUE(
        find_codec(dtype)->decode(bytes, kRows, kCols, 0, kRows, {}, decoded.data(), found.data()).ok());
    EXPECT_EQ(decoded, trits);
    EXPECT_EQ(found, scales);
  }
}

// The same weights through two containers whose fields lie a quarter of the matrix apart and a quarter of a
// block apart.
TEST(ConformanceAcrossContainers, HfUint8EqualsI2s) {
  const std::vector<int8_t> trits = stream();
  const float one = 1.0f;
  const auto through = [&](DType dtype, I2sOrder order, size_t size) {
    const TernaryCodec* codec = find_codec(dtype);
    std::vector<std::byte> bytes(size);
    EXPECT_TRUE(codec->encode(trits.data(), &one, kRows, kCols, order, bytes).ok());
    std::vector<int8_t> decoded(trits.size());
    std::vector<float> scales(kRows);
    EXPECT_TRUE(codec->decode(bytes, kRows, kCols, 0, kRows, order, decoded.data(), scales.data()).ok());
    return decoded;
  };
  const std::vector<int8_t> hf = through(DType::kHfU8, {}, 8192);
  for (const I2sOrder order : {I2sOrder::kX86_128, I2sOrder::kArm_64, I2sOrder::kX86_1x4}) {
    EXPECT_EQ(through(DType::kI2_S, order, 8224), hf);
  }
}

}  // namespace
}  // namespace tern
