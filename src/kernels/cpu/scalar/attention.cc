// SPDX-License-Identifier: MIT
// The KV cache page and attention over it. f16 and f32 caches differ in how an element is read and written
// only.
#include <algorithm>
#include <limits>

#include "core/float16.h"
#include "core/math.h"
#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

namespace {

struct F16 {
  using Element = uint16_t;
  static float read(Element e) { return f16_to_f32(e); }
  static Element write(float f) { return f32_to_f16(f); }
};
struct F32 {
  using Element = float;
  static float read(Element e) { return e; }
  static Element write(float f) { return f; }
};

template <class Cache>
void append(const KvAppendArgs& a) {
  auto* page = reinterpret_cast<typename Cache::Element*>(a.page);
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    auto* keys = page + h * 2 * kPageRows * a.head_dim;  // [head_dim][64]
    auto* values = keys + kPageRows * a.head_dim;        // [64][head_dim]
    for (int64_t d = 0; d < a.head_dim; ++d) {
      keys[d * kPageRows + a.slot] = Cache::write(a.key[h * a.head_dim + d]);
      values[a.slot * a.head_dim + d] = Cache::write(a.value[h * a.head_dim + d]);
    }
  }
}

/// One query head. `acc` [head_dim] is the output row: it holds acc[d] until the last division.
template <class Cache>
void attend(const AttentionArgs& a, const float* q, float* acc) {
  float m = -std::numeric_limits<float>::infinity(), l = 0.0f;
  std::fill_n(acc, a.head_dim, 0.0f);
  for (int64_t begin = 0; begin < a.keys; begin += kPageRows) {
    const auto* keys =
        reinterpret_cast<const typename Cache::Element*>(a.pages[begin / kPageRows] + a.head_offset_bytes);
    const auto* values = keys + kPageRows * a.head_dim;
    const int64_t valid = std::min(kPageRows, a.keys - begin);

    float p[kPageRows] = {};  // scores, then their exponentials; +0 beyond `valid`
    float m_new = m;
    for (int64_t j = 0; j < valid; ++j) {
      float dot = 0.0f;
      for (int64_t d = 0; d < a.head_dim; ++d)
        dot = std::fma(q[d], Cache::read(keys[d * kPageRows + j]), dot);
      p[j] = a.scale * dot;
      m_new = std::max(m_new, p[j]);
    }
    for (int64_t j = 0; j < valid; ++j) p[j] = exp_f32(p[j] - m_new);

    float lane[16];
    for (int i = 0; i < 16; ++i) lane[i] = p[i] + p[i + 16] + p[i + 32] + p[i + 48];
    const float f = exp_f32(m - m_new);
    l = std::fma(l, f, halve16(lane));
    for (int64_t d = 0; d < a.head_dim; ++d) {
      acc[d] = acc[d] * f;
      for (int64_t j = 0; j < valid; ++j)
        acc[d] = std::fma(p[j], Cache::read(values[j * a.head_dim + d]), acc[d]);
    }
    m = m_new;
  }
  for (int64_t d = 0; d < a.head_dim; ++d) acc[d] = acc[d] / l;
}

template <class Cache>
void attend_group(const AttentionArgs& a) {
  for (int64_t g = 0; g < a.group; ++g) attend<Cache>(a, a.q + g * a.head_dim, a.out + g * a.head_dim);
}

}  // namespace

void kv_append_f16(const KvAppendArgs& args) noexcept { append<F16>(args); }
void kv_append_f32(const KvAppendArgs& args) noexcept { append<F32>(args); }
void attention_f16(const AttentionArgs& args) noexcept { attend_group<F16>(args); }
void attention_f32(const AttentionArgs& args) noexcept { attend_group<F32>(args); }

}  // namespace tern::scalar
