// SPDX-License-Identifier: MIT
// The list of ternary and 1-bit layouts: bytes <-> trits and scales, exact in both directions. One layout per
// file; this page is the contract they share. Nothing here is fast and nothing here depends on the machine.
// Trits are int8: -1, 0, +1 (has_two: also the legal code 3 = +2). Source: FORMATS.md A.3, A.4, B.2.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/result.h"
#include "formats/ternary/layout_choice.h"

namespace tern {

/// How many weights share one scale.
enum class ScaleScope : uint8_t { kTensor, kRow, kGroup };

struct TernaryCodec {
  DType dtype;
  ScaleScope scale_scope;
  uint32_t group_cols;  // columns of one scale for kGroup (256, 128, 64), else 0
  uint32_t block_rows;  // rows must be a multiple of it
  uint32_t block_cols;  // cols must be a multiple of it (I2_S: else its blocks straddle rows, see i2_s.cc;
                        // TL1, TL2: the tiles say more)
  bool has_scale;       // false: the scale lives in other tensors (HF uint8, MLX)
  bool f16_scale;       // the scale is stored as IEEE half: encode refuses any other value
  bool has_zero;        // false for the 1-bit types
  bool has_two;         // code 3 = +2 is legal

  /// Decodes rows [row_begin, row_begin + row_count) of a [rows, cols] tensor.
  ///   bytes   the whole tensor, tensor_byte_size(dtype, rows, cols) bytes
  ///   trits   [row_count, cols], row-major
  ///   scales  [row_count, scales_per_row(cols)], multiply convention; left untouched where !has_scale
  /// Errors: a code that the type does not define among these rows (kCorrupt, with the byte offset in the
  /// tensor and the byte); bytes of another length (kCorrupt); a shape the layout cannot have, or TL1 and TL2
  /// without their tile (kUnsupported). Scales are returned as stored; whether they are finite is the
  /// caller's question (check_scales). Threads: pure.
  Status (*decode)(std::span<const std::byte> bytes, uint64_t rows, uint64_t cols, uint64_t row_begin,
                   uint64_t row_count, LayoutChoice layout, int8_t* trits, float* scales);

  /// Encodes a whole tensor into `bytes` (exactly tensor_byte_size). `scales` as for decode, for all rows;
  /// with kTensor only scales[0] is read. Errors: kUnsupported for a trit or a scale that the type cannot
  /// hold exactly, naming it and its place; lengths and shapes as for decode.
  Status (*encode)(const int8_t* trits, const float* scales, uint64_t rows, uint64_t cols,
                   LayoutChoice layout, std::span<std::byte> bytes);

  uint64_t scales_per_row(uint64_t cols) const {
    return scale_scope == ScaleScope::kGroup ? cols / group_cols : 1;
  }
};

/// All codecs, in the order of DType.
std::span<const TernaryCodec> ternary_codecs();

/// The codec of a dtype, or null for a type that is not ternary.
const TernaryCodec* find_codec(DType dtype);

/// True where `scale` survives the round trip through IEEE half exactly.
bool fits_f16(float scale);

}  // namespace tern
