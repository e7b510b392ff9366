// SPDX-License-Identifier: MIT
// One ternary matrix of a file, whatever its container: trits and scales by row ranges, with the scales that
// lie in other tensors already multiplied in. The one way from a file to a backend's pack_ternary; model/
// calls it through Weights::ternary, the converter directly.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "formats/gguf.h"
#include "formats/ternary/codec.h"

namespace tern {

/// Borrows the file that it was made from.
struct TernaryView {
  DType dtype = DType::kI2_S;
  uint64_t rows = 0, cols = 0;
  ScaleScope scale_scope =
      ScaleScope::kTensor;  // of what read() gives: a `.scale` of many rows makes kTensor kRow
  uint64_t group_cols = 0;  // columns of one scale for kGroup, a multiple of 64; else 0
  std::vector<const GgufTensorInfo*>
      companions;  // the other tensors it reads: .scale, or .scales and .biases

  uint64_t scales_per_row() const { return scale_scope == ScaleScope::kGroup ? cols / group_cols : 1; }

  /// Writes trits [row_count, cols] (-1..2) and scales [row_count, scales_per_row()] of a row range, multiply
  /// convention. Errors: those of the codec; kCorrupt for a scale that is negative, or zero where one scale
  /// serves the whole tensor, with its row. (A scale that is not finite is refused where it is packed.)
  /// Threads: pure.
  std::function<Status(uint64_t row_begin, uint64_t row_count, int8_t* trits, float* scales)> read;
};

/// The matrix `tensor` of `file`, with the tensors of the same stem that hold its scales:
///   <stem>.scale    f32, f16 or bf16, shape [n]: n blocks of rows/n rows each, multiplied onto the
///   container's own
///                   scales, fl(scale * n-th); n = 1 is the whole tensor, n = rows one per row. Shape [c, n]:
///                   each of them also in c blocks of cols/c columns (TriLM's shards), a multiple of 64.
///   <stem>.scales, <stem>.biases   MLX: [groups, rows]. Weight = scale * code + bias, accepted where that is
///   one
///                   magnitude times a trit: bias = -scale at 2 bits, scale = -2 bias at 1 bit. A negative
///                   scale is the same with the trits negated.
/// Errors: kUnsupported or kCorrupt with the tensor's name, as for decode; types without a scale whose
/// companion is missing.
Result<TernaryView> view_ternary(const GgufFile& file, const GgufTensorInfo& tensor, LayoutChoice layout);

}  // namespace tern
