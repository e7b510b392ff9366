// SPDX-License-Identifier: MIT
// The operations of a BitNet training step with hand-written gradients, as autograd functions over the fused
// passes of fused/kernels.h. Straight-through estimators: rounding counts as the identity and every scale as
// a constant. CPU tensors only, contiguous; model.cc composes them. Types: residual stream, norms and scales
// f32; inputs and outputs of matrix products f32 or bf16.
#pragma once

#include <torch/types.h>

#include <array>
#include <cstdint>
#include <utility>

namespace tern::train {

using torch::Tensor;

struct NormOptions {
  double eps = 1e-5;
  bool quantize = true;  // false: the unquantised twin, and the final norm
};

/// A quantised activation: q holds integers -127..127 (or the plain values), x = q / scale[row].
struct Quantized {
  Tensor q;      // [rows, cols], the product type
  Tensor scale;  // [rows] f32, no gradient
};

/// int8 of RMSNorm(x) * weight; x f32 or the product type.
Quantized norm_quant(const Tensor& x, const Tensor& weight, NormOptions options, torch::ScalarType type);

/// h' = h + s * factor / s_scale, then as norm_quant. s: the output of a product whose input had s_scale.
std::pair<Tensor, Quantized> add_norm_quant(const Tensor& h, const Tensor& s, const Tensor& s_scale,
                                            double factor, const Tensor& weight, NormOptions options);

/// int8 of RMSNorm(relu(gate)^2 * up) * weight; s [rows, 2 * cols] holds gate, then up.
Quantized gate_norm_quant(const Tensor& s, const Tensor& s_scale, double gate_factor, double up_factor,
                          const Tensor& weight, NormOptions options);

/// What the rows of a batch share in every layer.
struct AttentionShape {
  int64_t batch = 0, time = 0, heads = 0, kv_heads = 0, dim = 0;
  Tensor cos, sin;  // [time, dim / 2] f32
  Tensor first;     // [batch, time] int32: the first key that a query sees, its own column the last
};

/// Causal attention within segments, rotary positions included. s [batch * time, (heads + 2 kv_heads) * dim]
/// with one weight factor each for q, k, v; returns [batch * time, heads * dim].
Tensor attention(const Tensor& s, const Tensor& s_scale, std::array<double, 3> factors,
                 const AttentionShape& shape);

/// q [rows, in] times t [out, in] transposed.
Tensor product(const Tensor& q, const Tensor& t);

/// Rows of the table as f32.
Tensor embed(const Tensor& table, const Tensor& tokens);

/// scale * sum over the rows with mask 1 of the negative log-likelihood of targets under
/// softmax(hidden * table^T). `losses` (may be undefined) [rows] receives the unscaled terms.
Tensor head_loss(const Tensor& hidden, const Tensor& table, const Tensor& targets, const Tensor& mask,
                 double scale, Tensor losses);

/// Trits (or, for factor 0, the rounded values) of `master` in `out`; returns the factor mean|w|.
double quantize_weight(const Tensor& master, bool ternary, Tensor out);

}  // namespace tern::train
