// SPDX-License-Identifier: MIT
#include "model/linear.h"

namespace tern {

void apply_linear(Backend& backend, const Linear& linear, LinearInput& input, float* y) {
  const float* x = input.x;
  if (linear.norm_in != nullptr) {
    backend.rms_norm(x, linear.norm_in, linear.norm_in_eps, input.rows, linear.cols(), input.scratch);
    x = input.scratch;
  }
  if (!linear.ternary) return backend.dense_matmul(x, linear.dense, input.rows, y);
  if (!input.is_quantized || linear.norm_in != nullptr) {
    backend.quantize(x, input.rows, linear.cols(), input.quantized, input.bad);
    input.is_quantized = linear.norm_in == nullptr;
  }
  backend.ternary_matmul(*input.quantized, *linear.ternary, input.rows, y);
}

}  // namespace tern
