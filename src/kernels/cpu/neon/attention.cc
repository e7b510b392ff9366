// SPDX-License-Identifier: MIT
// The KV cache page and attention over it. Keys are stored transposed, so that a lane is a key and the scores
// need no horizontal sums; up to 4 query heads of a group share every load of the cache. Called through
// KernelTable.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {
namespace {

constexpr int64_t kHeads = 4;  // query heads at once: 4 heads x 4 vectors = 16 of 32 registers

// How 4 elements of the cache become f32 and back; only the first n are read or written. The conversions
// round to nearest even and keep denormals, as FPCR stands in every Linux process.
struct F16 {
  using Element = uint16_t;
  TERN_INLINE float32x4_t load4(const Element* at, int64_t n = 4) {
    uint16x4_t v = vdup_n_u16(0);
    if (n >= 4) {
      v = vld1_u16(at);
    } else {
      if (n > 0) v = vld1_lane_u16(at, v, 0);
      if (n > 1) v = vld1_lane_u16(at + 1, v, 1);
      if (n > 2) v = vld1_lane_u16(at + 2, v, 2);
    }
    return vcvt_f32_f16(vreinterpret_f16_u16(v));
  }
  TERN_INLINE void store4(Element* at, int64_t n, float32x4_t f) {
    const uint16x4_t v = vreinterpret_u16_f16(vcvt_f16_f32(f));
    if (n >= 4) return vst1_u16(at, v);
    if (n > 0) vst1_lane_u16(at, v, 0);
    if (n > 1) vst1_lane_u16(at + 1, v, 1);
    if (n > 2) vst1_lane_u16(at + 2, v, 2);
  }
};
struct F32 {
  using Element = float;
  TERN_INLINE float32x4_t load4(const Element* at, int64_t n = 4) { return load(at, n); }
  TERN_INLINE void store4(Element* at, int64_t n, float32x4_t v) { store(at, n, v); }
};

template <class Cache>
void append(const KvAppendArgs& a) noexcept {
  using Element = typename Cache::Element;
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    Element* keys = reinterpret_cast<Element*>(a.page) + h * 2 * kPageRows * a.head_dim;
    Element* value = keys + (kPageRows + a.slot) * a.head_dim;
    for (int64_t d = 0; d < a.head_dim; d += 4) {
      const int64_t n = min_i64(4, a.head_dim - d);
      Element key[4];
      Cache::store4(key, 4, load(a.key + h * a.head_dim + d, n));
      for (int64_t i = 0; i < n; ++i) keys[(d + i) * kPageRows + a.slot] = key[i];
      Cache::store4(value + d, n, load(a.value + h * a.head_dim + d, n));
    }
  }
}

/// score[h][j] = fl(scale * dot(q[h], key j)) for all 64 keys of a block; those past the valid ones are
/// meaningless.
template <class Cache, int H>
TERN_INLINE void score_keys(const float* q, int64_t head_dim, const typename Cache::Element* keys,
                            float scale, float* score) {
  for (int64_t j = 0; j < kPageRows; j += 16) {
    float32x4_t acc[H][4];
    TERN_UNROLL for (int h = 0; h < H; ++h) TERN_UNROLL for (int c = 0; c < 4; ++c) acc[h][c] =
        vdupq_n_f32(0.0f);
    for (int64_t d = 0; d < head_dim; ++d) {
      float32x4_t key[4];
      TERN_UNROLL for (int c = 0; c < 4; ++c) key[c] = Cache::load4(keys + d * kPageRows + j + 4 * c);
      TERN_UNROLL for (int h = 0; h < H; ++h) {
        const float x = q[h * head_dim + d];
        TERN_UNROLL for (int c = 0; c < 4; ++c) acc[h][c] = vfmaq_n_f32(acc[h][c], key[c], x);
      }
    }
    TERN_UNROLL for (int h = 0; h < H; ++h) TERN_UNROLL for (int c = 0; c < 4; ++c)
        vst1q_f32(score + h * kPageRows + j + 4 * c, vmulq_n_f32(acc[h][c], scale));
  }
}

struct Softmax {
  float max, sum, factor;  // m, l and f of kernel_table.h
};

/// Scores of one head become p; moves m, l and f on by one block with `valid` >= 1 keys. The order of a
/// maximum does not matter: a NaN among the scores makes every output NaN whatever m is, and exp_f32 gives 1
/// for either zero.
TERN_INLINE void soften(float* score, int64_t valid, Softmax* state) {
  const float32x4_t lowest = vdupq_n_f32(state->max);
  float32x4_t largest = lowest;
  for (int64_t j = 0; j < kPageRows; j += 4)
    largest = vmaxq_f32(largest, vbslq_f32(first_lanes(valid - j), vld1q_f32(score + j), lowest));
  const float max = vmaxvq_f32(largest);
  const float32x4_t offset = vdupq_n_f32(max);

  Lanes16 sums;  // lane[l] = p[l], then += p[l+16], p[l+32], p[l+48]
  for (int64_t j = 0; j < kPageRows; j += 16) TERN_UNROLL for (int c = 0; c < 4; ++c) {
      const int64_t at = j + 4 * c;
      const uint32x4_t bits = vreinterpretq_u32_f32(exp_ps(vsubq_f32(vld1q_f32(score + at), offset)));
      const float32x4_t p = vreinterpretq_f32_u32(vandq_u32(bits, first_lanes(valid - at)));
      vst1q_f32(score + at, p);
      sums.v[c] = j == 0 ? p : vaddq_f32(sums.v[c], p);
    }
  const float factor = vgetq_lane_f32(exp_ps(vsubq_f32(lowest, offset)), 0);
  state->max = max;
  state->factor = factor;
  state->sum = __builtin_fmaf(state->sum, factor, halve16(sums));
}

/// acc[h][d] = fl(acc[h][d] * f), then one fma per valid key, for the first n of 4*C columns.
template <class Cache, int H, int C>
TERN_INLINE void add_values(const float* p, const Softmax* state, const typename Cache::Element* values,
                            int64_t head_dim, int64_t valid, int64_t n, float* out) {
  float32x4_t acc[H][C];
  TERN_UNROLL for (int h = 0; h < H; ++h) TERN_UNROLL for (int c = 0; c < C; ++c) acc[h][c] =
      vmulq_n_f32(load(out + h * head_dim + 4 * c, n - 4 * c), state[h].factor);
  for (int64_t j = 0; j < valid; ++j) {
    float32x4_t value[C];
    TERN_UNROLL for (int c = 0; c < C; ++c) value[c] = Cache::load4(values + j * head_dim + 4 * c, n - 4 * c);
    TERN_UNROLL for (int h = 0; h < H; ++h) {
      const float x = p[h * kPageRows + j];
      TERN_UNROLL for (int c = 0; c < C; ++c) acc[h][c] = vfmaq_n_f32(acc[h][c], value[c], x);
    }
  }
  TERN_UNROLL for (int h = 0; h < H; ++h) TERN_UNROLL for (int c = 0; c < C; ++c)
      store(out + h * head_dim + 4 * c, n - 4 * c, acc[h][c]);
}

/// H query heads from head `first` on, over the whole context.
template <class Cache, int H>
void attend(const AttentionArgs& a, int64_t first) noexcept {
  const float* q = a.q + first * a.head_dim;
  float* out = a.out + first * a.head_dim;
  float* score = a.scratch;
  Softmax state[H];
  for (int h = 0; h < H; ++h) state[h] = {-__builtin_inff(), 0.0f, 0.0f};
  for (int64_t i = 0; i < H * a.head_dim; ++i) out[i] = 0.0f;
  for (int64_t begin = 0; begin < a.keys; begin += kPageRows) {
    const auto* keys =
        reinterpret_cast<const typename Cache::Element*>(a.pages[begin / kPageRows] + a.head_offset_bytes);
    const auto* values = keys + kPageRows * a.head_dim;
    const int64_t valid = min_i64(kPageRows, a.keys - begin);
    score_keys<Cache, H>(q, a.head_dim, keys, a.scale, score);
    for (int h = 0; h < H; ++h) soften(score + h * kPageRows, valid, &state[h]);
    int64_t d = 0;
    for (; d + 16 <= a.head_dim; d += 16)
      add_values<Cache, H, 4>(score, state, values + d, a.head_dim, valid, 16, out + d);
    for (; d < a.head_dim; d += 4)
      add_values<Cache, H, 1>(score, state, values + d, a.head_dim, valid, a.head_dim - d, out + d);
  }
  for (int h = 0; h < H; ++h)
    for (int64_t d = 0; d < a.head_dim; d += 4) {
      float* at = out + h * a.head_dim + d;
      store(at, a.head_dim - d, vdivq_f32(load(at, a.head_dim - d), vdupq_n_f32(state[h].sum)));
    }
}

template <class Cache>
void attend_group(const AttentionArgs& a) noexcept {
  int64_t h = 0;
  for (; h + kHeads <= a.group; h += kHeads) attend<Cache, kHeads>(a, h);
  if (a.group - h == 3) attend<Cache, 3>(a, h);
  if (a.group - h == 2) attend<Cache, 2>(a, h);
  if (a.group - h == 1) attend<Cache, 1>(a, h);
}

}  // namespace

void kv_append_f16(const KvAppendArgs& args) noexcept { append<F16>(args); }
void kv_append_f32(const KvAppendArgs& args) noexcept { append<F32>(args); }
void attention_f16(const AttentionArgs& args) noexcept { attend_group<F16>(args); }
void attention_f32(const AttentionArgs& args) noexcept { attend_group<F32>(args); }

}  // namespace tern::neon
