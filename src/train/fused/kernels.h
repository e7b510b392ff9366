// SPDX-License-Identifier: MIT
// The element-wise passes of a training step, fused so that each activation is read once: residual + norm +
// int8, squared-ReLU gate + norm + int8, scale + rotary positions, softmax, cross entropy, AdamW. Matrix
// products are not here. One table per instruction set, the same C++ compiled for each; ops.cc calls them.
//
// T is the type of matrix inputs and outputs: uint16_t (bf16 bits) or float. Everything is computed in f32.
// A ternary linear is S = q * t with integers q = RNE(x * scale[row]) and trits t; its real output is
// y = S * (weight scale) / scale[row], which the pass that reads S applies. So the gradient of S carries the
// factor, and the straight-through gradient of x is the gradient of q times scale[row].
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern::train {

/// x = h + s * (factor / s_scale[row]); q = int8 of (x * rstd * weight) or, without `quantize`, the value.
template <class T>
struct NormArgs {
  int64_t rows = 0, cols = 0;
  const float* h = nullptr;        // [rows, cols] or null: 0
  const T* s = nullptr;            // [rows, cols] or null: 0
  const float* s_scale = nullptr;  // [rows] or null: 1
  float factor = 1;
  const float* weight = nullptr;  // [cols]
  float eps = 0;
  bool quantize = true;
  float* h_out = nullptr;  // [rows, cols] or null: x is not kept
  T* q = nullptr;          // [rows, cols]
  float* scale = nullptr;  // [rows]: 127 / max|y|, or 1
  float* rstd = nullptr;   // [rows]
};

template <class T>
struct NormBackArgs {
  int64_t rows = 0, cols = 0;
  const float* x = nullptr;        // [rows, cols], or null: x = s * factor / s_scale
  const T* s = nullptr;            // used where x is null
  const float* s_scale = nullptr;  // [rows] or null: 1
  float factor = 1;
  const float* weight = nullptr;
  const float* scale = nullptr;
  const float* rstd = nullptr;
  const T* dq = nullptr;          // [rows, cols]
  const float* dh_out = nullptr;  // [rows, cols] or null: 0
  float* dh = nullptr;            // [rows, cols] or null
  T* ds = nullptr;                // [rows, cols] or null
  float* dweight = nullptr;       // [cols], added to
};

/// f = relu(g)^2 * u with g, u the halves of s; q = int8 of (f * rstd * weight).
template <class T>
struct GateArgs {
  int64_t rows = 0, cols = 0;      // cols of f; s has 2 * cols
  const T* s = nullptr;            // [rows, 2 * cols]
  const float* s_scale = nullptr;  // [rows] or null: 1
  float gate_factor = 1, up_factor = 1;
  const float* weight = nullptr;
  float eps = 0;
  bool quantize = true;
  float* scratch = nullptr;  // [cols]
  T* q = nullptr;
  float* scale = nullptr;
  float* rstd = nullptr;
};

template <class T>
struct GateBackArgs {
  GateArgs<T> forward;  // s, factors, weight, scale, rstd as the forward pass left them
  const T* dq = nullptr;
  T* ds = nullptr;           // [rows, 2 * cols]
  float* dweight = nullptr;  // [cols], added to
};

/// Splits s [batch * time, (heads + 2 kv_heads) * dim] into q [batch, heads, time, dim] (rotated, times
/// 1/sqrt(dim)), k (rotated) and v [batch, kv_heads, time, dim]; backward: the reverse for gradients.
template <class T>
struct HeadsArgs {
  int64_t batch = 0, time = 0, heads = 0, kv_heads = 0, dim = 0;
  const float* s_scale = nullptr;  // [batch * time] or null: 1
  float q_factor = 1, k_factor = 1, v_factor = 1;
  const float* cos = nullptr;  // [time, dim / 2]
  const float* sin = nullptr;
  T* s = nullptr;  // read by forward, written by backward
  T *q = nullptr, *k = nullptr, *v = nullptr;
};

/// Softmax of scores [heads, time, time] in place, over keys first[t]..t of query t, 0 elsewhere.
template <class T>
struct SoftmaxArgs {
  int64_t heads = 0, time = 0;
  const int32_t* first = nullptr;  // [time]
  T* p = nullptr;
};

/// dp becomes the gradient of the scores: p * (dp - sum(p * dp)).
template <class T>
struct SoftmaxBackArgs {
  int64_t heads = 0, time = 0;
  const int32_t* first = nullptr;
  const T* p = nullptr;
  T* dp = nullptr;
};

/// The loss of row r is log(sum(exp(logits))) - logits[target]; logits become its gradient times grad_scale.
template <class T>
struct LossArgs {
  int64_t rows = 0, vocab = 0;
  const int32_t* targets = nullptr;
  const uint8_t* mask = nullptr;  // 0: no loss, gradient 0
  float grad_scale = 1;
  bool want_gradient = true;
  T* logits = nullptr;
  float* losses = nullptr;  // [rows], 0 where masked
};

struct AdamWArgs {
  int64_t count = 0;
  float *value = nullptr, *m = nullptr, *v = nullptr;
  const float* gradient = nullptr;
  float gradient_scale = 1;  // of clipping
  float lr = 0, weight_decay = 0, beta1 = 0, beta2 = 0, epsilon = 0;
  float correction1 = 1, correction2 = 1;  // 1 - beta^step
};

template <class T>
struct KernelsOf {
  void (*norm)(const NormArgs<T>&);
  void (*norm_back)(const NormBackArgs<T>&);
  void (*gate)(const GateArgs<T>&);
  void (*gate_back)(const GateBackArgs<T>&);
  void (*split_heads)(const HeadsArgs<T>&);
  void (*split_heads_back)(const HeadsArgs<T>&);
  /// [batch, heads, time, dim] <-> [batch * time, heads * dim]
  void (*merge_heads)(const T* heads_first, int64_t batch, int64_t heads, int64_t time, int64_t dim, T* out);
  void (*unmerge_heads)(const T* rows, int64_t batch, int64_t heads, int64_t time, int64_t dim, T* out);
  void (*softmax)(const SoftmaxArgs<T>&);
  void (*softmax_back)(const SoftmaxBackArgs<T>&);
  void (*loss)(const LossArgs<T>&);
  /// out[i] = clamp(RNE(x[i] * inverse), -1, 1); inverse 0: out = x.
  void (*trits)(const float* x, int64_t count, float inverse, T* out);
  /// sum[i] += part[i] * factor
  void (*accumulate)(const T* part, int64_t count, float factor, float* sum);
  /// out[i, :] = table[tokens[i], :]
  void (*embed)(const T* table, const int32_t* tokens, int64_t rows, int64_t cols, float* out);
};

struct Kernels {
  KernelsOf<uint16_t> bf16;
  KernelsOf<float> f32;
  void (*adamw)(const AdamWArgs&);
  /// sum of |x| and of x * x, in double, in blocks: the same bits for the same count.
  double (*sum_abs)(const float* x, int64_t count);
  double (*sum_squares)(const float* x, int64_t count);
  const char* name;

  const KernelsOf<uint16_t>& of(const uint16_t*) const { return bf16; }
  const KernelsOf<float>& of(const float*) const { return f32; }
};

/// The table for this CPU; the same for the life of the process.
const Kernels& kernels();

// One per build of kernels_impl.h.
const Kernels& baseline_kernels();
const Kernels& avx512_kernels();

}  // namespace tern::train
