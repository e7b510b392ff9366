// SPDX-License-Identifier: MIT
// Dense products: every table repeats the scalar one bit for bit, for every storage, at any alignment;
// exhaustively over the 16-bit weight types.
#include "core/float16.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

void dequantize_f32(const std::byte* row, uint64_t cols, float* out) { std::memcpy(out, row, cols * 4); }
void dequantize_f16(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    uint16_t h;
    std::memcpy(&h, row + 2 * i, 2);
    out[i] = f16_to_f32(h);
  }
}
void dequantize_bf16(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    uint16_t h;
    std::memcpy(&h, row + 2 * i, 2);
    out[i] = bf16_to_f32(h);
  }
}
/// Blocks of 32: f16 d, then 32 int8; the value is d * q (exact in f32).
void dequantize_q8_0(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    const std::byte* block = row + i / 32 * 34;
    uint16_t h;
    std::memcpy(&h, block, 2);
    out[i] = f16_to_f32(h) * static_cast<float>(static_cast<int8_t>(block[2 + i % 32]));
  }
}

struct Storage {
  const char* name;
  DenseFn KernelTable::* op;
  int64_t block_cols, block_bytes;
  void (*dequantize)(const std::byte*, uint64_t, float*);
};
const Storage kStorages[] = {
    {"f32", &KernelTable::dense_f32, 1, 4, dequantize_f32},
    {"f16", &KernelTable::dense_f16, 1, 2, dequantize_f16},
    {"bf16", &KernelTable::dense_bf16, 1, 2, dequantize_bf16},
    {"q8_0", &KernelTable::dense_q8_0, 32, 34, dequantize_q8_0},
    {"any", &KernelTable::dense_any, 1, 2, dequantize_f16},
};

/// Rows of a storage from f32 values (rounded down by truncation where the type is narrower: only the bits
/// matter).
std::vector<std::byte> encode(const Storage& storage, const Guarded<float>& values, int64_t rows,
                              int64_t cols, int64_t offset) {
  const int64_t row_bytes = cols / storage.block_cols * storage.block_bytes;
  std::vector<std::byte> bytes(static_cast<size_t>(offset + rows * row_bytes));
  const std::string name = storage.name;
  for (int64_t i = 0; i < rows * cols; ++i) {
    std::byte* row = bytes.data() + offset + i / cols * row_bytes;
    const int64_t k = i % cols;
    const float value = values.data()[i];
    if (name == "f32") {
      std::memcpy(row + 4 * k, &value, 4);
    } else if (name == "q8_0") {
      const uint16_t d = f32_to_f16(value);
      if (k % 32 == 0) std::memcpy(row + k / 32 * 34, &d, 2);
      row[k / 32 * 34 + 2 + k % 32] = static_cast<std::byte>(std::bit_cast<uint32_t>(value) >> 9);
    } else {
      const uint16_t h = name == "bf16" ? f32_to_bf16(value) : f32_to_f16(value);
      std::memcpy(row + 2 * k, &h, 2);
    }
  }
  return bytes;
}

class DenseEquality : public TableTest {
 protected:
  void expect_equal(const Storage& storage, Values kind, int64_t rows, int64_t cols, int64_t tokens,
                    int64_t offset) {
    const Guarded<float> values = random_floats(kind, static_cast<uint32_t>(rows + cols), rows * cols);
    const Guarded<std::byte> bytes(encode(storage, values, rows, cols, offset));
    const int64_t x_stride = cols + 3, y_stride = rows + 2;
    const Guarded<float> x = random_floats(kind, 77, tokens * x_stride - 3);
    Guarded<float> scratch(cols), expected(tokens * y_stride), actual(tokens * y_stride);
    DenseArgs args{bytes.data() + offset,
                   cols / storage.block_cols * storage.block_bytes,
                   cols,
                   storage.dequantize,
                   scratch.data(),
                   x.data(),
                   x_stride,
                   tokens,
                   0,
                   rows,
                   expected.data(),
                   y_stride};
    (scalar().*storage.op)(args);
    args.y = actual.data();
    const int64_t cut = rows / 3;  // in two parts: rows are independent
    args.row_end = cut;
    (table.*storage.op)(args);
    args.row_begin = cut;
    args.row_end = rows;
    (table.*storage.op)(args);
    ASSERT_TRUE(same_bits(expected, actual))
        << storage.name << " values " << static_cast<int>(kind) << " rows " << rows << " cols " << cols
        << " tokens " << tokens << " offset " << offset;
  }
};
INSTANTIATE_TEST_SUITE_P(Tables, DenseEquality, faster_tables(), table_name);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(DenseEquality);

TEST_P(DenseEquality, EveryWidth) {
  for (const Storage& storage : kStorages) {
    for (const int64_t width : kWidths) {
      const int64_t cols = (width + storage.block_cols - 1) / storage.block_cols * storage.block_cols;
      expect_equal(storage, Values::kNormal, 3, cols, 2, 0);
    }
  }
}

TEST_P(DenseEquality, EveryKindOfValue) {
  for (const Storage& storage : kStorages) {
    for (const Values kind : kAllValues) {
      for (const int64_t cols : {32, 96, 160, 2560}) expect_equal(storage, kind, 5, cols, 3, 0);
    }
  }
}

TEST_P(DenseEquality, EveryTokenAndRowCount) {
  for (const Storage& storage : kStorages) {
    for (const int64_t tokens : {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33, 64}) {
      for (const int64_t rows : {1, 2, 3, 4, 5, 7, 8, 13, 16, 17})
        expect_equal(storage, Values::kMixed, rows, 96, tokens, 0);
    }
  }
}

TEST_P(DenseEquality, EveryAlignment) {
  for (const Storage& storage : kStorages) {
    for (int64_t offset = 0; offset < 64; ++offset) expect_equal(storage, Values::kNormal, 4, 64, 2, offset);
  }
}

/// A row of one weight and x = 1: y is the weight itself, so every 16-bit pattern is seen (-0 becomes +0 in
/// the sum).
TEST_P(DenseEquality, EverySixteenBitWeight) {
  std::vector<std::byte> bytes(65536 * 2);
  for (uint32_t h = 0; h < 65536; ++h) std::memcpy(bytes.data() + 2 * h, &h, 2);
  const float one = 1.0f;
  for (const Storage& storage : kStorages) {
    if (storage.block_bytes != 2) continue;
    std::vector<float> scratch(1), y(65536), expected(65536);
    storage.dequantize(bytes.data(), 65536, expected.data());
    for (float& value : expected) value += 0.0f;
    const DenseArgs args{bytes.data(), 2,        1,    storage.dequantize, scratch.data(), &one, 1, 1, 0,
                         65536,        y.data(), 65536};
    (table.*storage.op)(args);
    EXPECT_TRUE(same_bits(expected, y)) << storage.name;
  }
}

/// Error of sum16 against a double sum: at most ceil(K/16) + 4 roundings of partial sums, each below 2^-24 of
/// sum |w*x|, to first order.
TEST(DenseAccuracy, SumWithinItsBound) {
  for (const int64_t cols : kWidths) {
    const Guarded<float> w = random_floats(Values::kNormal, 1, cols),
                         x = random_floats(Values::kNormal, 2, cols);
    float y = 0;
    scalar().dense_f32({reinterpret_cast<const std::byte*>(w.data()), cols * 4, cols, dequantize_f32, nullptr,
                        x.data(), cols, 1, 0, 1, &y, 1});
    double sum = 0, magnitude = 0;
    for (int64_t i = 0; i < cols; ++i) {
      const double product = double{w.data()[i]} * x.data()[i];
      sum += product;
      magnitude += std::fabs(product);
    }
    const double roundings = static_cast<double>((cols + 15) / 16 + 4);
    EXPECT_LE(std::fabs(y - sum), roundings * 0x1p-24 * magnitude) << cols;
  }
}

}  // namespace
}  // namespace tern
