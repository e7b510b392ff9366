// SPDX-License-Identifier: MIT
// Differential fuzzing of the kernel tables: bytes choose an op, a shape and its data; every table that this
// machine can run must give the bits of the scalar one (two NaNs are equal) and write nothing else. Aborts on
// a difference.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "core/cpu_features.h"
#include "core/float16.h"
#include "kernels/registry.h"

namespace tern {
namespace {

/// Reads choices from the front of the input. Past its end it starts over with other bytes each time, so that
/// short inputs still fill large arrays.
class Input {
 public:
  Input(const uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t byte() {
    if (size_ == 0) return 0;
    const size_t i = next_++;
    return static_cast<uint8_t>(data_[i % size_] + 0x9d * (i / size_));
  }
  int64_t below(int64_t limit) { return (byte() | byte() << 8) % limit; }
  uint32_t word() {
    uint32_t w = 0;
    for (int i = 0; i < 4; ++i) w = w << 8 | byte();
    return w;
  }
  /// A float of any bits, or (more often) one of moderate size with the same mantissa.
  float value(uint8_t style) {
    const uint32_t bits = word();
    if (style % 4 == 0) return std::bit_cast<float>(bits);
    const uint32_t exponent = 127 - (style % 4) * 8 + (bits >> 23) % (16u * (style % 4));
    return std::bit_cast<float>((bits & 0x807fffffu) | exponent << 23);
  }
  std::vector<float> values(int64_t count) {
    const uint8_t style = byte();
    std::vector<float> out(static_cast<size_t>(count));
    for (float& f : out) f = value(style);
    return out;
  }
  template <class T>
  std::vector<T> bytes(int64_t count) {
    std::vector<T> out(static_cast<size_t>(count));
    for (T& b : out) b = static_cast<T>(byte());
    return out;
  }

 private:
  const uint8_t* data_;
  size_t size_, next_ = 0;
};

const std::vector<KernelTable>& tables() {
  static const std::vector<KernelTable> all = [] {
    std::vector<KernelTable> runnable;
    for (const KernelTable* table : kernel_tables()) {
      auto chosen = choose_kernels(table->name, detect_cpu_features());
      if (chosen.ok()) runnable.push_back(*chosen);
    }
    return runnable;
  }();
  return all;
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  for (size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) && std::isnan(b[i])) continue;
    if (std::bit_cast<uint32_t>(a[i]) != std::bit_cast<uint32_t>(b[i])) return false;
  }
  return a.size() == b.size();
}
bool same(const std::vector<std::byte>& a, const std::vector<std::byte>& b) { return a == b; }

/// run(table) returns all outputs of an op in one vector.
template <class Run>
void compare(const char* op, const Run& run) {
  const auto expected = run(tables()[0]);
  for (const KernelTable& table : tables()) {
    if (same(expected, run(table))) continue;
    std::fprintf(stderr, "%s: %s differs from scalar\n", op, table.name);
    std::abort();
  }
}

void fuzz_ternary(Input& in) {
  const int64_t rows = 1 + in.below(70), k_padded = 64 * (1 + in.below(20)), tokens = 1 + in.below(40);
  const int64_t panels = (rows + 15) / 16, blocks = k_padded / 64;
  const auto kind = static_cast<WeightScale>(in.below(3));
  const int64_t group_cols = 64 * (1 + in.below(5)), groups = (k_padded + group_cols - 1) / group_cols;
  const int64_t panel_begin = in.below(panels + 1),
                panel_end = panel_begin + in.below(panels - panel_begin + 1);
  const auto weights = in.bytes<uint8_t>(panels * k_padded * 4);
  const auto q = in.bytes<int8_t>(tokens * k_padded);
  const auto w_scale = in.values(panels * 16 * groups), act_scale = in.values(tokens);
  std::vector<int32_t> block_sums(static_cast<size_t>(tokens * blocks)), sums(static_cast<size_t>(tokens));
  for (size_t i = 0; i < q.size(); ++i) {
    block_sums[i / 64] += q[i];
    sums[i / static_cast<size_t>(k_padded)] += q[i];
  }
  const bool grouped = kind == WeightScale::kGroup;
  compare("ternary", [&](const KernelTable& table) {
    std::vector<float> y(static_cast<size_t>(tokens * rows), -7.0f);
    table.ternary({weights.data(), k_padded, rows, kind, group_cols, w_scale.data(), q.data(),
                   grouped ? block_sums.data() : nullptr, grouped ? nullptr : sums.data(), act_scale.data(),
                   tokens, panel_begin, panel_end, y.data(), rows});
    return y;
  });
}

void dequantize_half(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    uint16_t h;
    std::memcpy(&h, row + 2 * i, 2);
    out[i] = f16_to_f32(h);
  }
}
void dequantize_bf16(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    uint16_t h;
    std::memcpy(&h, row + 2 * i, 2);
    out[i] = bf16_to_f32(h);
  }
}
void dequantize_q8_0(const std::byte* row, uint64_t cols, float* out) {
  for (uint64_t i = 0; i < cols; ++i) {
    uint16_t h;
    std::memcpy(&h, row + i / 32 * 34, 2);
    out[i] = f16_to_f32(h) * static_cast<float>(static_cast<int8_t>(row[i / 32 * 34 + 2 + i % 32]));
  }
}
void dequantize_f32(const std::byte* row, uint64_t cols, float* out) { std::memcpy(out, row, cols * 4); }

void fuzz_dense(Input& in) {
  const int64_t rows = 1 + in.below(20), tokens = 1 + in.below(12), kind = in.below(5);
  const int64_t cols = kind == 3 ? 32 * (1 + in.below(8)) : 1 + in.below(300);
  const int64_t row_bytes = kind == 0 ? cols * 4 : kind == 3 ? cols / 32 * 34 : cols * 2;
  const auto weights = in.bytes<std::byte>(rows * row_bytes);
  const auto x = in.values(tokens * cols);
  constexpr DenseFn KernelTable::* kOps[] = {&KernelTable::dense_f32, &KernelTable::dense_f16,
                                             &KernelTable::dense_bf16, &KernelTable::dense_q8_0,
                                             &KernelTable::dense_any};
  constexpr decltype(DenseArgs::dequantize) kMeanings[] = {dequantize_f32, dequantize_half, dequantize_bf16,
                                                           dequantize_q8_0, dequantize_half};
  const int64_t begin = in.below(rows), end = begin + in.below(rows - begin + 1);
  compare("dense", [&](const KernelTable& table) {
    std::vector<float> y(static_cast<size_t>(tokens * rows), -7.0f), scratch(static_cast<size_t>(cols));
    (table.*kOps[kind])({weights.data(), row_bytes, cols, kMeanings[kind], scratch.data(), x.data(), cols,
                         tokens, begin, end, y.data(), rows});
    return y;
  });
}

void fuzz_row(Input& in) {
  const int64_t n = 1 + in.below(700);
  const auto x = in.values(n), w = in.values(n);
  const float eps = std::fabs(in.value(2));
  const bool weighted = in.byte() % 2;
  compare("rms_norm", [&](const KernelTable& table) {
    std::vector<float> y(x);
    table.rms_norm(y.data(), weighted ? w.data() : nullptr, n, eps, y.data());
    return y;
  });
  compare("gates and add", [&](const KernelTable& table) {
    std::vector<float> relu2(x), silu(x), sum(x);
    table.gate_relu2(relu2.data(), w.data(), n, relu2.data());
    table.gate_silu(silu.data(), w.data(), n, silu.data());
    table.add(sum.data(), w.data(), n);
    relu2.insert(relu2.end(), silu.begin(), silu.end());
    relu2.insert(relu2.end(), sum.begin(), sum.end());
    return relu2;
  });
  const int64_t n_padded = (n + 63) / 64 * 64;
  compare("quantize", [&](const KernelTable& table) {
    std::vector<int8_t> q(static_cast<size_t>(n_padded), 9);
    std::vector<int32_t> sums(static_cast<size_t>(n_padded / 64 + 1), 9);
    std::vector<float> out = {table.quantize(x.data(), n, n_padded, q.data(), sums.data(), &sums.back())};
    out.insert(out.end(), q.begin(), q.end());
    for (const int32_t sum : sums) out.push_back(static_cast<float>(sum));  // below 2^24: exact
    return out;
  });
}

void fuzz_rope(Input& in) {
  const int64_t heads = 1 + in.below(6), head_dim = 2 * (1 + in.below(80)),
                rope_dim = 2 * (1 + in.below(head_dim / 2));
  const auto x = in.values(heads * head_dim), cos = in.values(rope_dim / 2), sin = in.values(rope_dim / 2);
  const bool adjacent = in.byte() % 2;
  compare("rope", [&](const KernelTable& table) {
    std::vector<float> y(x);
    table.rope({y.data(), heads, head_dim, rope_dim, adjacent, cos.data(), sin.data()});
    return y;
  });
}

void fuzz_attention(Input& in) {
  const bool f16 = in.byte() % 2;
  const int64_t kv_heads = 1 + in.below(2), group = 1 + in.below(9), head_dim = 1 + in.below(140),
                keys = 1 + in.below(150);
  const int64_t kv_head = in.below(kv_heads), pages = (keys + 63) / 64, width = kv_heads * head_dim;
  const auto page_bytes = static_cast<size_t>(kv_heads * 2 * kPageRows * head_dim * (f16 ? 2 : 4));
  const auto q = in.values(group * head_dim), k = in.values(keys * width), v = in.values(keys * width);
  const float scale = in.value(1);

  std::vector<std::vector<std::byte>> cache(static_cast<size_t>(pages),
                                            std::vector<std::byte>(page_bytes, std::byte{0xff}));
  std::vector<const std::byte*> pointers;
  for (const auto& page : cache) pointers.push_back(page.data());
  const int64_t checked = in.below(keys);
  for (int64_t i = 0; i < keys; ++i) {
    auto& page = cache[static_cast<size_t>(i / kPageRows)];
    const auto append = [&](const KernelTable& table) {
      (f16 ? table.kv_append_f16 : table.kv_append_f32)(
          {page.data(), i % kPageRows, kv_heads, head_dim, k.data() + i * width, v.data() + i * width});
    };
    if (i == checked) {
      const auto before = page;
      compare("kv_append", [&](const KernelTable& table) {
        page = before;
        append(table);
        return page;
      });
    }
    append(tables()[0]);
  }
  compare("attention", [&](const KernelTable& table) {
    std::vector<float> out(static_cast<size_t>(group * head_dim)), scratch(static_cast<size_t>(64 * group));
    const int64_t offset = kv_head * 2 * kPageRows * head_dim * (f16 ? 2 : 4);
    (f16 ? table.attention_f16 : table.attention_f32)(
        {q.data(), group, head_dim, scale, keys, pointers.data(), offset, scratch.data(), out.data()});
    return out;
  });
}

}  // namespace
}  // namespace tern

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tern::Input in(data, size);
  switch (in.byte() % 5) {
    case 0:
      tern::fuzz_ternary(in);
      break;
    case 1:
      tern::fuzz_dense(in);
      break;
    case 2:
      tern::fuzz_row(in);
      break;
    case 3:
      tern::fuzz_rope(in);
      break;
    default:
      tern::fuzz_attention(in);
      break;
  }
  return 0;
}
