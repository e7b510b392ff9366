// SPDX-License-Identifier: MIT
// What a CPU instruction set offers: a table of plain function pointers, and the argument structs that all
// sets share. The scalar table (cpu/scalar) is complete and is the specification; every other table repeats
// its results BIT FOR BIT and may leave entries null, which then fall through per op (registry.cc). All an
// ISA file may include.
//
// Orders of float operations (the contract, docs/numerics.md). fl() is one IEEE rounding to f32, fma(a,b,c)
// one rounding of a*b+c. Nothing is contracted, flushed or reassociated.
//   sum16(n, term)  lane[l] for l = 0..15 starts at +0; for i = 0..n-1 ascending: lane[i%16] takes term i by
//   fma;
//                   then lane[l] += lane[l+8] (l<8), += lane[l+4] (l<4), += lane[l+2] (l<2), lane[0] +=
//                   lane[1]. A tail shorter than 16 leaves the other lanes untouched (not even an fma of
//                   zeros: -0 + 0 is +0).
//   exp_f32         core/math.h, operation by operation.
//   NaN             where a formula gives NaN every table gives a NaN; its sign and payload are not specified
//   (machines
//                   and operand orders differ in them). A maximum may drop or keep a NaN or the sign of a
//                   zero: that never shows, because a NaN score makes the row's sum and so its whole output
//                   NaN.
// Threads: every function is pure but for its outputs; disjoint ranges may run at once. noexcept, no
// allocation.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tern {

// ---- ternary weights, layout T2
// --------------------------------------------------------------------------------- A matrix [N, K] is cut
// into panels of 16 rows (features); K is padded to k_padded, a multiple of 64, and N to a multiple of 16,
// both with zero trits. A panel is k_padded/16 lines of 64 bytes; line c holds columns 16c..16c+15.
//   byte 4*j + b of line c, bits 2f+1..2f  =  code of feature j, column 16*c + 4*f + b      (j 0..15, f 0..3,
//   b 0..3)
// code u = value + 1 in 0..3 (3 = the legal +2 of Q2_0). sum(value*q) = sum(u*q) - sum(q), exact in int32:
// |sum(u*q)| <= 3*128*K < 2^31 for K < 5.5 million (checked at pack time).
inline constexpr int64_t kPanelRows = 16;
inline constexpr int64_t kLineCols = 16;
inline constexpr int64_t kLineBytes = 64;
inline constexpr int64_t kColumnPad = 64;  // k_padded is a multiple; int8 rows are zero-padded to it

enum class WeightScale : uint8_t {
  kTensor,  // w_scale[0]
  kRow,     // w_scale[feature], padded to a multiple of 16 with zeros
  kGroup,   // w_scale[(panel * groups + g) * 16 + j], g = column / group_cols, group_cols a multiple of 64
};

/// y[m, n] = fl(fl(fl(S) / s[m]) * w)          kTensor, kRow
///         = fl(acc / s[m]), acc = fma(fl(S_g), w_g, acc) for g ascending from acc = +0      kGroup
/// with S (S_g) the exact int32 sum of value*q over all columns (of group g).
struct TernaryArgs {
  const uint8_t* weights;  // T2, all panels
  int64_t k_padded;        // columns, a multiple of 64
  int64_t rows;            // N; features >= N of the last panel are computed but not stored
  WeightScale scale_kind;
  int64_t
      group_cols;  // kGroup: columns of a group; groups = ceil(k_padded / group_cols), the last may be short
  const float* w_scale;       // see WeightScale
  const int8_t* q;            // [M, k_padded], all of [-128, 127], zero beyond K
  const int32_t* block_sums;  // [M, k_padded/64], sum of q over each 64 columns
  const int32_t* sums;        // [M], sum of q over the row
  const float* act_scale;     // [M], s: real activation = q / s
  int64_t tokens;             // M
  int64_t panel_begin, panel_end;
  float* y;  // [M, y_stride], columns 16*panel_begin .. min(N, 16*panel_end) are written
  int64_t y_stride;
};
using TernaryFn = void (*)(const TernaryArgs&) noexcept;

// The same with activations of 16 bits, q = 256*h + l (KernelTable::ternary16). Each token has two rows of
// int8, its h and then its l: q is [2M, k_padded], block_sums [2M, k_padded/64], sums [2M]; act_scale and y
// keep M rows. S = 256*S_h + S_l with the sums of the two rows, exact in int32 because |S| <= 2 * 32639 *
// k_padded < 2^31 up to kMaxColumns16 (checked at load). Rounding happens where it does above: fl(S), then
// the scales.
inline constexpr int64_t kMaxColumns16 = 32896;
static_assert(2 * int64_t{32639} * kMaxColumns16 < (int64_t{1} << 31) && kMaxColumns16 % kColumnPad == 0);

// ---- dense weights
// ----------------------------------------------------------------------------------------------
/// y[m, n] = sum16(K, fma(w[n, i], x[m, i])) with w the f32 value of the stored weight.
/// One function per storage; `dequantize` serves storages without their own (scalar: it is used for all but
/// f32).
struct DenseArgs {
  const std::byte* weights;  // row n at n * row_bytes, any alignment
  int64_t row_bytes;
  int64_t cols;  // K
  void (*dequantize)(const std::byte* row, uint64_t cols,
                     float* out);  // the meaning of a row (formats/dense.h)
  float* scratch;                  // [K], private to this call
  const float* x;                  // [M, x_stride]
  int64_t x_stride;
  int64_t tokens;  // M
  int64_t row_begin, row_end;
  float* y;  // [M, y_stride], columns row_begin..row_end-1 are written
  int64_t y_stride;
};
using DenseFn = void (*)(const DenseArgs&) noexcept;

// ---- one row of activations
// ---------------------------------------------------------------------------------------
/// v = fl(fl(sum16(n, fma(x,x)) / fl(n)) + eps); r = fl(fl(1 / fl(sqrt(v))) + fl(v - v)); y[i] =
/// fl(fl(x[i]*r) * w[i]) (v - v is +0, or NaN where the squares overflowed: the row is then seen to be bad
/// instead of turning into zeros) (w null: y[i] = fl(x[i]*r)). y may be x.
using RmsNormFn = void (*)(const float* x, const float* w, int64_t n, float eps, float* y) noexcept;

/// a = max(1e-5f, max|x[i]|); s = fl(127/a); q[i] = clamp(RNE(fl(x[i]*s)), -128, 127), zero for n <= i <
/// n_padded. block_sums[n_padded/64] and *sum as in TernaryArgs. Returns s, or -1 where any x is NaN or
/// infinite: then s would be meaningless, q, block_sums and *sum are all zero.
using QuantizeFn = float (*)(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                             int32_t* sum) noexcept;

/// a = max(1e-5f, max|x[i]|); s = fl(32639/a); q[i] = RNE(fl(x[i]*s)), which is at most 32639 = 127*256 +
/// 127: the two roundings before it add less than 0.01. q = 256*h + l with l in [-128, 127] and h in [-127,
/// 127]; h goes to q[0..n_padded), l to q[n_padded..2*n_padded), both zero beyond n. block_sums [2,
/// n_padded/64], sums [2]. Returns s, or -1 where any x is NaN or infinite: then q, block_sums and sums are
/// all zero.
using Quantize16Fn = float (*)(const float* x, int64_t n, int64_t n_padded, int8_t* q, int32_t* block_sums,
                               int32_t* sums) noexcept;

/// x[i] = fl(x[i] + y[i])
using AddFn = void (*)(float* x, const float* y, int64_t n) noexcept;
/// relu2: r = x > 0 ? x : +0; out = fl(fl(r*r) * u).     silu: out = fl(fl(g / fl(1 + exp_f32(-g))) * u). out
/// may be g or u.
using GateFn = void (*)(const float* g, const float* u, int64_t n, float* out) noexcept;

/// Rotates `heads` heads of head_dim values in place; only the first rope_dim of each take part, `half` =
/// rope_dim/2.
///   pair i: (a, b) = (x[i], x[i+half]) for split halves, (x[2i], x[2i+1]) for adjacent pairs
///   a' = fma(a, cos[i], -fl(b*sin[i])),   b' = fma(b, cos[i], fl(a*sin[i]))
struct RopeArgs {
  float* x;  // [heads, head_dim]
  int64_t heads, head_dim, rope_dim;
  bool adjacent_pairs;
  const float* cos;  // [rope_dim/2]
  const float* sin;  // [rope_dim/2]
};
using RopeFn = void (*)(const RopeArgs&) noexcept;

// ---- KV cache and attention
// --------------------------------------------------------------------------------------- A page holds 64
// consecutive positions of one sequence for one layer. Per kv head, in elements of the cache type:
//   keys    [head_dim][64]   transposed: the 64 keys of one dimension are contiguous
//   values  [64][head_dim]
// head h of a page starts at h * 2 * 64 * head_dim elements.
inline constexpr int64_t kPageRows = 64;
enum class KvType : uint8_t { kF16, kF32 };

/// Stores one position: key[d] and value[d] (f32, [kv_heads, head_dim]) rounded (RNE) to the cache type at
/// row `slot`.
struct KvAppendArgs {
  std::byte* page;
  int64_t slot;  // position % 64
  int64_t kv_heads, head_dim;
  const float* key;
  const float* value;
};
using KvAppendFn = void (*)(const KvAppendArgs&) noexcept;

/// Attention of one row (token) for one kv head: the `group` query heads that share it. Keys 0..keys-1 in
/// blocks of 64
/// (= pages), online softmax:
///   m = -inf, l = +0, acc[d] = +0; for each block with c valid keys:
///     score[j] = fl(scale * fma chain over d ascending from +0 of q[d]*k[j][d]),   j < c
///     m' = max(m, max_j score[j]);  f = exp_f32(fl(m - m'));  p[j] = exp_f32(fl(score[j] - m')), p[j] = +0
///     for j >= c b = lanes: lane[l] = p[l]; lane[l] += p[l+16], += p[l+32], += p[l+48]; halved as in sum16
///     l = fma(l, f, b);  acc[d] = fl(acc[d]*f), then for j < c ascending acc[d] = fma(p[j], v[j][d],
///     acc[d]);  m = m'
///   out[d] = fl(acc[d] / l)
struct AttentionArgs {
  const float* q;  // [group, head_dim], after RoPE
  int64_t group, head_dim;
  float scale;
  int64_t keys;                   // >= 1
  const std::byte* const* pages;  // [ceil(keys/64)] this layer's pages, in order
  int64_t head_offset_bytes;      // of this kv head inside a page
  float* scratch;                 // at least 64 * group floats, private to this call
  float* out;                     // [group, head_dim]
};
using AttentionFn = void (*)(const AttentionArgs&) noexcept;

// ---- the table
// ----------------------------------------------------------------------------------------------------
struct KernelTable {
  const char* name;   // "scalar", "avx2", "avx512"
  uint64_t needs;     // CpuFeature bits
  TernaryFn ternary;  // any M: GEMV and GEMM
  DenseFn dense_f32, dense_f16, dense_bf16, dense_q8_0, dense_any;
  RmsNormFn rms_norm;
  QuantizeFn quantize;
  AddFn add;
  GateFn gate_relu2, gate_silu;
  RopeFn rope;
  KvAppendFn kv_append_f16, kv_append_f32;
  AttentionFn attention_f16, attention_f32;
  TernaryFn ternary16 = nullptr;  // weight-only models; a set without them falls through to the scalar ones
  Quantize16Fn quantize16 = nullptr;
};

}  // namespace tern
