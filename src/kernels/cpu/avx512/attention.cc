// SPDX-License-Identifier: MIT
// The KV cache page and attention over it. Keys are stored transposed, so that a lane is a key and the scores
// need no horizontal sums; up to 4 query heads of a group share every load of the cache. Called through
// KernelTable.
#include "kernels/cpu/avx512/detail.h"

namespace tern::avx512 {
namespace {

constexpr int64_t kHeads =
    4;  // query heads at once: 4 heads x 4 vectors = 16 accumulators, 4 vectors of the cache

// How 16 elements of the cache become f32 and back. Lanes outside `lanes` are neither read nor written.
struct F16 {
  using Element = uint16_t;
  TERN_INLINE __m512 load(const Element* at) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
  }
  TERN_INLINE __m512 load(const Element* at, __mmask16 lanes) {
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lanes, at));
  }
  TERN_INLINE void store(Element* at, __mmask16 lanes, __m512 v) {
    _mm256_mask_storeu_epi16(at, lanes, _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};
struct F32 {
  using Element = float;
  TERN_INLINE __m512 load(const Element* at) { return _mm512_loadu_ps(at); }
  TERN_INLINE __m512 load(const Element* at, __mmask16 lanes) { return _mm512_maskz_loadu_ps(lanes, at); }
  TERN_INLINE void store(Element* at, __mmask16 lanes, __m512 v) { _mm512_mask_storeu_ps(at, lanes, v); }
};

template <class Cache>
void append(const KvAppendArgs& a) noexcept {
  using Element = typename Cache::Element;
  for (int64_t h = 0; h < a.kv_heads; ++h) {
    Element* keys = reinterpret_cast<Element*>(a.page) + h * 2 * kPageRows * a.head_dim;
    Element* value = keys + (kPageRows + a.slot) * a.head_dim;
    for (int64_t d = 0; d < a.head_dim; d += 16) {
      const __mmask16 lanes = first_lanes(a.head_dim - d);
      Element key[16];
      Cache::store(key, lanes, _mm512_maskz_loadu_ps(lanes, a.key + h * a.head_dim + d));
      for (int64_t i = 0; i < min_i64(16, a.head_dim - d); ++i) keys[(d + i) * kPageRows + a.slot] = key[i];
      Cache::store(value + d, lanes, _mm512_maskz_loadu_ps(lanes, a.value + h * a.head_dim + d));
    }
  }
}

/// score[h][j] = fl(scale * dot(q[h], key j)) for all 64 keys of a block; those past the valid ones are
/// meaningless.
template <class Cache, int H>
TERN_INLINE void score_keys(const float* q, int64_t head_dim, const typename Cache::Element* keys,
                            float scale, float* score) {
  __m512 acc[H][4];
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < 4; ++c) acc[h][c] = _mm512_setzero_ps();
  for (int64_t d = 0; d < head_dim; ++d) {
    __m512 key[4];
    for (int c = 0; c < 4; ++c) key[c] = Cache::load(keys + d * kPageRows + 16 * c);
    for (int h = 0; h < H; ++h) {
      const __m512 x = _mm512_set1_ps(q[h * head_dim + d]);
      for (int c = 0; c < 4; ++c) acc[h][c] = _mm512_fmadd_ps(x, key[c], acc[h][c]);
    }
  }
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < 4; ++c)
      _mm512_storeu_ps(score + h * kPageRows + 16 * c, _mm512_mul_ps(_mm512_set1_ps(scale), acc[h][c]));
}

struct Softmax {
  float max, sum, factor;  // m, l and f of kernel_table.h
};

/// Scores of one head become p; moves m, l and f on by one block with `valid` >= 1 keys. The order of a
/// maximum does not matter: a NaN among the scores makes every output NaN whatever m is, and exp_f32 gives 1
/// for either zero.
TERN_INLINE void soften(float* score, int64_t valid, Softmax* state) {
  const __m512 lowest = _mm512_set1_ps(state->max);
  __m512 s[4], largest = lowest;
  for (int c = 0; c < 4; ++c) {
    s[c] = _mm512_loadu_ps(score + 16 * c);
    largest =
        _mm512_max_ps(largest, _mm512_mask_mov_ps(lowest, first_lanes(max_i64(valid - 16 * c, 0)), s[c]));
  }
  const float max = _mm512_reduce_max_ps(largest);
  const __m512 offset = _mm512_set1_ps(max);
  for (int c = 0; c < 4; ++c) {
    s[c] = _mm512_maskz_mov_ps(first_lanes(max_i64(valid - 16 * c, 0)), exp_ps(_mm512_sub_ps(s[c], offset)));
    _mm512_storeu_ps(score + 16 * c, s[c]);
  }
  const float block_sum = halve16(_mm512_add_ps(_mm512_add_ps(_mm512_add_ps(s[0], s[1]), s[2]), s[3]));
  const __m128 factor = _mm512_castps512_ps128(exp_ps(_mm512_set1_ps(state->max - max)));
  state->max = max;
  state->factor = _mm_cvtss_f32(factor);
  state->sum = _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(state->sum), factor, _mm_set_ss(block_sum)));
}

/// acc[h][d] = fl(acc[h][d] * f), then one fma per valid key, for 16*C columns (the last vector by `lanes`).
template <class Cache, int H, int C>
TERN_INLINE void add_values(const float* p, const Softmax* state, const typename Cache::Element* values,
                            int64_t head_dim, int64_t valid, __mmask16 lanes, float* out) {
  __m512 acc[H][C];
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < C; ++c)
      acc[h][c] = _mm512_mul_ps(
          _mm512_maskz_loadu_ps(c == C - 1 ? lanes : __mmask16{0xffff}, out + h * head_dim + 16 * c),
          _mm512_set1_ps(state[h].factor));
  for (int64_t j = 0; j < valid; ++j) {
    __m512 value[C];
    for (int c = 0; c < C; ++c)
      value[c] = Cache::load(values + j * head_dim + 16 * c, c == C - 1 ? lanes : __mmask16{0xffff});
    for (int h = 0; h < H; ++h) {
      const __m512 x = _mm512_set1_ps(p[h * kPageRows + j]);
      for (int c = 0; c < C; ++c) acc[h][c] = _mm512_fmadd_ps(x, value[c], acc[h][c]);
    }
  }
  for (int h = 0; h < H; ++h)
    for (int c = 0; c < C; ++c)
      _mm512_mask_storeu_ps(out + h * head_dim + 16 * c, c == C - 1 ? lanes : __mmask16{0xffff}, acc[h][c]);
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
    for (; d + 64 <= a.head_dim; d += 64)
      add_values<Cache, H, 4>(score, state, values + d, a.head_dim, valid, 0xffff, out + d);
    for (; d < a.head_dim; d += 16)
      add_values<Cache, H, 1>(score, state, values + d, a.head_dim, valid, first_lanes(a.head_dim - d),
                              out + d);
  }
  for (int h = 0; h < H; ++h)
    for (int64_t d = 0; d < a.head_dim; d += 16) {
      const __mmask16 lanes = first_lanes(a.head_dim - d);
      float* row = out + h * a.head_dim + d;
      _mm512_mask_storeu_ps(row, lanes,
                            _mm512_div_ps(_mm512_maskz_loadu_ps(lanes, row), _mm512_set1_ps(state[h].sum)));
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

}  // namespace tern::avx512
