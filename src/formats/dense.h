// SPDX-License-Identifier: MIT
// Dense tensor types: F32 F16 BF16 Q8_0 Q4_0 Q4_K Q6_K <-> f32, one row at a time. The f32 values and their
// order of rounding are part of the numerical contract (docs/numerics.md): every kernel that reads such a row
// computes these. Source: FORMATS.md A.3.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/dtype.h"
#include "core/result.h"

namespace tern {

/// Elements of one block, or 0 for a type that is not dense.
uint32_t dense_block_cols(DType dtype);

/// Decodes `cols` elements (a multiple of the block). `bytes` holds at least the row's bytes, any alignment.
void dequantize_row(DType dtype, const std::byte* bytes, uint64_t cols, float* out);

/// Encodes one row into `out`, the row's bytes, any alignment. Deterministic on every machine. Q8_0 and Q4_0
/// follow ggml's reference quantiser; Q6_K has its own, with the error bound of dense_k.h. Errors:
/// kUnsupported for Q4_K (decode only), a type that is not dense, a part of a block; kNumeric, with the
/// column, for a non-finite input of a block type and for a finite one beyond the type's range (f16 and bf16
/// keep infinities and NaN). Threads: pure.
Status quantize_row(DType dtype, const float* values, uint64_t cols, std::byte* out);

}  // namespace tern
