// SPDX-License-Identifier: MIT
// The KV cache page and attention over it. Keys are stored transposed, so that a lane is a key and the scores
// need no horizontal sums; up to 4 query heads of a group share every load of the cache. Called through
// KernelTable.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {
namespace {

constexpr int64_t kHeads =
    4;  // query heads at once: 4 heads x 2 vectors = 8 of 16 registers are accumulators

// How 8 elements of the cache become f32 and back; only the first n are read or written.
struct F16 {
  using Element = uint16_t;
  TERN_INLINE __m256 load8(const Element* at, int64_t n = 8) {
    if (n >= 8) return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    Element copy[8] = {};
    for (int64_t i = 0; i < n; ++i) copy[i] = at[i];
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(copy)));
  }
  TERN_INLINE void store8(Element* at, int64_t n, __m256 v) {
    Element copy[8];
    _mm_storeu_si128(reinterpret_cast<__m128i*>(copy),
                     _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    for (int64_t i = 0; i < min_i64(n, 8); ++i) at[i] = copy[i];
  }
};
struct F32 {
  using Element = float;
  TERN_INLINE __m256 load8(const Element* at, int64_t n = 8) { return load(at, n); }
  TERN_INLINE void store8(Element* at, int64_t n, __m256 v) { store(at, n, v); }
};

template <class Cache>
void append(const KvAppendArgs& a) noexcept {
  using Element = typename Cache::Element;
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    Element* keys = reinterpret_cast<Element*>(a.page) + h * 2 * kPageRows * a.head_dim;
    Element* value = keys + (kPageRows + a.slot) * a.head_dim;
    for (int64_t d = 0; d < a.head_dim; d += 8) {
      const int64_t n = min_i64(8, a.head_dim - d);
      Element key[8];
      Cache::store8(key, n, load(a.key + h * a.head_dim + d, n));
      for (int64_t i = 0; i < n; ++i) keys[(d + i) * kPageRows + a.slot] = key[i];
      Cache::store8(value + d, n, load(a.value + h * a.head_dim + d, n));
    }
  }
}

/// score[h][j] = fl(scale * dot(q[h], key j)) for all 64 keys of a block; those past the valid ones are
/// meaningless.
template <class Cache, int H>
TERN_INLINE void score_keys(const float* q, int64_t head_dim, const typename Cache::Element* keys,
                            float scale, float* score) {
  for (int64_t j = 0; j < kPageRows; j += 16) {
    __m256 acc[H][2];
    for (int h = 0; h < H; ++h) acc[h][0] = acc[h][1] = _mm256_setzero_ps();
    for (int64_t d = 0; d < head_dim; ++d) {
      const __m256 key[2] = {Cache::load8(keys + d * kPageRows + j),
                             Cache::load8(keys + d * kPageRows + j + 8)};
      for (int h = 0; h < H; ++h) {
        const __m256 x = _mm256_broadcast_ss(q + h * head_dim + d);
        for (int c = 0; c < 2; ++c) acc[h][c] = _mm256_fmadd_ps(x, key[c], acc[h][c]);
      }
    }
    for (int h = 0; h < H; ++h)
      for (int c = 0; c < 2; ++c)
        _mm256_storeu_ps(score + h * kPageRows + j + 8 * c, _mm256_mul_ps(_mm256_set1_ps(scale), acc[h][c]));
  }
}

struct Softmax {
  float max, sum, factor;  // m, l and f of kernel_table.h
};

TERN_INLINE float reduce_max(__m256 v) {
  __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
  four = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(four, _mm_movehdup_ps(four)));
}

/// Scores of one head become p; moves m, l and f on by one block with `valid` >= 1 keys. The order of a
/// maximum does not matter: a NaN among the scores makes every output NaN whatever m is, and exp_f32 gives 1
/// for either zero.
TERN_INLINE void soften(float* score, int64_t valid, Softmax* state) {
  const __m256 lowest = _mm256_set1_ps(state->max);
  __m256 s[8], largest = lowest;
  for (int c = 0; c < 8; ++c) {
    s[c] = _mm256_loadu_ps(score + 8 * c);
    const __m256 in_use = _mm256_castsi256_ps(first_lanes(valid - 8 * c));
    largest = _mm256_max_ps(largest, _mm256_blendv_ps(lowest, s[c], in_use));
  }
  const float max = reduce_max(largest);
  const __m256 offset = _mm256_set1_ps(max);
  for (int c = 0; c < 8; ++c) {
    const __m256 in_use = _mm256_castsi256_ps(first_lanes(valid - 8 * c));
    s[c] = _mm256_and_ps(in_use, exp_ps(_mm256_sub_ps(s[c], offset)));
    _mm256_storeu_ps(score + 8 * c, s[c]);
  }
  const __m256 low = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(s[0], s[2]), s[4]), s[6]);
  const __m256 high = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(s[1], s[3]), s[5]), s[7]);
  const float block_sum = halve16({low, high});
  const __m128 factor = _mm256_castps256_ps128(exp_ps(_mm256_set1_ps(state->max - max)));
  state->max = max;
  state->factor = _mm_cvtss_f32(factor);
  state->sum = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(state->sum), factor, _mm_set_ss(block_sum)));
}

/// acc[h][d] = fl(acc[h][d] * f), then one fma per valid key, for the first n of 8*C columns.
template <class Cache, int H, int C>
TERN_INLINE void add_values(const float* p, const Softmax* state, const typename Cache::Element* values,
                            int64_t head_dim, int64_t valid, int64_t n, float* out) {
  __m256 acc[H][C];
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < C; ++c)
      acc[h][c] = _mm256_mul_ps(load(out + h * head_dim + 8 * c, n - 8 * c), _mm256_set1_ps(state[h].factor));
  for (int64_t j = 0; j < valid; ++j) {
    __m256 value[C];
    for (int c = 0; c < C; ++c) value[c] = Cache::load8(values + j * head_dim + 8 * c, n - 8 * c);
    for (int h = 0; h < H; ++h) {
      const __m256 x = _mm256_broadcast_ss(p + h * kPageRows + j);
      for (int c = 0; c < C; ++c) acc[h][c] = _mm256_fmadd_ps(x, value[c], acc[h][c]);
    }
  }
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < C; ++c) store(out + h * head_dim + 8 * c, n - 8 * c, acc[h][c]);
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
      add_values<Cache, H, 2>(score, state, values + d, a.head_dim, valid, 16, out + d);
    for (; d < a.head_dim; d += 8)
      add_values<Cache, H, 1>(score, state, values + d, a.head_dim, valid, a.head_dim - d, out + d);
  }
  for (int h = 0; h < H; ++h)
    for (int64_t d = 0; d < a.head_dim; d += 8) {
      float* at = out + h * a.head_dim + d;
      store(at, a.head_dim - d, _mm256_div_ps(load(at, a.head_dim - d), _mm256_set1_ps(state[h].sum)));
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

}  // namespace tern::avx2
