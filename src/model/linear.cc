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
    // Quantising is also what finds values that are not finite, so it is done where its integers are not
    // needed.
    if (input.activations == ActivationBits::kInt16) {
      backend.quantize16(x, input.rows, linear.cols(), input.quantized, input.bad);
    } else {
      backend.quantize(x, input.rows, linear.cols(), input.quantized, input.bad);
    }
    input.is_quantized = linear.norm_in == nullptr;
  }
  if (input.activations == ActivationBits::kF32) {
    backend.ternary_matmul_f32(x, *linear.ternary, input.rows, y);
  } else {
    backend.ternary_matmul(*input.quantized, *linear.ternary, input.rows, y);
  }
}

}  // namespace tern
