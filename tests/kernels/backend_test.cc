// SPDX-License-Identifier: MIT
// The CPU backend: any number of threads, any chunking of tokens and any split give the bits of single kernel
// calls.
#include <numeric>

#include "kernels/cpu/cpu_backend.h"
#include "tests/kernels/table_test.h"

namespace tern {
namespace {

using namespace test;

/// Runs `body(backend)` with 0 (no pool), 1, 2, 3 and 7 threads and every table; all must return the same
/// floats as the scalar table without a pool.
template <class Body>
void expect_same_everywhere(const Body& body) {
  const std::vector<float> expected = body(*make_cpu_backend(scalar(), nullptr));
  for (const KernelTable* listed : kernel_tables()) {
    const auto table = choose_kernels(listed->name, detect_cpu_features());
    if (!table.ok()) continue;  // the table tests report it as skipped
    for (const size_t threads : {0, 1, 2, 3, 7}) {
      std::unique_ptr<ThreadPool> pool;
      if (threads > 0) pool = std::make_unique<ThreadPool>(threads, Topology{}, false);
      const auto backend = make_cpu_backend(*table, pool.get());
      EXPECT_TRUE(same_bits(expected, body(*backend))) << listed->name << ", " << threads << " threads";
      EXPECT_TRUE(same_bits(expected, body(*backend)))
          << "second call, " << listed->name << ", " << threads << " threads";
    }
  }
}

TernarySource random_source(int64_t rows, int64_t cols, WeightScale kind, int64_t group_cols) {
  TernarySource source;
  source.rows = rows;
  source.cols = cols;
  source.scale_kind = kind;
  source.group_cols = group_cols;
  const int64_t groups = kind == WeightScale::kGroup ? (cols + group_cols - 1) / group_cols : 1;
  source.read = [=](int64_t begin, int64_t count, int8_t* trits, float* scales) -> Status {
    for (int64_t i = 0; i < count * cols; ++i) {
      const auto hash = static_cast<uint32_t>(begin * cols + i) * 2654435761u;
      trits[i] = static_cast<int8_t>(static_cast<int>((hash >> 13) % 3) - 1);
    }
    for (int64_t i = 0; i < count * groups; ++i) {
      scales[i] = kind == WeightScale::kTensor ? 0.5f : 0.01f * static_cast<float>(begin * groups + i + 1);
    }
    return {};
  };
  return source;
}

TEST(CpuBackend, TernaryMatmul) {
  for (const WeightScale kind : {WeightScale::kTensor, WeightScale::kRow, WeightScale::kGroup}) {
    for (const int64_t rows : {1, 2, 130, 300}) {  // 300: three chunks of tokens
      const int64_t width = 200, features = 75;
      const Guarded<float> x = random_floats(Values::kNormal, 5, rows * width);
      const auto body = [&](Backend& backend) {
        const auto weight = backend.pack_ternary(random_source(features, width, kind, 64)).value();
        EXPECT_EQ(kind, weight->scale_kind());
        std::vector<int8_t> q(static_cast<size_t>(rows * 256));
        std::vector<int32_t> block_sums(static_cast<size_t>(rows * 4)), sums(static_cast<size_t>(rows));
        std::vector<float> act_scale(static_cast<size_t>(rows)), y(static_cast<size_t>(rows * features));
        std::vector<uint8_t> bad(static_cast<size_t>(rows));
        QuantizedRows quantized{q.data(), block_sums.data(), sums.data(), act_scale.data(), 0};
        backend.quantize(x.data(), rows, width, &quantized, bad.data());
        EXPECT_EQ(256, quantized.k_padded);
        EXPECT_EQ(0, std::accumulate(bad.begin(), bad.end(), 0));
        backend.ternary_matmul(quantized, *weight, rows, y.data());
        return y;
      };
      expect_same_everywhere(body);
    }
  }
}

TEST(CpuBackend, QuantizeMarksOnlyBadRows) {
  const int64_t rows = 150, width = 100;
  Guarded<float> x = random_floats(Values::kNormal, 5, rows * width);
  x[3 * width + 99] = NAN;
  x[140 * width] = -INFINITY;
  const auto body = [&](Backend& backend) {
    std::vector<int8_t> q(static_cast<size_t>(rows * 128));
    std::vector<int32_t> block_sums(static_cast<size_t>(rows * 2)), sums(static_cast<size_t>(rows));
    std::vector<float> result(static_cast<size_t>(rows));
    std::vector<uint8_t> bad(static_cast<size_t>(rows));
    bad[7] = 1;  // of an earlier op: stays
    QuantizedRows quantized{q.data(), block_sums.data(), sums.data(), result.data(), 0};
    backend.quantize(x.data(), rows, width, &quantized, bad.data());
    for (int64_t r = 0; r < rows; ++r)
      EXPECT_EQ(r == 3 || r == 7 || r == 140, bad[static_cast<size_t>(r)] == 1) << r;
    return result;
  };
  expect_same_everywhere(body);
}

TEST(CpuBackend, DenseMatmulAndEmbed) {
  const int64_t rows = 150, width = 96, features = 203;  // three chunks of tokens
  const Guarded<float> x = random_floats(Values::kNormal, 6, rows * width),
                       w = random_floats(Values::kNormal, 7, features * width);
  DenseWeight weight{
      DType::kF32,
      features,
      width,
      width * 4,
      reinterpret_cast<const std::byte*>(w.data()),
      [](const std::byte* row, uint64_t cols, float* out) { std::memcpy(out, row, cols * 4); }};
  for (const DType dtype :
       {DType::kF32, DType::kQ6_K}) {  // Q6_K has no kernel of its own: dequantize decides
    weight.dtype = dtype;
    const auto matmul = [&](Backend& backend) {
      std::vector<float> y(static_cast<size_t>(rows * features));
      backend.dense_matmul(x.data(), weight, rows, y.data());
      return y;
    };
    expect_same_everywhere(matmul);
  }
  std::vector<int32_t> tokens(static_cast<size_t>(rows));
  for (size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<int32_t>(i * 31 % features);
  const auto embed = [&](Backend& backend) {
    std::vector<float> h(static_cast<size_t>(rows * width));
    backend.embed(weight, tokens, h.data());
    for (size_t i = 0; i < tokens.size(); ++i) {
      EXPECT_EQ(0, std::memcmp(h.data() + i * width, w.data() + tokens[i] * width, width * 4));
    }
    return h;
  };
  expect_same_everywhere(embed);
}

TEST(CpuBackend, RowOpsAndElementwise) {
  for (const int64_t rows : {1, 3, 200}) {
    const int64_t heads = 4, head_dim = 50, width = heads * head_dim;
    const Guarded<float> x = random_floats(Values::kNormal, 8, rows * width),
                         u = random_floats(Values::kNormal, 9, rows * width);
    const Guarded<float> cos = random_floats(Values::kNormal, 10, rows * 20),
                         sin = random_floats(Values::kNormal, 11, rows * 20);
    const auto copy = [&] { return std::vector<float>(x.data(), x.data() + x.size()); };
    const auto norm = [&](Backend& backend) {
      std::vector<float> y = copy();
      backend.rms_norm(y.data(), u.data(), 1e-5f, rows, width, y.data());
      return y;
    };
    const auto rope = [&](Backend& backend) {
      std::vector<float> y = copy();
      backend.rope(y.data(), rows, heads, head_dim, 40, false, cos.data(), sin.data());
      return y;
    };
    const auto gates = [&](Backend& backend) {
      std::vector<float> y = copy();
      backend.gate(GateKind::kSilu, y.data(), u.data(), rows * width, y.data());
      backend.add(y.data(), x.data(), rows * width);
      backend.gate(GateKind::kRelu2, y.data(), u.data(), rows * width, y.data());
      return y;
    };
    expect_same_everywhere(norm);
    expect_same_everywhere(rope);
    expect_same_everywhere(gates);
  }
}

/// Three sequences in one step (a prefill and two single rows at other places), in two layers, over scattered
/// pages.
TEST(CpuBackend, AttentionOverPages) {
  const int64_t kv_heads = 3, group = 3, head_dim = 20, layers = 2, num_heads = kv_heads * group;
  const std::vector<std::vector<int32_t>> pages = {{4, 0, 7}, {2}, {6, 1}};
  for (const KvType type : {KvType::kF16, KvType::kF32}) {
    const int64_t page_bytes = kv_heads * 2 * kPageRows * head_dim * (type == KvType::kF16 ? 2 : 4);
    const auto body = [&](Backend& backend) {
      Buffer cache = backend.allocate(static_cast<size_t>(8 * layers * page_bytes)).value();
      const KvView kv{type, cache.data(), layers, page_bytes, kv_heads, head_dim};
      std::vector<float> all;
      const auto step = [&](const std::vector<RowPlace>& places, uint32_t seed) {
        const auto rows = static_cast<int64_t>(places.size());
        for (int64_t layer = 0; layer < layers; ++layer) {
          const uint32_t s = seed + static_cast<uint32_t>(layer);
          const Guarded<float> k = random_floats(Values::kNormal, s, rows * kv_heads * head_dim);
          const Guarded<float> v = random_floats(Values::kNormal, s + 50, rows * kv_heads * head_dim);
          const Guarded<float> q = random_floats(Values::kNormal, s + 90, rows * num_heads * head_dim);
          std::vector<float> out(static_cast<size_t>(rows * num_heads * head_dim), NAN);
          std::vector<uint8_t> bad(places.size(), 0);
          backend.append_kv(kv, layer, places, k.data(), v.data(), bad.data());
          backend.attention(kv, layer, places, num_heads, q.data(), out.data());
          for (const float value : out)
            EXPECT_FALSE(std::isnan(value));  // every head of every row was written
          all.insert(all.end(), out.begin(), out.end());
        }
      };
      std::vector<RowPlace> first, second;
      for (int64_t i = 0; i < 150; ++i) first.push_back({i, pages[0].data()});
      for (int64_t i = 0; i < 64; ++i) first.push_back({i, pages[2].data()});
      first.push_back({0, pages[1].data()});
      second = {{64, pages[2].data()}, {150, pages[0].data()}, {1, pages[1].data()}, {151, pages[0].data()}};
      step(first, 1);
      step(second, 7);
      step({{2, pages[1].data()}}, 9);
      return all;
    };
    expect_same_everywhere(body);
  }
}

TEST(CpuBackend, AttentionSeesOwnPositionAndNothingLater) {
  const int64_t head_dim = 4, page_bytes = 2 * kPageRows * head_dim * 4;
  const auto backend = make_cpu_backend(scalar(), nullptr);
  Buffer cache = backend->allocate(static_cast<size_t>(page_bytes)).value();
  const KvView kv{KvType::kF32, cache.data(), 1, page_bytes, 1, head_dim};
  const int32_t page = 0;
  const std::vector<RowPlace> places = {{0, &page}, {1, &page}, {2, &page}};
  const std::vector<float> k(12, 0.0f),
      q(12, 1.0f);  // equal scores: the output is the mean of the values so far
  const std::vector<float> v = {4, 8, 0, 0, 8, 16, 0, 0, 0, 0, 96, 0};
  std::vector<float> out(12);
  std::vector<uint8_t> bad(places.size(), 0);
  backend->append_kv(kv, 0, places, k.data(), v.data(), bad.data());
  backend->attention(kv, 0, places, 1, q.data(), out.data());
  EXPECT_EQ((std::vector<float>{4, 8, 0, 0, 6, 12, 0, 0, 4, 8, 32, 0}), out);
}

TEST(CpuBackend, ValuesTooLargeForTheCacheMarkTheirRow) {
  const int64_t head_dim = 4, page_bytes = 2 * kPageRows * head_dim * 4;
  const auto backend = make_cpu_backend(scalar(), nullptr);
  Buffer cache = backend->allocate(static_cast<size_t>(page_bytes)).value();
  const int32_t page = 0;
  const std::vector<RowPlace> places = {{0, &page}, {1, &page}, {2, &page}, {3, &page}};
  std::vector<float> k(16, 1.0f), v(16, 1.0f);
  k[5] = -65520.0f;  // rounds to -infinity in IEEE half
  v[8] = 65519.0f;   // the largest half
  v[15] = 1e9f;
  for (const KvType type : {KvType::kF16, KvType::kF32}) {
    std::vector<uint8_t> bad(4, 0);
    backend->append_kv({type, cache.data(), 1, page_bytes, 1, head_dim}, 0, places, k.data(), v.data(),
                       bad.data());
    EXPECT_EQ(bad, type == KvType::kF16 ? (std::vector<uint8_t>{0, 1, 0, 1}) : std::vector<uint8_t>(4, 0));
  }
}

TEST(CpuBackend, DescribesItself) {
  ThreadPool pool(3, Topology{}, false);
  EXPECT_EQ("cpu, scalar, 3 threads", make_cpu_backend(scalar(), &pool)->describe());
  EXPECT_EQ("cpu, scalar, 1 thread", make_cpu_backend(scalar(), nullptr)->describe());
}

}  // namespace
}  // namespace tern
