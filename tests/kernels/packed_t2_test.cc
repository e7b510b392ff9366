// SPDX-License-Identifier: MIT
// Layout T2: the documented bytes, unpack as the exact inverse of pack, scale collapse, and what pack
// refuses.
#include "kernels/cpu/packed_t2.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <random>
#include <vector>

namespace tern {
namespace {

struct Matrix {
  int64_t rows = 0, cols = 0, groups = 1;
  std::vector<int8_t> trits;  // [rows, cols]
  std::vector<float> scales;  // [rows, groups]
};

Matrix random_matrix(int64_t rows, int64_t cols, int64_t groups, uint32_t seed) {
  Matrix m{rows, cols, groups, {}, {}};
  std::mt19937 rng(seed);
  for (int64_t i = 0; i < rows * cols; ++i)
    m.trits.push_back(static_cast<int8_t>(static_cast<int>(rng() % 4) - 1));
  for (int64_t i = 0; i < rows * groups; ++i)
    m.scales.push_back(static_cast<float>(rng() % 1000 + 1) / 777.0f);
  return m;
}

TernarySource source_of(const Matrix& m, WeightScale kind, int64_t group_cols = 0, float multiplier = 1) {
  TernarySource source;
  source.rows = m.rows;
  source.cols = m.cols;
  source.scale_kind = kind;
  source.group_cols = group_cols;
  source.tensor_multiplier = multiplier;
  source.read = [&m](int64_t begin, int64_t count, int8_t* trits, float* scales) -> Status {
    std::copy_n(m.trits.data() + begin * m.cols, count * m.cols, trits);
    std::copy_n(m.scales.data() + begin * m.groups, count * m.groups, scales);
    return {};
  };
  return source;
}

std::unique_ptr<PackedT2> pack(const TernarySource& source, ThreadPool* pool = nullptr) {
  auto packed = PackedT2::pack(source, pool);
  EXPECT_TRUE(packed.ok()) << (packed.ok() ? "" : packed.error().message);
  return packed.ok() ? std::move(packed).value() : nullptr;
}

void expect_unpacks_to(const PackedT2& packed, const Matrix& m, int64_t begin, int64_t count) {
  std::vector<int8_t> trits(static_cast<size_t>(count * m.cols));
  std::vector<float> scales(static_cast<size_t>(count * m.groups));
  packed.unpack(begin, count, trits.data(), scales.data());
  EXPECT_TRUE(std::equal(trits.begin(), trits.end(), m.trits.begin() + begin * m.cols));
  EXPECT_TRUE(
      std::equal(scales.begin(), scales.end(), m.scales.begin() + begin * m.groups,
                 [](float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }));
}

TEST(PackedT2, EveryByteIsWhereTheContractSays) {
  const Matrix m = random_matrix(37, 100, 1, 1);  // 3 panels, k_padded 128
  const auto packed = pack(source_of(m, WeightScale::kRow));
  ASSERT_NE(nullptr, packed);
  ASSERT_EQ(128, packed->k_padded());
  ASSERT_EQ(3, packed->panels());
  const TernaryArgs args = packed->args();
  for (int64_t row = 0; row < 48; ++row) {
    for (int64_t col = 0; col < 128; ++col) {
      const int64_t line = col / 16, field = col % 16 / 4, byte = row % 16 * 4 + col % 4;
      const int code = args.weights[(row / 16 * 8 + line) * 64 + byte] >> (2 * field) & 3;
      const int expected = row < 37 && col < 100 ? m.trits[static_cast<size_t>(row * 100 + col)] + 1 : 1;
      ASSERT_EQ(expected, code) << "row " << row << ", column " << col;
    }
    EXPECT_EQ(row < 37 ? m.scales[static_cast<size_t>(row)] : 0.0f, args.w_scale[row]);
  }
}

TEST(PackedT2, UnpackIsTheInverseForEveryShape) {
  ThreadPool pool(3, Topology{}, false);
  for (const int64_t rows : {1, 2, 15, 16, 17, 31, 64, 97, 640}) {
    for (const int64_t cols : {1, 3, 15, 16, 63, 64, 65, 172, 257, 2560, 5460, 6912}) {
      const Matrix m = random_matrix(rows, cols, 1, static_cast<uint32_t>(rows * 7919 + cols));
      const auto packed = pack(source_of(m, WeightScale::kRow), &pool);
      ASSERT_NE(nullptr, packed);
      expect_unpacks_to(*packed, m, 0, rows);
      expect_unpacks_to(*packed, m, rows / 2, (rows + 1) / 3);
      EXPECT_EQ(rows, packed->rows());
      EXPECT_EQ(cols, packed->cols());
    }
  }
}

TEST(PackedT2, GroupScalesSurviveWithRaggedLastGroup) {
  for (const int64_t group_cols : {64, 128, 256}) {
    for (const int64_t cols : {64, 100, 640, 1000, 2560}) {
      const Matrix m = random_matrix(35, cols, (cols + group_cols - 1) / group_cols, 5);
      const auto packed = pack(source_of(m, WeightScale::kGroup, group_cols));
      ASSERT_NE(nullptr, packed);
      expect_unpacks_to(*packed, m, 0, 35);
      if (m.groups == 1) {
        EXPECT_EQ(WeightScale::kRow, packed->scale_kind());  // one group is a row
        continue;
      }
      EXPECT_EQ(WeightScale::kGroup, packed->scale_kind());
      const TernaryArgs args = packed->args();
      for (int64_t row = 0; row < 48; ++row) {
        for (int64_t g = 0; g < m.groups; ++g) {
          const float expected = row < 35 ? m.scales[static_cast<size_t>(row * m.groups + g)] : 0.0f;
          ASSERT_EQ(expected, args.w_scale[(row / 16 * m.groups + g) * 16 + row % 16]);
        }
      }
    }
  }
}

TEST(PackedT2, EqualScalesCollapseByBits) {
  Matrix m = random_matrix(20, 256, 4, 3);
  for (int64_t i = 0; i < 80; ++i) m.scales[static_cast<size_t>(i)] = static_cast<float>(i / 4 + 1);
  const auto rows = pack(source_of(m, WeightScale::kGroup, 64));
  EXPECT_EQ(WeightScale::kRow, rows->scale_kind());
  expect_unpacks_to(*rows, m, 0, 20);

  m.scales.assign(80, 0.25f);
  const auto tensor = pack(source_of(m, WeightScale::kGroup, 64));
  EXPECT_EQ(WeightScale::kTensor, tensor->scale_kind());
  EXPECT_EQ(0.25f, tensor->args().w_scale[0]);
  expect_unpacks_to(*tensor, m, 0, 20);

  m.scales[79] = std::nextafter(0.25f, 1.0f);  // the last bit of the last scale counts
  EXPECT_EQ(WeightScale::kGroup, pack(source_of(m, WeightScale::kGroup, 64))->scale_kind());
  m.scales.assign(80, 0.0f);
  m.scales[5] = -0.0f;  // equal as numbers, not as bits
  EXPECT_EQ(WeightScale::kGroup, pack(source_of(m, WeightScale::kGroup, 64))->scale_kind());
}

TEST(PackedT2, TheMultiplierIsOneRounding) {
  Matrix m = random_matrix(16, 64, 1, 4);
  const float multiplier = 0.1f;
  const auto packed = pack(source_of(m, WeightScale::kRow, 0, multiplier));
  for (float& scale : m.scales) scale = scale * multiplier;
  expect_unpacks_to(*packed, m, 0, 16);
}

TEST(PackedT2, RefusesTritsOutsideTheRange) {
  for (const int value : {-128, -2, 3, 4, 63, 64, 126, 127}) {
    Matrix m = random_matrix(40, 70, 1, 6);
    m.trits[33 * 70 + 69] = static_cast<int8_t>(value);
    const auto packed = PackedT2::pack(source_of(m, WeightScale::kRow), nullptr);
    ASSERT_FALSE(packed.ok()) << value;
    EXPECT_EQ(ErrorCode::kCorrupt, packed.error().code);
    EXPECT_NE(std::string::npos, packed.error().message.find("row 33, column 69")) << packed.error().message;
  }
}

TEST(PackedT2, RefusesScalesThatAreNotFinite) {
  for (const float value : {INFINITY, -INFINITY, NAN}) {
    Matrix m = random_matrix(40, 130, 3, 6);
    m.scales[17 * 3 + 1] = value;
    const auto packed = PackedT2::pack(source_of(m, WeightScale::kGroup, 64), nullptr);
    ASSERT_FALSE(packed.ok());
    EXPECT_EQ(ErrorCode::kCorrupt, packed.error().code);
    EXPECT_NE(std::string::npos, packed.error().message.find("row 17")) << packed.error().message;
  }
  Matrix m = random_matrix(2, 64, 1, 6);
  m.scales[1] = 3e38f;  // finite, but not after the multiplier
  EXPECT_FALSE(PackedT2::pack(source_of(m, WeightScale::kRow, 0, 10.0f), nullptr).ok());
}

TEST(PackedT2, RefusesMoreColumnsThanTheProofAllows) {
  // 3 * 128 * K < 2^31 holds for K = 5,592,384 (a multiple of 64) and not for the next multiple.
  static_assert(int64_t{3} * 128 * 5592384 < (int64_t{1} << 31) &&
                int64_t{3} * 128 * 5592448 >= (int64_t{1} << 31));
  TernarySource source;
  source.rows = 1;
  source.read = [&](int64_t, int64_t, int8_t* trits, float* scales) -> Status {
    std::fill_n(trits, source.cols, int8_t{2});
    scales[0] = 1;
    return {};
  };
  source.cols = 5592385;
  auto packed = PackedT2::pack(source, nullptr);
  ASSERT_FALSE(packed.ok());
  EXPECT_EQ(ErrorCode::kUnsupported, packed.error().code);
  source.cols = 5592384;
  EXPECT_TRUE(PackedT2::pack(source, nullptr).ok());
}

TEST(PackedT2, ReturnsTheFirstErrorOfTheReader) {
  Matrix m = random_matrix(1000, 4096, 1, 8);
  TernarySource source = source_of(m, WeightScale::kRow);
  const auto read = source.read;
  source.read = [read](int64_t begin, int64_t count, int8_t* trits, float* scales) -> Status {
    if (begin + count > 300) return make_error(ErrorCode::kIo, "rows from {}", begin);
    return read(begin, count, trits, scales);
  };
  const auto inline_result = PackedT2::pack(source, nullptr);
  ThreadPool pool(3, Topology{}, false);
  const auto pooled_result = PackedT2::pack(source, &pool);
  ASSERT_FALSE(inline_result.ok());
  ASSERT_FALSE(pooled_result.ok());
  EXPECT_EQ(ErrorCode::kIo, pooled_result.error().code);
  EXPECT_EQ(inline_result.error().message, pooled_result.error().message);
}

}  // namespace
}  // namespace tern
