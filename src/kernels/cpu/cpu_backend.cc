// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu_backend.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <type_traits>
#include <vector>

#include "kernels/cpu/packed_t2.h"

namespace tern {

namespace {

// Tokens that go through a matrix together: their int8 rows (128 x 6912 = 0.9 MB) stay in L2 while the panels
// stream by.
constexpr int64_t kTernaryTokens = 128;
// The same for f32 rows: 64 x 2560 x 4 = 0.7 MB.
constexpr int64_t kDenseTokens = 64;
// Waking the pool costs 0.5-1 us, about what an element-wise op needs for this many values.
constexpr int64_t kInlineValues = 8192;
// The same for products: bytes of weights times tokens that one thread reads in about a microsecond.
constexpr int64_t kInlineProduct = 32 * 1024;

/// True where a value would round to infinity in IEEE half (NaN aside: quantize() has seen to that).
bool overflows_f16(const float* values, int64_t count) {
  constexpr float kFirstInfinite = 65520.0f;  // halfway between the largest half and the next power of two
  float largest = 0;
  for (int64_t i = 0; i < count; ++i) largest = std::max(largest, std::fabs(values[i]));
  return largest >= kFirstInfinite;
}

class CpuBackend final : public Backend {
 public:
  CpuBackend(const KernelTable& kernels, ThreadPool* pool)
      : kernels_(kernels), pool_(pool), scratch_(pool == nullptr ? 1 : pool->num_threads()) {}

  std::string describe() const override {
    return fmt::format("cpu, {}, {} thread{}", kernels_.name, scratch_.size(),
                       scratch_.size() == 1 ? "" : "s");
  }

  Result<Buffer> allocate(size_t bytes) override { return Buffer::allocate(bytes); }

  Result<std::unique_ptr<PackedWeight>> pack_ternary(const TernarySource& source) override {
    TERN_TRY_ASSIGN(std::unique_ptr<PackedWeight> packed, PackedT2::pack(source, pool_, &arena_));
    return packed;
  }

  void embed(const DenseWeight& table, std::span<const int32_t> tokens, float* h) override {
    const auto count = static_cast<int64_t>(tokens.size());
    split(count, rows_per_thread(table.cols), [&](size_t, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        TERN_CHECK(tokens[i] >= 0 && tokens[i] < table.rows, "token outside the embedding table");
        table.dequantize(table.bytes + tokens[i] * table.row_bytes, static_cast<uint64_t>(table.cols),
                         h + i * table.cols);
      }
    });
  }

  void embed_ternary(const PackedWeight& table, std::span<const int32_t> tokens, float* h) override {
    const int64_t cols = table.cols();
    split(static_cast<int64_t>(tokens.size()), rows_per_thread(cols),
          [&](size_t thread, int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; ++i) {
              TERN_CHECK(tokens[i] >= 0 && tokens[i] < table.rows(), "token outside the embedding table");
              scratch_[thread].unpack_row(table, tokens[i], h + i * cols);
            }
          });
  }

  void rms_norm(const float* x, const float* weight, float eps, int64_t rows, int64_t width,
                float* y) override {
    split(rows, rows_per_thread(width), [&](size_t, int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r)
        kernels_.rms_norm(x + r * width, weight, width, eps, y + r * width);
    });
  }

  void quantize(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    quantize_with(kernels_.quantize, 1, x, rows, width, out, bad);
  }

  void quantize16(const float* x, int64_t rows, int64_t width, QuantizedRows* out, uint8_t* bad) override {
    quantize_with(kernels_.quantize16, 2, x, rows, width, out, bad);
  }

  void ternary_matmul(const QuantizedRows& x, const PackedWeight& weight, int64_t rows, float* y) override {
    const auto& packed = static_cast<const PackedT2&>(weight);  // packed by this backend: the only maker
    TERN_CHECK(x.k_padded == packed.k_padded(), "activations and weights differ in width");
    TERN_CHECK(x.planes == 1 || x.k_padded <= kMaxColumns16, "a matrix too wide for activations of 16 bits");
    const int64_t blocks = x.k_padded / kColumnPad, width = packed.rows(), tile = kTernaryTokens / x.planes;
    const TernaryFn function = x.planes == 1 ? kernels_.ternary : kernels_.ternary16;
    const int64_t panel_bytes = kPanelRows * packed.k_padded() / 4;
    split(packed.panels(), kInlineProduct / (panel_bytes * rows) + 1,
          [&](size_t, int64_t begin, int64_t end) {
            TernaryArgs args = packed.args();
            args.panel_begin = begin;
            args.panel_end = end;
            args.y_stride = width;
            for (int64_t m = 0; m < rows; m += tile) {
              args.tokens = std::min(tile, rows - m);
              args.q = x.q + m * x.planes * x.k_padded;
              args.block_sums = x.block_sums + m * x.planes * blocks;
              args.sums = x.sums + m * x.planes;
              args.act_scale = x.act_scale + m;
              args.y = y + m * width;
              function(args);
            }
          });
  }

  void ternary_matmul_f32(const float* x, const PackedWeight& weight, int64_t rows, float* y) override {
    const int64_t cols = weight.cols();
    split(weight.rows(), 16, [&](size_t thread, int64_t begin, int64_t end) {
      float* values = scratch_[thread].floats_for(cols);
      DenseArgs args{};
      args.weights = reinterpret_cast<const std::byte*>(values);
      args.cols = args.x_stride = cols;
      args.row_end = 1;
      args.y_stride = weight.rows();
      for (int64_t row = begin; row < end; ++row) {
        scratch_[thread].unpack_row(weight, row, values);
        for (int64_t m = 0; m < rows; m += kDenseTokens) {
          args.tokens = std::min(kDenseTokens, rows - m);
          args.x = x + m * cols;
          args.y = y + m * weight.rows() + row;
          kernels_.dense_f32(args);
        }
      }
    });
  }

  void dense_matmul(const float* x, const DenseWeight& weight, int64_t rows, float* y) override {
    const DenseFn function = dense_function(weight.dtype);
    const int64_t grain = (kInlineProduct / (weight.row_bytes * rows) / 16 + 1) * 16;
    split(weight.rows, grain, [&](size_t thread, int64_t begin, int64_t end) {
      DenseArgs args{};
      args.weights = weight.bytes;
      args.row_bytes = weight.row_bytes;
      args.cols = weight.cols;
      args.dequantize = weight.dequantize;
      args.scratch = scratch_[thread].floats_for(weight.cols);
      args.x_stride = weight.cols;
      args.row_begin = begin;
      args.row_end = end;
      args.y_stride = weight.rows;
      for (int64_t m = 0; m < rows; m += kDenseTokens) {
        args.tokens = std::min(kDenseTokens, rows - m);
        args.x = x + m * weight.cols;
        args.y = y + m * weight.rows;
        function(args);
      }
    });
  }

  void rope(float* x, int64_t rows, int64_t heads, int64_t head_dim, int64_t rope_dim, bool adjacent_pairs,
            const float* cos, const float* sin) override {
    const int64_t width = heads * head_dim, half = rope_dim / 2;
    split(rows, rows_per_thread(width), [&](size_t, int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        kernels_.rope(
            {x + r * width, heads, head_dim, rope_dim, adjacent_pairs, cos + r * half, sin + r * half});
      }
    });
  }

  void append_kv(const KvView& kv, int64_t layer, std::span<const RowPlace> places, const float* k,
                 const float* v, uint8_t* bad) override {
    const KvAppendFn function = kv.type == KvType::kF16 ? kernels_.kv_append_f16 : kernels_.kv_append_f32;
    const int64_t width = kv.kv_heads * kv.head_dim;
    split(static_cast<int64_t>(places.size()), rows_per_thread(width),
          [&](size_t, int64_t begin, int64_t end) {
            for (int64_t r = begin; r < end; ++r) {
              const RowPlace& place = places[r];
              std::byte* page = page_of(kv, layer, place.pages[place.position / kPageRows]);
              function(
                  {page, place.position % kPageRows, kv.kv_heads, kv.head_dim, k + r * width, v + r * width});
              if (kv.type == KvType::kF16 &&
                  (overflows_f16(k + r * width, width) || overflows_f16(v + r * width, width))) {
                bad[r] = 1;
              }
            }
          });
  }

  void attention(const KvView& kv, int64_t layer, std::span<const RowPlace> places, int64_t num_heads,
                 const float* q, float* out) override {
    // The unit of work is one query head of one row; its cost is the number of keys it sees. Each thread
    // takes the heads whose cost starts inside its equal share of the whole.
    int64_t total = 0;
    for (const RowPlace& place : places) total += (place.position + 1) * num_heads;
    const auto threads = static_cast<int64_t>(scratch_.size());
    split(threads, 1, [&](size_t thread, int64_t begin, int64_t end) {
      const int64_t share_begin = total * begin / threads, share_end = total * end / threads;
      int64_t cost = 0;  // of the rows before this one
      for (int64_t r = 0; r < static_cast<int64_t>(places.size()) && cost < share_end; ++r) {
        const int64_t keys = places[r].position + 1;
        const auto head_at = [&](int64_t share) {
          return std::clamp<int64_t>((share - cost + keys - 1) / keys, 0, num_heads);
        };
        if (const int64_t first = head_at(share_begin), last = head_at(share_end); first < last) {
          attend_row(kv, layer, places[r], num_heads, first, last, q + r * num_heads * kv.head_dim,
                     out + r * num_heads * kv.head_dim, &scratch_[thread]);
        }
        cost += keys * num_heads;
      }
    });
  }

  void gate(GateKind kind, const float* g, const float* u, int64_t count, float* out) override {
    const GateFn function = kind == GateKind::kSilu ? kernels_.gate_silu : kernels_.gate_relu2;
    split(count, kInlineValues, [&](size_t, int64_t begin, int64_t end) {
      function(g + begin, u + begin, end - begin, out + begin);
    });
  }

  void add(float* x, const float* y, int64_t count) override {
    split(count, kInlineValues,
          [&](size_t, int64_t begin, int64_t end) { kernels_.add(x + begin, y + begin, end - begin); });
  }

 private:
  /// What one thread needs beside the op's arguments; grows to the largest request and stays.
  struct alignas(64) Scratch {
    std::vector<float> floats;
    std::vector<const std::byte*> pages;
    std::vector<int8_t> trits;
    std::vector<float> scales;

    /// out[i] = fl(trit * scale) of one row.
    void unpack_row(const PackedWeight& weight, int64_t row, float* out) {
      const int64_t cols = weight.cols(), group = weight.group_cols();
      trits.resize(static_cast<size_t>(cols));
      scales.resize(static_cast<size_t>((cols + group - 1) / group));
      weight.unpack(row, 1, trits.data(), scales.data());
      for (int64_t i = 0; i < cols; ++i)
        out[i] = static_cast<float>(trits[static_cast<size_t>(i)]) * scales[static_cast<size_t>(i / group)];
    }

    float* floats_for(int64_t count) {
      if (floats.size() < static_cast<size_t>(count)) floats.resize(static_cast<size_t>(count));
      return floats.data();
    }
  };

  /// Runs job(thread, begin, end) on contiguous parts of [0, count), in multiples of `grain`, one per thread
  /// at most. As parallel_for, but tells the thread; allocates nothing.
  template <class Job>
  void split(int64_t count, int64_t grain, const Job& job) {
    const int64_t units = (count + grain - 1) / grain;
    const int64_t threads = std::min(static_cast<int64_t>(scratch_.size()), units);
    if (threads <= 1) {
      if (count > 0) job(size_t{0}, int64_t{0}, count);
      return;
    }
    const auto part = [&](size_t thread) {
      const auto t = static_cast<int64_t>(thread);
      if (t < threads)
        job(thread, units * t / threads * grain, std::min(count, units * (t + 1) / threads * grain));
    };
    pool_->run(std::cref(part));
  }

  static_assert(std::is_same_v<QuantizeFn, Quantize16Fn>);
  void quantize_with(QuantizeFn function, int64_t planes, const float* x, int64_t rows, int64_t width,
                     QuantizedRows* out, uint8_t* bad) {
    const int64_t k_padded = (width + kColumnPad - 1) / kColumnPad * kColumnPad;
    const int64_t row_bytes = planes * k_padded, row_blocks = row_bytes / kColumnPad;
    out->k_padded = k_padded;
    out->planes = planes;
    split(rows, rows_per_thread(width), [&](size_t, int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        out->act_scale[r] = function(x + r * width, width, k_padded, out->q + r * row_bytes,
                                     out->block_sums + r * row_blocks, out->sums + r * planes);
        if (out->act_scale[r] < 0) bad[r] = 1;
      }
    });
  }

  /// Fewer rows than this are not worth a second thread.
  static int64_t rows_per_thread(int64_t width) {
    return std::max<int64_t>(1, kInlineValues / std::max<int64_t>(1, width));
  }

  DenseFn dense_function(DType dtype) const {
    switch (dtype) {
      case DType::kF32:
        return kernels_.dense_f32;
      case DType::kF16:
        return kernels_.dense_f16;
      case DType::kBF16:
        return kernels_.dense_bf16;
      case DType::kQ8_0:
        return kernels_.dense_q8_0;
      default:
        return kernels_.dense_any;
    }
  }

  static std::byte* page_of(const KvView& kv, int64_t layer, int32_t page) {
    return kv.base + (page * kv.num_layers + layer) * kv.page_bytes;
  }

  /// Query heads [first, last) of one row, cut where the kv head changes.
  void attend_row(const KvView& kv, int64_t layer, const RowPlace& place, int64_t num_heads, int64_t first,
                  int64_t last, const float* q, float* out, Scratch* scratch) const {
    const bool f16 = kv.type == KvType::kF16;
    const int64_t group = num_heads / kv.kv_heads, keys = place.position + 1;
    scratch->pages.resize(static_cast<size_t>((keys + kPageRows - 1) / kPageRows));
    for (size_t i = 0; i < scratch->pages.size(); ++i) scratch->pages[i] = page_of(kv, layer, place.pages[i]);

    AttentionArgs args{};
    args.head_dim = kv.head_dim;
    args.scale = 1.0f / std::sqrt(static_cast<float>(kv.head_dim));
    args.keys = keys;
    args.pages = scratch->pages.data();
    args.scratch = scratch->floats_for(kPageRows * group);
    for (int64_t head = first; head < last; head += args.group) {
      const int64_t kv_head = head / group;
      args.group = std::min(last, (kv_head + 1) * group) - head;
      args.head_offset_bytes = kv_head * 2 * kPageRows * kv.head_dim * (f16 ? 2 : 4);
      args.q = q + head * kv.head_dim;
      args.out = out + head * kv.head_dim;
      (f16 ? kernels_.attention_f16 : kernels_.attention_f32)(args);
    }
  }

  const KernelTable kernels_;
  ThreadPool* const pool_;
  Arena arena_;                   // of packed weights; each keeps its block alive
  std::vector<Scratch> scratch_;  // one per thread
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(const KernelTable& kernels, ThreadPool* pool) {
  return std::make_unique<CpuBackend>(kernels, pool);
}

}  // namespace tern
