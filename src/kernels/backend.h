// SPDX-License-Identifier: MIT
// The arithmetic that model/ may use: coarse ops over the rows of a step. Written once per device; the CPU
// one splits rows and features over a thread pool and calls a KernelTable. All a model sees of a device.
//
// Activations are f32, row-major [rows, width], in memory from allocate(). Errors of outside origin appear at
// load (pack, allocate); the ops themselves have no errors: shapes are the caller's duty (TERN_CHECK).
// Threads: one step at a time per backend; pack_* and ops are not to be called at once from two threads.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "core/dtype.h"
#include "core/memory.h"
#include "core/result.h"
#include "kernels/cpu/kernel_table.h"

namespace tern {

/// Where a ternary matrix comes from: whoever knows its bytes fills in rows on request.
struct TernarySource {
  int64_t rows = 0, cols = 0;
  WeightScale scale_kind = WeightScale::kTensor;
  int64_t group_cols = 0;  // kGroup: a multiple of 64
  float tensor_multiplier =
      1;  // an f32 `.scale` tensor: every scale is fl(scale * multiplier); 1 leaves it exact

  /// Writes trits [row_count, cols] (values -1..2) and scales [row_count, scales per row] of a row range: one
  /// scale per row for kTensor (the same) and kRow, ceil(cols/group_cols) for kGroup. A backend may call it
  /// from several threads at once, for disjoint ranges.
  std::function<Status(int64_t row_begin, int64_t row_count, int8_t* trits, float* scales)> read;
};

/// A ternary matrix in the backend's own layout. Equal scales have been collapsed (group -> row -> tensor).
class PackedWeight {
 public:
  virtual ~PackedWeight() = default;
  virtual int64_t rows() const = 0;
  virtual int64_t cols() const = 0;
  virtual WeightScale scale_kind() const = 0;
  virtual size_t resident_bytes() const = 0;
  virtual std::string describe() const = 0;  // layout and scale, for tern info
  /// Columns that share one of the scales which unpack() gives; cols() where a row has one.
  virtual int64_t group_cols() const = 0;
  /// Gives back what was packed: trits [row_count, cols] and the scale of each (row, group) as in
  /// TernarySource::read, after the multiplier and whatever was collapsed.
  virtual void unpack(int64_t row_begin, int64_t row_count, int8_t* trits, float* scales) const = 0;
};

/// A dense matrix [rows, cols] that stays where it is (the mapped file); `dequantize` says what a row means.
struct DenseWeight {
  DType dtype = DType::kF32;
  int64_t rows = 0, cols = 0, row_bytes = 0;
  const std::byte* bytes = nullptr;  // borrowed
  void (*dequantize)(const std::byte* row, uint64_t cols, float* out) = nullptr;
};

/// Integer activations of some rows, with what the ternary kernels need beside them. Memory owned by the
/// step's arena. `planes` is 1 for int8; for 16 bits it is 2, the high and the low bytes of each row after
/// each other.
struct QuantizedRows {
  int8_t* q = nullptr;            // [rows, planes, k_padded]
  int32_t* block_sums = nullptr;  // [rows, planes, k_padded/64]
  int32_t* sums = nullptr;        // [rows, planes]
  float* act_scale = nullptr;     // [rows]
  int64_t k_padded = 0;
  int64_t planes = 1;
};

/// The cache of one step as the kernels see it. Page p of layer l is at base + (p * num_layers + l) *
/// page_bytes.
struct KvView {
  KvType type = KvType::kF16;
  std::byte* base = nullptr;
  int64_t num_layers = 0, page_bytes = 0;
  int64_t kv_heads = 0, head_dim = 0;
};

/// One row of a step: where it stands in its own sequence, and that sequence's pages.
struct RowPlace {
  int64_t position = 0;            // 0-based
  const int32_t* pages = nullptr;  // page numbers of the sequence, position/64 + 1 of them at least
};

enum class GateKind : uint8_t { kSilu, kRelu2 };

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string describe() const = 0;

  virtual Result<Buffer> allocate(size_t bytes) = 0;

  /// Reads, checks and packs a matrix. Errors: those of source.read; kUnsupported for a K past the int32
  /// proof.
  virtual Result<std::unique_ptr<PackedWeight>> pack_ternary(const TernarySource& source) = 0;

  /// h[i] = row token[i] of the table, as f32.
  virtual void embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) = 0;
  /// The same of a ternary table: h = fl(trit * scale).
  virtual void embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) = 0;
  /// y = rms_norm(x) per row; weight null = 1. y may be x.
  virtual void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                        float* y) = 0;
  /// Per-row int8 quantisation; sets out->k_padded and planes. bad[row] is set to 1 where the row is not
  /// finite (its q is then all zero), never cleared.
  virtual void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) = 0;
  /// The same to 16 bits, in two planes.
  virtual void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) = 0;
  /// y[rows, weight.rows()] from quantised rows, of 8 or 16 bits as x.planes says.
  virtual void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) = 0;
  /// y[rows, weight.rows()] from f32 rows, as a dense product with the weights fl(trit * scale). Slow: for
  /// --act f32.
  virtual void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) = 0;
  /// y[rows, weight.rows] from f32 rows [rows, weight.cols].
  virtual void dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) = 0;
  /// Rotates x [rows, heads, head_dim]; cos/sin tables [rows, rope_dim/2], one line per row.
  virtual void rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim,
                    bool adjacent_pairs, const float* cos, const float* sin) = 0;
  /// Stores k, v [rows, kv_heads, head_dim] at each row's place in `layer`. bad[row] is set to 1 where a
  /// value is too large for the cache type (an infinite key would silently drop out of the softmax), never
  /// cleared.
  virtual void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                         const float* v, uint8_t* bad) = 0;
  /// out [rows, num_heads, head_dim]: each row attends to positions 0..its own of its sequence.
  virtual void attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places, int64_t num_heads,
                         const float* q, float* out) = 0;
  /// out = gate(g) * u over rows*width values. out may be g.
  virtual void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) = 0;
  /// x += y over count values.
  virtual void add(float* x, const float* y, int64_t count) = 0;
};

}  // namespace tern
