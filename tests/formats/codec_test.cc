// SPDX-License-Identifier: MIT
// The ternary codecs against codec_oracle.h: every byte value at every place of a block, round trips over
// shapes, row ranges, scales, and every refusal.
#include "formats/ternary/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <vector>

#include "core/float16.h"
#include "tests/formats/codec_oracle.h"

namespace tern {
namespace {

using test::Layout;
using test::oracle_place;
using test::oracle_size;
using test::oracle_trit;
using test::Random;
using testing::HasSubstr;

constexpr std::byte kNoBase3{1};  // ceil(256 v / 243) is 0 for v = 0 and 2 for v = 1

uint32_t bits(float f) { return std::bit_cast<uint32_t>(f); }

std::vector<uint32_t> bits(const std::vector<float>& values) {
  std::vector<uint32_t> all;
  for (const float f : values) all.push_back(bits(f));
  return all;
}

/// A tensor in one layout, with room of exactly the right size so that a sanitizer sees every step outside.
struct Tensor {
  Tensor(const Layout& layout, uint64_t rows, uint64_t cols)
      : layout(layout), rows(rows), cols(cols), bytes(oracle_size(layout.dtype, rows, cols)) {}

  Status encode(const std::vector<int8_t>& trits, const std::vector<float>& scales) {
    return layout.codec().encode(trits.data(), scales.data(), rows, cols, layout.choice, bytes);
  }
  Status decode(uint64_t row_begin, uint64_t row_count) {
    trits.assign(row_count * cols, 99);
    scales.assign(row_count * layout.codec().scales_per_row(cols), -77.0f);
    return layout.codec().decode(bytes, rows, cols, row_begin, row_count, layout.choice, trits.data(),
                                 scales.data());
  }
  Status decode() { return decode(0, rows); }

  Layout layout;
  uint64_t rows, cols;
  std::vector<std::byte> bytes;
  std::vector<int8_t> trits;  // of the last decode
  std::vector<float> scales;  // of the last decode
};

/// Scales that the layout can hold; every f16 or f32 pattern but NaN, one for the whole tensor where that is
/// the scope.
std::vector<float> random_scales(const TernaryCodec& codec, uint64_t rows, uint64_t cols, Random& random) {
  std::vector<float> scales(rows * codec.scales_per_row(cols));
  for (float& s : scales) {
    do {
      s = codec.f16_scale ? f16_to_f32(static_cast<uint16_t>(random.next()))
                          : std::bit_cast<float>(static_cast<uint32_t>(random.next()));
    } while (std::isnan(s));
  }
  if (codec.scale_scope == ScaleScope::kTensor && !scales.empty()) scales.assign(scales.size(), scales[0]);
  return scales;
}

class Codec : public testing::TestWithParam<Layout> {
 protected:
  const Layout& layout() const { return GetParam(); }
  const TernaryCodec& codec() const { return GetParam().codec(); }
  bool every_byte_is_defined() const { return codec().has_two || !codec().has_zero; }
  /// The smallest tensor with all places of a block; HF gets a missing row, so that an unused field shows.
  Tensor smallest() const {
    if (layout().dtype == DType::kHfU8) return Tensor(layout(), 7, 3);
    return Tensor(layout(), layout().row_multiple, layout().col_multiple == 1 ? 3 : layout().col_multiple);
  }
  std::vector<std::pair<uint64_t, int>> legal_values(const Tensor& tensor) const;
  void check_every_value(Tensor& tensor, uint64_t at, const std::vector<uint64_t>& weights,
                         const std::vector<float>& scales) const;
  /// `factor` rows of the layout's smallest tensor, or more where a test wants at least `count`.
  uint64_t rows_for(uint64_t count) const { return std::max(count, layout().row_multiple); }
  /// Makes the weight at `place` undefined without touching weights of other rows.
  static void spoil(std::span<std::byte> bytes, const test::Place& place) {
    std::byte& byte = bytes[place.byte];
    switch (place.kind) {
      case test::Place::kTwoBits:
        byte |= static_cast<std::byte>(3u << place.index);
        break;
      case test::Place::kPair:
      case test::Place::kThree:
        byte |= static_cast<std::byte>(15u << place.digits);
        break;
      default:
        byte = kNoBase3;
    }
  }

  std::vector<int8_t> base_trits_;  // of the tensor of EveryByteValueAtEveryPlace
};

// Every value of byte `at`, which says something of `weights` only. Decodes the rows of these one by one.
// Encodes each legal tensor again where tensors are small, one in 251 values where tiles make them large.
void Codec::check_every_value(Tensor& tensor, uint64_t at, const std::vector<uint64_t>& weights,
                              const std::vector<float>& scales) const {
  const std::byte before = tensor.bytes[at];
  std::set<uint64_t> rows;
  for (const uint64_t i : weights) rows.insert(i / tensor.cols);
  std::vector<int8_t> all = base_trits_;
  for (unsigned value = 0; value < 256; ++value) {
    tensor.bytes[at] = static_cast<std::byte>(value);
    bool legal = true, accepted = true;
    for (const uint64_t i : weights) {
      const auto place = oracle_place(layout(), tensor.rows, tensor.cols, i / tensor.cols, i % tensor.cols);
      const auto trit = oracle_trit(layout().dtype, tensor.bytes, place);
      legal = legal && trit.has_value();
      all[i] = static_cast<int8_t>(trit.value_or(0));
    }
    for (const uint64_t r : rows) {
      const Status status = tensor.decode(r, 1);
      accepted = accepted && status.ok();
      if (status.ok()) {
        const auto row = all.begin() + static_cast<ptrdiff_t>(r * tensor.cols);
        ASSERT_TRUE(!legal || std::equal(tensor.trits.begin(), tensor.trits.end(), row))
            << "byte " << at << " value " << value << " row " << r;
        continue;
      }
      EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
      // A zero with a sign is two bytes of TL2 that contradict each other: either may be named.
      if (layout().dtype == DType::kTL2) continue;
      EXPECT_THAT(status.error().message, HasSubstr(fmt::format("byte {} of", at)));
      EXPECT_THAT(status.error().message, HasSubstr(fmt::format("0x{:02x}", value)));
    }
    ASSERT_EQ(accepted, legal) << "byte " << at << " value " << value;
    if (!legal || (layout().is_tiled() && (value + at) % 251 != 0)) continue;
    Tensor again(layout(), tensor.rows, tensor.cols);
    ASSERT_TRUE(again.encode(all, scales).ok());
    // Fields of rows that do not exist (HF) are read as nothing and written as zero: there weights decide.
    if (layout().dtype == DType::kHfU8) {
      ASSERT_TRUE(again.decode().ok());
      ASSERT_EQ(again.trits, all);
    } else {
      ASSERT_EQ(again.bytes, tensor.bytes) << "byte " << at << " value " << value;
    }
  }
  tensor.bytes[at] = before;
}

INSTANTIATE_TEST_SUITE_P(Layouts, Codec, testing::ValuesIn(test::kLayouts),
                         [](const auto& info) { return info.param.name(); });

TEST(CodecList, InTheOrderOfDTypeAndFoundByIt) {
  DType expected = DType::kI2_S;
  for (const TernaryCodec& codec : ternary_codecs()) {
    EXPECT_EQ(codec.dtype, expected);
    EXPECT_EQ(find_codec(expected), &codec);
    expected = static_cast<DType>(static_cast<int>(expected) + 1);
  }
  EXPECT_EQ(ternary_codecs().back().dtype, DType::kHfU8);
  for (const DType dense : {DType::kF32, DType::kU8, DType::kQ8_0, DType::kQ6_K})
    EXPECT_EQ(find_codec(dense), nullptr);
}

TEST(CodecList, ScalesPerRow) {
  EXPECT_EQ(find_codec(DType::kI2_S)->scales_per_row(2560), 1u);
  EXPECT_EQ(find_codec(DType::kIQ1_BN)->scales_per_row(2560), 1u);
  EXPECT_EQ(find_codec(DType::kTQ1_0)->scales_per_row(2560), 10u);
  EXPECT_EQ(find_codec(DType::kQ1_0)->scales_per_row(2560), 20u);
  EXPECT_EQ(find_codec(DType::kQ2_0_G64)->scales_per_row(2560), 40u);
}

// Every value of every code byte of a block: the weights are the oracle's, or the byte is refused by place
// and value; and what decodes encodes to the same byte, so encode and decode are inverse on everything that
// is legal.
TEST_P(Codec, EveryByteValueAtEveryPlace) {
  Tensor tensor = smallest();
  Random random(1);
  const std::vector<float> scales(tensor.rows * codec().scales_per_row(tensor.cols), 0.5f);
  base_trits_ = test::random_trits(codec(), tensor.rows * tensor.cols, random);
  ASSERT_TRUE(tensor.encode(base_trits_, scales).ok());

  std::map<uint64_t, std::vector<uint64_t>>
      weights_of_byte;  // indices of the weights that it says something of
  for (uint64_t i = 0; i < tensor.rows * tensor.cols; ++i) {
    const auto place = oracle_place(layout(), tensor.rows, tensor.cols, i / tensor.cols, i % tensor.cols);
    weights_of_byte[place.byte].push_back(i);
    if (place.kind == test::Place::kThree) weights_of_byte[place.sign_byte].push_back(i);
  }
  for (const auto& [at, weights] : weights_of_byte) check_every_value(tensor, at, weights, scales);
}

/// Bytes of the smallest tensor and how many of their values are legal: 3^4 or 4^4 for fields of two bits,
/// 3^5 and 3^4 for digits, all for bits, 14 magnitudes twice in TL2 where no sign is set.
std::vector<std::pair<uint64_t, int>> Codec::legal_values(const Tensor& tensor) const {
  switch (layout().dtype) {
    case DType::kTQ1_0:
      return {{0, 243}, {47, 243}, {48, 81}, {51, 81}};
    case DType::kPTQ1_0:
      return {{0, 243}, {23, 243}, {24, 81}, {25, 81}};
    case DType::kIQ1_BN:
      return {{2, 243}, {13, 243}, {14, 81}};
    case DType::kQ1_0:
    case DType::kQ2_0_G64:
    case DType::kQ2_0_G128:
    case DType::kMlx1:
    case DType::kMlx2:
      return {{2, 256}};
    case DType::kTL2: {
      const uint64_t tile_cols = layout().choice.tl_tile.cols;
      return {{0, 14 * 14},
              {tensor.rows * (tensor.cols / tile_cols * tile_cols) / 6, 256}};  // the first of the signs
    }
    case DType::kIQ2_BN_R4:
      return {{16, 81}};
    case DType::kIQ2_BN:
      return {{4, 81}};
    default:
      return {{0, 81}};
  }
}

TEST_P(Codec, CountOfLegalByteValues) {
  Tensor tensor = smallest();
  if (layout().dtype == DType::kHfU8) tensor = Tensor(layout(), 8, 3);
  Random random(2);
  const std::vector<float> scales(tensor.rows * codec().scales_per_row(tensor.cols), 1.0f);
  // TL2 shows its magnitudes where no sign is set.
  const std::vector<int8_t> trits = layout().dtype == DType::kTL2
                                        ? std::vector<int8_t>(tensor.rows * tensor.cols, 1)
                                        : test::random_trits(codec(), tensor.rows * tensor.cols, random);
  ASSERT_TRUE(tensor.encode(trits, scales).ok());
  const auto count_legal = [&](uint64_t at) {
    const std::byte before = tensor.bytes[at];
    int count = 0;
    std::set<std::vector<int8_t>> tuples;
    for (unsigned value = 0; value < 256; ++value) {
      tensor.bytes[at] = static_cast<std::byte>(value);
      if (!tensor.decode().ok()) continue;
      ++count;
      tuples.insert(tensor.trits);
    }
    tensor.bytes[at] = before;
    EXPECT_EQ(static_cast<size_t>(count), tuples.size()) << "two bytes mean the same weights";
    return count;
  };
  for (const auto& [at, count] : legal_values(tensor)) EXPECT_EQ(count_legal(at), count) << "byte " << at;
}

TEST_P(Codec, RoundTripsAndRowRanges) {
  Random random(3);
  for (const uint64_t row_factor : {1, 2, 3, 5, 16}) {
    for (const uint64_t col_factor : {1, 2, 3, 7}) {
      if (layout().is_tiled() && row_factor * col_factor > 7) continue;  // large enough without
      const uint64_t rows = row_factor * layout().row_multiple, cols = col_factor * layout().col_multiple;
      Tensor tensor(layout(), rows, cols);
      const std::vector<int8_t> trits = test::random_trits(codec(), rows * cols, random);
      const std::vector<float> scales = random_scales(codec(), rows, cols, random);
      const Status encoded = tensor.encode(trits, scales);
      ASSERT_TRUE(encoded.ok()) << encoded.error().message;
      for (uint64_t i = 0; i < rows * cols; ++i) {
        const auto place = oracle_place(layout(), rows, cols, i / cols, i % cols);
        ASSERT_EQ(oracle_trit(layout().dtype, tensor.bytes, place), trits[i])
            << rows << "x" << cols << " at " << i;
      }
      const uint64_t step = layout().is_tiled() ? rows / 5 : 1;  // all ranges, or some of many rows
      for (uint64_t begin = 0; begin <= rows; begin += step) {
        for (uint64_t end = begin; end <= rows; end += step) {
          ASSERT_TRUE(tensor.decode(begin, end - begin).ok());
          const uint64_t per_row = codec().scales_per_row(cols);
          ASSERT_EQ(tensor.trits,
                    std::vector<int8_t>(trits.begin() + begin * cols, trits.begin() + end * cols));
          if (!codec().has_scale) {
            for (const float s : tensor.scales)
              ASSERT_EQ(s, -77.0f) << "scales of another tensor were touched";
            continue;
          }
          const std::vector<float> expected(scales.begin() + begin * per_row, scales.begin() + end * per_row);
          ASSERT_EQ(bits(tensor.scales), bits(expected));
        }
      }
    }
  }
}

// A row range reads only its own rows: every code of the others may be undefined.
TEST_P(Codec, RowRangeReadsOnlyItsRows) {
  const uint64_t rows = rows_for(8), cols = 2 * layout().col_multiple;
  Tensor tensor(layout(), rows, cols);
  Random random(4);
  const std::vector<int8_t> trits = test::random_trits(codec(), rows * cols, random);
  ASSERT_TRUE(tensor.encode(trits, random_scales(codec(), rows, cols, random)).ok());
  for (uint64_t r = 0; r < rows; ++r) {
    for (uint64_t c = 0; c < cols && r != 5; ++c) {
      // Rows may share bytes (x86-1x4, HF), so only the other row's field is spoiled.
      spoil(tensor.bytes, oracle_place(layout(), rows, cols, r, c));
    }
  }
  EXPECT_EQ(tensor.decode(4, 1).ok(), every_byte_is_defined());
  ASSERT_TRUE(tensor.decode(5, 1).ok());
  EXPECT_EQ(tensor.trits, std::vector<int8_t>(trits.begin() + 5 * cols, trits.begin() + 6 * cols));
}

// The place in the message is counted from the tensor's first byte, also in a later row, block and range.
TEST_P(Codec, UndefinedByteIsNamedFromTheTensorsStart) {
  if (every_byte_is_defined()) return;
  const uint64_t rows = rows_for(16), cols = 3 * layout().col_multiple;
  Tensor tensor(layout(), rows, cols);
  ASSERT_TRUE(tensor
                  .encode(std::vector<int8_t>(rows * cols, 0),
                          std::vector<float>(rows * codec().scales_per_row(cols), 1.0f))
                  .ok());
  const auto place = oracle_place(layout(), rows, cols, 6, 2 * layout().col_multiple);
  spoil(tensor.bytes, place);
  ASSERT_FALSE(oracle_trit(layout().dtype, tensor.bytes, place).has_value());
  const Status status = tensor.decode(6, 1);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
  EXPECT_THAT(status.error().message,
              HasSubstr(fmt::format("byte {} of the {}", place.byte, dtype_name(codec().dtype))));
}

TEST_P(Codec, RefusesTritsItCannotHold) {
  const uint64_t rows = rows_for(4), cols = 2 * layout().col_multiple;
  Random random(5);
  const std::vector<float> scales(rows * codec().scales_per_row(cols), 1.0f);
  const bool two = codec().has_two;
  for (int wrong = -128; wrong < 128; ++wrong) {
    const bool legal = codec().has_zero ? wrong >= -1 && wrong <= (two ? 2 : 1) : wrong == -1 || wrong == 1;
    Tensor tensor(layout(), rows, cols);
    std::vector<int8_t> trits = test::random_trits(codec(), rows * cols, random);
    const uint64_t at = random.below(trits.size());
    trits[at] = static_cast<int8_t>(wrong);
    const Status status = tensor.encode(trits, scales);
    ASSERT_EQ(status.ok(), legal) << wrong;
    if (legal) continue;
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message,
                HasSubstr(fmt::format("found {} at row {}, column {}", wrong, at / cols, at % cols)));
  }
}

// Every f16 scale is returned and written bit for bit (a signalling NaN becomes quiet, as in any conversion).
TEST_P(Codec, EveryF16Scale) {
  if (!codec().has_scale) return;
  Tensor tensor(layout(), layout().row_multiple, layout().col_multiple);
  Random random(6);
  const std::vector<int8_t> trits = test::random_trits(codec(), tensor.rows * tensor.cols, random);
  const uint32_t step = layout().is_tiled() ? 257 : 1;  // f32 in the trailer, as in I2_S
  for (uint32_t half = 0; half < 65536; half += step) {
    const float scale = f16_to_f32(static_cast<uint16_t>(half));
    const std::vector<float> scales(tensor.rows * codec().scales_per_row(tensor.cols), scale);
    ASSERT_TRUE(tensor.encode(trits, scales).ok());
    ASSERT_TRUE(tensor.decode().ok());
    ASSERT_EQ(bits(tensor.scales[0]), bits(scale)) << half;
  }
}

TEST_P(Codec, RefusesScalesThatF16CannotHold) {
  const uint64_t rows = 2, cols = 2 * layout().col_multiple;
  Tensor tensor(layout(), layout().row_multiple * rows, cols);
  Random random(7);
  const std::vector<int8_t> trits = test::random_trits(codec(), tensor.rows * cols, random);
  for (const float wrong : {0.1f, 65536.0f, 0x1p-25f, 0x1.004p0f + 0x1p-23f, -1e-9f}) {
    std::vector<float> scales(tensor.rows * codec().scales_per_row(cols), 1.0f);
    scales.back() = wrong;
    if (codec().scale_scope == ScaleScope::kTensor) scales.front() = wrong;
    const Status status = tensor.encode(trits, scales);
    ASSERT_EQ(status.ok(), !codec().f16_scale);
    if (status.ok()) continue;
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message,
                HasSubstr(fmt::format("cannot hold {} (scale {})", wrong, scales.size() - 1)));
  }
}

TEST_P(Codec, RefusesWrongSizesAndShapes) {
  const uint64_t rows = 2 * layout().row_multiple, cols = 2 * layout().col_multiple;
  const uint64_t size = oracle_size(layout().dtype, rows, cols);
  std::vector<int8_t> trits(2 * rows * cols, 1);
  std::vector<float> scales(2 * rows * cols, 1.0f);
  std::vector<std::byte> bytes(size + 1);
  const auto both = [&](uint64_t r, uint64_t c, uint64_t found) {
    const std::span<std::byte> view = std::span(bytes).first(found);
    const Status decoded = codec().decode(view, r, c, 0, 0, layout().choice, trits.data(), scales.data());
    const Status encoded = codec().encode(trits.data(), scales.data(), r, c, layout().choice, view);
    EXPECT_EQ(decoded.ok(), encoded.ok());
    if (!decoded.ok() && !encoded.ok()) {
      EXPECT_EQ(decoded.error().message, encoded.error().message);
    }
    return decoded;
  };
  ASSERT_TRUE(both(rows, cols, size).ok());
  for (const uint64_t found : {uint64_t{0}, size - 1, size + 1}) {
    const Status status = both(rows, cols, found);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kCorrupt);
    EXPECT_THAT(status.error().message, HasSubstr(fmt::format("takes {} bytes, found {}", size, found)));
  }
  if (layout().col_multiple > 1 && !layout().is_tiled() && !layout().is_flat()) {
    const Status status = both(rows, cols + layout().col_multiple / 2, size);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message, HasSubstr("columns"));
    EXPECT_THAT(status.error().message, HasSubstr(fmt::format("that {} divides", layout().col_multiple)));
  }
  if (layout().row_multiple > 1 && !layout().is_tiled() && !layout().is_flat()) {
    const Status status = both(rows + 2, cols, size);
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message, HasSubstr("rows"));
  }
  const Status huge = both(uint64_t{1} << 62, uint64_t{1} << 8, size);  // the product wraps to 0
  ASSERT_FALSE(huge.ok());
  EXPECT_EQ(huge.error().code, ErrorCode::kCorrupt);
}

TEST_P(Codec, EmptyTensors) {
  const uint64_t row = layout().row_multiple, col = layout().col_multiple;
  for (const auto& [rows, cols] : {std::pair<uint64_t, uint64_t>{0, 0}, {0, col}, {row, 0}}) {
    if (layout().dtype == DType::kTL2 && cols == 0) continue;  // has no size
    Tensor tensor(layout(), rows, cols);
    ASSERT_TRUE(tensor.encode({}, std::vector<float>(rows * codec().scales_per_row(cols), 2.0f)).ok());
    ASSERT_TRUE(tensor.decode().ok());
    EXPECT_TRUE(tensor.trits.empty());
    if (codec().has_scale) {
      for (const float s : tensor.scales) EXPECT_EQ(s, 2.0f);
    }
  }
}

// A header may claim 2^60 rows without columns; that must not become a loop of 2^60 steps (this test would
// not end).
TEST_P(Codec, ManyRowsOfNothing) {
  if (codec().scale_scope != ScaleScope::kGroup && codec().has_scale)
    return;  // rows have scales: bytes limit them
  const uint64_t rows = uint64_t{1} << 60;
  EXPECT_TRUE(codec().decode({}, rows, 0, 0, rows, layout().choice, nullptr, nullptr).ok());
  EXPECT_TRUE(codec().encode(nullptr, nullptr, rows, 0, layout().choice, {}).ok());
}

TEST(CodecI2s, TrailerIsIgnoredOnReadingAndZeroOnWriting) {
  for (const I2sOrder order : {I2sOrder::kX86_128, I2sOrder::kArm_64, I2sOrder::kX86_1x4}) {
    Tensor tensor({DType::kI2_S, order, 4, 128}, 4, 128);
    tensor.bytes.assign(tensor.bytes.size(), std::byte{0xee});
    ASSERT_TRUE(tensor.encode(std::vector<int8_t>(512, 1), {0.7f}).ok());
    const auto trailer = std::span(tensor.bytes).subspan(128);
    ASSERT_EQ(trailer.size(), 32u);
    for (size_t i = 4; i < 32; ++i) EXPECT_EQ(trailer[i], std::byte{0});
    for (size_t i = 4; i < 32; ++i) trailer[i] = std::byte{0xff};
    ASSERT_TRUE(tensor.decode().ok());
    EXPECT_EQ(tensor.scales, std::vector<float>(4, 0.7f));
  }
}

// Blocks straddle rows, but a block must not be cut at the end: then no engine agrees with another.
TEST(CodecI2s, NeedsWholeBlocks) {
  for (const auto& [order, block] : {std::pair(I2sOrder::kX86_128, 128), {I2sOrder::kArm_64, 64}}) {
    std::vector<std::byte> bytes(3 * 60 / 4 + 32);
    std::vector<int8_t> trits(180);
    std::vector<float> scales(3, 1.0f);
    const Status status =
        find_codec(DType::kI2_S)->decode(bytes, 3, 60, 0, 3, order, trits.data(), scales.data());
    ASSERT_FALSE(status.ok());
    EXPECT_EQ(status.error().code, ErrorCode::kUnsupported);
    EXPECT_THAT(status.error().message, HasSubstr(fmt::format("that {} divides, found 180", block)));
  }
}

TEST(CodecTl, RefusesTilesThatAreUnknownOrDoNotFit) {
  struct Case {
    DType dtype;
    uint64_t rows, cols;
    TlTile tile;
  };
  const Case cases[] = {
      {DType::kTL1, 64, 32, {64, 32, 16}},
      {DType::kTL1, 64, 32, {48, 32, 32}},
      {DType::kTL1, 96, 32, {64, 32, 32}},
      {DType::kTL1, 64, 48, {64, 32, 32}},
      {DType::kTL1, 64, 32, {64, 4, 32}},
      {DType::kTL1, 64, 32, {64, 32, 128}},
      {DType::kTL2, 64, 384, {64, 96, 64}},
      {DType::kTL2, 64, 384, {48, 96, 32}},
      {DType::kTL2, 64, 384, {64, 64, 32}},
      {DType::kTL2, 96, 384, {64, 96, 32}},
      {DType::kTL2, 64, 300, {64, 96, 32}},
      {DType::kTL2, 64, 864, {64, 1728, 32}},  // all columns in pairs: more than the size leaves room for
  };
  for (const Case& c : cases) {
    std::vector<std::byte> bytes(oracle_size(c.dtype, c.rows, c.cols));
    std::vector<int8_t> trits(c.rows * c.cols);
    std::vector<float> scales(c.rows, 1.0f);
    const auto both = [&](TlTile tile, const char* words) {
      const Status decoded =
          find_codec(c.dtype)->decode(bytes, c.rows, c.cols, 0, c.rows, tile, trits.data(), scales.data());
      const Status encoded =
          find_codec(c.dtype)->encode(trits.data(), scales.data(), c.rows, c.cols, tile, bytes);
      ASSERT_FALSE(decoded.ok()) << c.rows << " x " << c.cols << ", " << tile.rows << "/" << tile.cols;
      ASSERT_FALSE(encoded.ok());
      EXPECT_EQ(decoded.error().code, ErrorCode::kUnsupported);
      EXPECT_THAT(decoded.error().message, HasSubstr(words));
      EXPECT_EQ(decoded.error().message, encoded.error().message);
    };
    both({}, "--tl-config");
    both(c.tile, "cannot have tiles of");
  }
}

TEST(CodecHfU8, FieldsOfRowsThatDoNotExistAreZero) {
  // 5 rows: two packed rows, so field 2 of the second and field 3 of both have no row.
  Tensor tensor({DType::kHfU8, {}, 1, 1}, 5, 2);
  tensor.bytes.assign(4, std::byte{0xee});
  ASSERT_TRUE(tensor.encode(std::vector<int8_t>(10, 1), {}).ok());
  const std::vector<std::byte> expected = {std::byte{0x2a}, std::byte{0x2a}, std::byte{0x0a},
                                           std::byte{0x0a}};
  EXPECT_EQ(tensor.bytes, expected);
  for (std::byte& b : tensor.bytes) b |= std::byte{0xc0};
  EXPECT_TRUE(tensor.decode().ok());
  EXPECT_EQ(tensor.trits, std::vector<int8_t>(10, 1));
}

TEST(FitsF16, ExactlyTheValuesOfHalf) {
  for (uint32_t half = 0; half < 65536; ++half) {
    const float f = f16_to_f32(static_cast<uint16_t>(half));
    EXPECT_TRUE(fits_f16(f)) << half;
    if (std::isnan(f)) continue;
    // No two halves are one f32 step apart, so the neighbours never fit.
    EXPECT_FALSE(fits_f16(std::bit_cast<float>(bits(f) ^ 1u))) << half;
  }
  EXPECT_FALSE(fits_f16(65520.0f));
  EXPECT_FALSE(fits_f16(std::numeric_limits<float>::denorm_min()));
}

}  // namespace
}  // namespace tern
