// SPDX-License-Identifier: MIT
// The loops behind kernels.h, plain C++ that compilers turn into vector code. Included by one file per
// instruction set, which defines TERN_TRAIN_TABLE (the function that returns its table) and its name.
// Everything sits in an unnamed namespace and uses no library function, so that no shared copy of code
// compiled for one CPU is left for another.
#include <bit>

#include "train/fused/kernels.h"

namespace tern::train {
namespace {

inline float load(float x) { return x; }
inline float load(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }
inline void store(float x, float* out) { *out = x; }
inline void store(float x, uint16_t* out) {  // no NaN here: a NaN loss ends the run before it is stored
  const uint32_t u = std::bit_cast<uint32_t>(x);
  *out = static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
inline float absolute(float x) { return __builtin_fabsf(x); }
inline float larger(float a, float b) { return a > b ? a : b; }

/// Nearest integer, ties to even, of |x| < 2^22.
inline float nearest(float x) {
  constexpr float kMagic = 12582912.0f;  // 1.5 * 2^23
  return (x + kMagic) - kMagic;
}

/// e^x for x <= 0, relative error below 3e-7; 0 below -87.
inline float exponential(float x) {
  const float clamped = x < -87.0f ? -87.0f : x;
  const float n = nearest(clamped * 1.44269504f);
  const float r = (clamped - n * 0.693145752f) - n * 1.42860677e-6f;
  float p = 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const float two_n = std::bit_cast<float>(static_cast<uint32_t>(static_cast<int32_t>(n) + 127) << 23);
  return x < -87.0f ? 0.0f : p * two_n;
}

constexpr float kLowestMax = 1e-5f;  // of the engine's quantiser (docs/numerics.md)

/// q = int8 of y = x * (r * weight); returns the row's scale. Without quantize q = y and the scale 1.
template <class T, class X>
float quantize_row(const X& x, const float* weight, float r, int64_t cols, bool quantize, T* q) {
  if (!quantize) {
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) store(x(i) * r * weight[i], q + i);
    return 1.0f;
  }
  float largest = kLowestMax;
#pragma omp simd reduction(max : largest)
  for (int64_t i = 0; i < cols; ++i) largest = larger(largest, absolute(x(i) * r * weight[i]));
  const float scale = 127.0f / largest;
#pragma omp simd
  for (int64_t i = 0; i < cols; ++i) store(nearest(x(i) * r * weight[i] * scale), q + i);
  return scale;
}

template <class T>
void norm(const NormArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float* h = a.h == nullptr ? nullptr : a.h + row * a.cols;
    const T* s = a.s == nullptr ? nullptr : a.s + row * a.cols;
    float* kept = a.h_out == nullptr ? nullptr : a.h_out + row * a.cols;
    const float factor = a.s_scale == nullptr ? a.factor : a.factor / a.s_scale[row];
    float sum = 0;
    if (h != nullptr && s != nullptr) {  // kept is there whenever both are
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < a.cols; ++i) {
        const float x = h[i] + load(s[i]) * factor;
        kept[i] = x;
        sum += x * x;
      }
      h = kept;
    } else if (h != nullptr) {
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < a.cols; ++i) sum += h[i] * h[i];
    } else {
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < a.cols; ++i) sum += (load(s[i]) * factor) * (load(s[i]) * factor);
    }
    const float r = 1.0f / __builtin_sqrtf(sum / static_cast<float>(a.cols) + a.eps);
    a.rstd[row] = r;
    T* q = a.q + row * a.cols;
    a.scale[row] = h != nullptr
                       ? quantize_row([h](int64_t i) { return h[i]; }, a.weight, r, a.cols, a.quantize, q)
                       : quantize_row([s, factor](int64_t i) { return load(s[i]) * factor; }, a.weight, r,
                                      a.cols, a.quantize, q);
  }
}

template <class T, class X>
void norm_back_row(const NormBackArgs<T>& a, int64_t row, const X& x, float factor) {
  const T* dq = a.dq + row * a.cols;
  const float scale = a.scale[row], r = a.rstd[row];
  float dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < a.cols; ++i) {
    const float dy = load(dq[i]) * scale;
    a.dweight[i] += dy * x(i) * r;
    dot += dy * a.weight[i] * x(i);
  }
  const float shrink = dot * r * r / static_cast<float>(a.cols);
  const float* above = a.dh_out == nullptr ? nullptr : a.dh_out + row * a.cols;
  float* dh = a.dh == nullptr ? nullptr : a.dh + row * a.cols;
  T* ds = a.ds == nullptr ? nullptr : a.ds + row * a.cols;
  const auto gradient = [&](int64_t i) { return r * (load(dq[i]) * scale * a.weight[i] - x(i) * shrink); };
  if (above != nullptr && dh != nullptr && ds != nullptr) {  // inside the model
#pragma omp simd
    for (int64_t i = 0; i < a.cols; ++i) {
      const float dx = gradient(i) + above[i];
      dh[i] = dx;
      store(dx * factor, ds + i);
    }
    return;
  }
  for (int64_t i = 0; i < a.cols; ++i) {
    const float dx = gradient(i) + (above == nullptr ? 0.0f : above[i]);
    if (dh != nullptr) dh[i] = dx;
    if (ds != nullptr) store(dx * factor, ds + i);
  }
}

template <class T>
void norm_back(const NormBackArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const float factor = a.s_scale == nullptr ? a.factor : a.factor / a.s_scale[row];
    if (a.x != nullptr) {
      const float* x = a.x + row * a.cols;
      norm_back_row(a, row, [x](int64_t i) { return x[i]; }, factor);
    } else {
      const T* s = a.s + row * a.cols;
      norm_back_row(a, row, [s, factor](int64_t i) { return load(s[i]) * factor; }, factor);
    }
  }
}

template <class T>
void gate(const GateArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    const T* g = a.s + row * 2 * a.cols;
    const T* u = g + a.cols;
    const float inverse = a.s_scale == nullptr ? 1.0f : 1.0f / a.s_scale[row];
    const float of_gate = a.gate_factor * inverse, of_up = a.up_factor * inverse;
    float* f = a.scratch;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < a.cols; ++i) {
      const float open = larger(load(g[i]) * of_gate, 0.0f);
      const float x = open * open * (load(u[i]) * of_up);
      f[i] = x;
      sum += x * x;
    }
    const float r = 1.0f / __builtin_sqrtf(sum / static_cast<float>(a.cols) + a.eps);
    a.rstd[row] = r;
    a.scale[row] =
        quantize_row([f](int64_t i) { return f[i]; }, a.weight, r, a.cols, a.quantize, a.q + row * a.cols);
  }
}

template <class T>
void gate_back(const GateBackArgs<T>& back) {
  const GateArgs<T>& a = back.forward;
  const float* weight = a.weight;
  float *f = a.scratch, *dweight = back.dweight;
  const int64_t cols = a.cols;
  for (int64_t row = 0; row < a.rows; ++row) {
    const T *g = a.s + row * 2 * cols, *u = g + cols, *dq = back.dq + row * cols;
    T *dg = back.ds + row * 2 * cols, *du = dg + cols;
    const float inverse = a.s_scale == nullptr ? 1.0f : 1.0f / a.s_scale[row];
    const float of_gate = a.gate_factor * inverse, of_up = a.up_factor * inverse;
    const float scale = a.scale[row], r = a.rstd[row];
    float dot = 0;
#pragma omp simd reduction(+ : dot)
    for (int64_t i = 0; i < cols; ++i) {
      const float open = larger(load(g[i]) * of_gate, 0.0f);
      const float x = open * open * (load(u[i]) * of_up);
      const float dy = load(dq[i]) * scale;
      f[i] = x;
      dweight[i] += dy * x * r;
      dot += dy * weight[i] * x;
    }
    const float shrink = dot * r * r / static_cast<float>(cols);
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) {
      const float df = r * (load(dq[i]) * scale * weight[i] - f[i] * shrink);
      const float open = larger(load(g[i]) * of_gate, 0.0f);
      store(2.0f * df * open * (load(u[i]) * of_up) * of_gate, dg + i);
      store(df * open * open * of_up, du + i);
    }
  }
}

/// One head of one position: out = rotation of in * factor; `turn` -1 rotates back.
template <class T>
inline void rotate(const T* in, float factor, const float* cos, const float* sin, float turn, int64_t half,
                   T* out) {
#pragma omp simd
  for (int64_t i = 0; i < half; ++i) {
    const float a = load(in[i]) * factor, b = load(in[i + half]) * factor, s = sin[i] * turn;
    store(a * cos[i] - b * s, out + i);
    store(b * cos[i] + a * s, out + i + half);
  }
}

/// What a head of the three kinds is multiplied with and where it lies.
template <class T, class Visit>
inline void for_each_head(const HeadsArgs<T>& a, const Visit& visit) {
  const float root = 1.0f / __builtin_sqrtf(static_cast<float>(a.dim));
  const int64_t width = (a.heads + 2 * a.kv_heads) * a.dim;
  for (int64_t b = 0; b < a.batch; ++b) {
    for (int64_t t = 0; t < a.time; ++t) {
      const float inverse = a.s_scale == nullptr ? 1.0f : 1.0f / a.s_scale[b * a.time + t];
      T* s = a.s + (b * a.time + t) * width;
      for (int64_t h = 0; h < a.heads; ++h) {
        visit(s + h * a.dim, a.q + ((b * a.heads + h) * a.time + t) * a.dim, a.q_factor * inverse * root, t,
              true);
      }
      for (int64_t h = 0; h < a.kv_heads; ++h) {
        const int64_t at = ((b * a.kv_heads + h) * a.time + t) * a.dim;
        visit(s + (a.heads + h) * a.dim, a.k + at, a.k_factor * inverse, t, true);
        visit(s + (a.heads + a.kv_heads + h) * a.dim, a.v + at, a.v_factor * inverse, t, false);
      }
    }
  }
}

template <class T>
void split_heads(const HeadsArgs<T>& a) {
  const int64_t half = a.dim / 2;
  for_each_head(a, [&](const T* s, T* out, float factor, int64_t t, bool rotated) {
    if (rotated) {
      rotate(s, factor, a.cos + t * half, a.sin + t * half, 1.0f, half, out);
      return;
    }
#pragma omp simd
    for (int64_t i = 0; i < a.dim; ++i) store(load(s[i]) * factor, out + i);
  });
}

template <class T>
void split_heads_back(const HeadsArgs<T>& a) {
  const int64_t half = a.dim / 2;
  for_each_head(a, [&](T* s, const T* in, float factor, int64_t t, bool rotated) {
    if (rotated) {
      rotate(in, factor, a.cos + t * half, a.sin + t * half, -1.0f, half, s);
      return;
    }
#pragma omp simd
    for (int64_t i = 0; i < a.dim; ++i) store(load(in[i]) * factor, s + i);
  });
}

template <class T>
void merge_heads(const T* in, int64_t batch, int64_t heads, int64_t time, int64_t dim, T* out) {
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < time; ++t)
        __builtin_memcpy(out + ((b * time + t) * heads + h) * dim, in + ((b * heads + h) * time + t) * dim,
                         static_cast<size_t>(dim) * sizeof(T));
}

template <class T>
void unmerge_heads(const T* in, int64_t batch, int64_t heads, int64_t time, int64_t dim, T* out) {
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t h = 0; h < heads; ++h)
      for (int64_t t = 0; t < time; ++t)
        __builtin_memcpy(out + ((b * heads + h) * time + t) * dim, in + ((b * time + t) * heads + h) * dim,
                         static_cast<size_t>(dim) * sizeof(T));
}

template <class T>
void softmax(const SoftmaxArgs<T>& a) {
  for (int64_t h = 0; h < a.heads; ++h) {
    for (int64_t t = 0; t < a.time; ++t) {
      T* p = a.p + (h * a.time + t) * a.time;
      const int64_t first = a.first[t], end = t + 1;
      float largest = load(p[first]);
#pragma omp simd reduction(max : largest)
      for (int64_t i = first; i < end; ++i) largest = larger(largest, load(p[i]));
      float sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = first; i < end; ++i) sum += exponential(load(p[i]) - largest);
      const float inverse = 1.0f / sum;
#pragma omp simd
      for (int64_t i = first; i < end; ++i) store(exponential(load(p[i]) - largest) * inverse, p + i);
      __builtin_memset(p, 0, static_cast<size_t>(first) * sizeof(T));
      __builtin_memset(p + end, 0, static_cast<size_t>(a.time - end) * sizeof(T));
    }
  }
}

template <class T>
void softmax_back(const SoftmaxBackArgs<T>& a) {
  for (int64_t h = 0; h < a.heads; ++h) {
    for (int64_t t = 0; t < a.time; ++t) {
      const T* p = a.p + (h * a.time + t) * a.time;
      T* dp = a.dp + (h * a.time + t) * a.time;
      const int64_t first = a.first[t], end = t + 1;
      float dot = 0;
#pragma omp simd reduction(+ : dot)
      for (int64_t i = first; i < end; ++i) dot += load(p[i]) * load(dp[i]);
#pragma omp simd
      for (int64_t i = first; i < end; ++i) store(load(p[i]) * (load(dp[i]) - dot), dp + i);
      __builtin_memset(dp, 0, static_cast<size_t>(first) * sizeof(T));
      __builtin_memset(dp + end, 0, static_cast<size_t>(a.time - end) * sizeof(T));
    }
  }
}

template <class T>
void loss(const LossArgs<T>& a) {
  for (int64_t row = 0; row < a.rows; ++row) {
    T* logits = a.logits + row * a.vocab;
    a.losses[row] = 0;
    if (a.mask[row] == 0) {
      if (a.want_gradient) __builtin_memset(logits, 0, static_cast<size_t>(a.vocab) * sizeof(T));
      continue;
    }
    float largest = load(logits[0]);
#pragma omp simd reduction(max : largest)
    for (int64_t i = 0; i < a.vocab; ++i) largest = larger(largest, load(logits[i]));
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < a.vocab; ++i) sum += exponential(load(logits[i]) - largest);
    const int32_t target = a.targets[row];
    a.losses[row] = __builtin_logf(sum) - (load(logits[target]) - largest);
    if (!a.want_gradient) continue;
    const float factor = a.grad_scale / sum;
    const float of_target = exponential(load(logits[target]) - largest) * factor - a.grad_scale;
#pragma omp simd
    for (int64_t i = 0; i < a.vocab; ++i) store(exponential(load(logits[i]) - largest) * factor, logits + i);
    store(of_target, logits + target);
  }
}

template <class T>
void trits(const float* x, int64_t count, float inverse, T* out) {
  if (inverse == 0) {
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) store(x[i], out + i);
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) {
    const float scaled = x[i] * inverse;
    const float low = scaled < -1.0f ? -1.0f : scaled;
    store(nearest(low > 1.0f ? 1.0f : low), out + i);
  }
}

template <class T>
void accumulate(const T* part, int64_t count, float factor, float* sum) {
#pragma omp simd
  for (int64_t i = 0; i < count; ++i) sum[i] += load(part[i]) * factor;
}

template <class T>
void embed(const T* table, const int32_t* tokens, int64_t rows, int64_t cols, float* out) {
  for (int64_t row = 0; row < rows; ++row) {
    const T* from = table + tokens[row] * cols;
    float* to = out + row * cols;
#pragma omp simd
    for (int64_t i = 0; i < cols; ++i) to[i] = load(from[i]);
  }
}

void adamw(const AdamWArgs& a) {
  const float rest1 = 1.0f - a.beta1, rest2 = 1.0f - a.beta2;
  const float keep = 1.0f - a.lr * a.weight_decay;
  const float step = a.lr / a.correction1, root = 1.0f / __builtin_sqrtf(a.correction2);
#pragma omp simd
  for (int64_t i = 0; i < a.count; ++i) {
    const float g = a.gradient[i] * a.gradient_scale;
    const float m = a.beta1 * a.m[i] + rest1 * g;
    const float v = a.beta2 * a.v[i] + rest2 * g * g;
    a.m[i] = m;
    a.v[i] = v;
    a.value[i] = a.value[i] * keep - step * m / (__builtin_sqrtf(v) * root + a.epsilon);
  }
}

template <class Term>
double blocked_sum(int64_t count, const Term& term) {
  constexpr int64_t kBlock = 1024;
  double total = 0;
  for (int64_t begin = 0; begin < count; begin += kBlock) {
    const int64_t end = begin + kBlock < count ? begin + kBlock : count;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = begin; i < end; ++i) sum += term(i);
    total += static_cast<double>(sum);
  }
  return total;
}

double sum_abs(const float* x, int64_t count) {
  return blocked_sum(count, [x](int64_t i) { return absolute(x[i]); });
}

double sum_squares(const float* x, int64_t count) {
  return blocked_sum(count, [x](int64_t i) { return x[i] * x[i]; });
}

template <class T>
constexpr KernelsOf<T> kernels_of() {
  return {norm<T>,        norm_back<T>,     gate<T>,    gate_back<T>,    split_heads<T>, split_heads_back<T>,
          merge_heads<T>, unmerge_heads<T>, softmax<T>, softmax_back<T>, loss<T>,        trits<T>,
          accumulate<T>,  embed<T>};
}

constexpr Kernels kTable = {kernels_of<uint16_t>(), kernels_of<float>(), adamw, sum_abs, sum_squares,
                            TERN_TRAIN_NAME};

}  // namespace

const Kernels& TERN_TRAIN_TABLE() { return kTable; }

}  // namespace tern::train
