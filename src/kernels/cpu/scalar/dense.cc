// SPDX-License-Identifier: MIT
// Dense weights (head, embeddings kept in floating point) times f32 activations.
#include <cstring>

#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

void dense_f32(const DenseArgs& a) noexcept {
  for (int64_t n = a.row_begin; n < a.row_end; ++n) {
    const std::byte* row = a.weights + n * a.row_bytes;
    const auto weight = [row](int64_t i) {
      float w;  // a mapped file promises no alignment
      std::memcpy(&w, row + i * 4, 4);
      return w;
    };
    for (int64_t m = 0; m < a.tokens; ++m) {
      const float* x = a.x + m * a.x_stride;
      a.y[m * a.y_stride + n] = sum16(a.cols, weight, [x](int64_t i) { return x[i]; });
    }
  }
}

void dense_any(const DenseArgs& a) noexcept {
  for (int64_t n = a.row_begin; n < a.row_end; ++n) {
    const float* w = a.scratch;
    a.dequantize(a.weights + n * a.row_bytes, static_cast<uint64_t>(a.cols), a.scratch);
    for (int64_t m = 0; m < a.tokens; ++m) {
      const float* x = a.x + m * a.x_stride;
      a.y[m * a.y_stride + n] =
          sum16(a.cols, [w](int64_t i) { return w[i]; }, [x](int64_t i) { return x[i]; });
    }
  }
}

}  // namespace tern::scalar
