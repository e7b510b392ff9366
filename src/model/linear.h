// SPDX-License-Identifier: MIT
// One projection: ternary (quantise the input, exact product; or in float) or dense, behind the same call.
#pragma once

#include <memory>

#include "kernels/backend.h"
#include "model/config.h"

namespace tern {

/// y = W x, with the optional norm of the input that some architectures put inside each linear.
struct Linear {
  std::shared_ptr<const PackedWeight> ternary;  // null for a dense projection; shared by tied matrices
  DenseWeight dense;
  DType dtype = DType::kF32;       // of the file
  const float* norm_in = nullptr;  // [cols], null = none
  float norm_in_eps = 0;

  int64_t rows() const { return ternary ? ternary->rows() : dense.rows; }
  int64_t cols() const { return ternary ? ternary->cols() : dense.cols; }
};

/// What a group of projections of the same input shares: the normalised, quantised rows.
struct LinearInput {
  const float* x;  // [rows, cols]
  int64_t rows;
  float* scratch;            // [rows, cols], for norm_in
  QuantizedRows* quantized;  // filled when the first ternary projection needs it
  uint8_t* bad;              // [rows]
  ActivationBits activations;
  bool is_quantized = false;
};

/// y [rows, linear.rows()]. Projections without their own norm share one quantisation of the input (DESIGN.md
/// 3: one q shared by q/k/v and by gate/up).
void apply_linear(Backend& backend, const Linear& linear, LinearInput& input, float* y);

}  // namespace tern
