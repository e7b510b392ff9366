// SPDX-License-Identifier: MIT
// The loops over rows and blocks that TQ1_0, TQ2_0, Q1_0, Q2_0, IQ1_BN and IQ2_BN share. A layout file states
// one block (struct Layout below) and gets decode and encode from here.
//
// struct Layout {
//   static constexpr DType kDType;
//   static constexpr TritRange kTrits;
//   static constexpr uint32_t kBlockCols, kBlockBytes;  // a block is a run of columns of one row
//   static constexpr uint32_t kRowHeaderBytes;          // > 0: one scale at the row's start, else one in
//   each block static constexpr uint32_t kScaleOffset;             // of the scale, from the row's or the
//   block's start using Scale = uint16_t (IEEE half) or float; static bool decode_block(const uint8_t* block,
//   int8_t* trits);      // false: it holds an undefined byte... static uint32_t find_undefined(const
//   uint8_t* block);               // ...and this one is the first static void encode_block(const int8_t*
//   trits, uint8_t* block);      // trits are legal, the block is zero
// };
#pragma once

#include "core/float16.h"
#include "formats/ternary/layouts.h"

namespace tern {

template <class Layout>
struct BlockCodec {
  static constexpr bool kScaleInRow = Layout::kRowHeaderBytes > 0;
  static constexpr bool kScaleIsF16 = sizeof(typename Layout::Scale) == 2;

  static uint64_t row_bytes(uint64_t cols) {
    return Layout::kRowHeaderBytes + cols / Layout::kBlockCols * Layout::kBlockBytes;
  }

  static Status check_shape(uint64_t rows, uint64_t cols, uint64_t found_bytes) {
    TERN_TRY(check_multiple(Layout::kDType, "columns", cols, Layout::kBlockCols));
    return check_size(Layout::kDType, rows, cols, rows, row_bytes(cols), 0, found_bytes);
  }

  static void load_scale(const uint8_t* from, float* scale) {
    if constexpr (kScaleIsF16) {
      uint16_t half;
      std::memcpy(&half, from, sizeof half);
      *scale = f16_to_f32(half);
    } else {
      std::memcpy(scale, from, sizeof *scale);
    }
  }

  static Status store_scale(float scale, uint64_t index, uint8_t* to) {
    if constexpr (kScaleIsF16) {
      if (!fits_f16(scale)) return scale_not_f16(Layout::kDType, scale, index);
      const uint16_t half = f32_to_f16(scale);
      std::memcpy(to, &half, sizeof half);
    } else {
      std::memcpy(to, &scale, sizeof scale);
    }
    return {};
  }

  static Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
                       uint64_t row_count, int8_t* trits, float* scales) {
    TERN_TRY(check_shape(rows, cols, bytes.size()));
    check_row_range(rows, row_begin, row_count);
    if (bytes.empty()) return {};  // a header may claim 2^60 rows of nothing
    const uint8_t* base = as_u8(bytes);
    for (uint64_t r = row_begin; r < row_begin + row_count; ++r) {
      const uint8_t* row = base + r * row_bytes(cols);
      if constexpr (kScaleInRow) load_scale(row + Layout::kScaleOffset, scales++);
      const uint8_t* block = row + Layout::kRowHeaderBytes;
      for (uint64_t c = 0; c < cols; c += Layout::kBlockCols) {
        if (!Layout::decode_block(block, trits)) {
          const uint32_t at = Layout::find_undefined(block);
          return undefined_byte(Layout::kDType, static_cast<uint64_t>(block + at - base), block[at]);
        }
        if constexpr (!kScaleInRow) load_scale(block + Layout::kScaleOffset, scales++);
        block += Layout::kBlockBytes;
        trits += Layout::kBlockCols;
      }
    }
    return {};
  }

  static Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols,
                       std::span<std::byte> bytes) {
    TERN_TRY(check_shape(rows, cols, bytes.size()));
    TERN_TRY(check_trits(Layout::kDType, trits, rows, cols, Layout::kTrits));
    if (bytes.empty()) return {};
    std::memset(bytes.data(), 0, bytes.size());
    uint64_t scale_index = 0;
    const auto store_next = [&](uint8_t* to) {
      const Status stored = store_scale(scales[scale_index], scale_index, to);
      ++scale_index;
      return stored;
    };
    for (uint64_t r = 0; r < rows; ++r) {
      uint8_t* row = as_u8(bytes) + r * row_bytes(cols);
      if constexpr (kScaleInRow) TERN_TRY(store_next(row + Layout::kScaleOffset));
      uint8_t* block = row + Layout::kRowHeaderBytes;
      for (uint64_t c = 0; c < cols; c += Layout::kBlockCols) {
        Layout::encode_block(trits, block);
        if constexpr (!kScaleInRow) TERN_TRY(store_next(block + Layout::kScaleOffset));
        block += Layout::kBlockBytes;
        trits += Layout::kBlockCols;
      }
    }
    return {};
  }
};

}  // namespace tern

/// Defines decode and encode of a layout in the current namespace.
#define TERN_BLOCK_CODEC(Layout)                                                                      \
  Status decode(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,   \
                uint64_t row_count, LayoutChoice, int8_t* trits, float* scales) {                     \
    return BlockCodec<Layout>::decode(bytes, rows, cols, row_begin, row_count, trits, scales);        \
  }                                                                                                   \
  Status encode(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols, LayoutChoice, \
                std::span<std::byte> bytes) {                                                         \
    return BlockCodec<Layout>::encode(trits, scales, rows, cols, bytes);                              \
  }
