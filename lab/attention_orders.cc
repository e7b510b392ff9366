// SPDX-License-Identifier: MIT
// Spike of DESIGN.md section 3: what the candidate orders of float sums cost. Never shipped; the results
// stand in docs/numerics.md. One thread, AVX-512 and AVX2, data in the cache level that a real step finds it
// in.
//   A  scores by 16 strided lanes along head_dim, then halving (keys row-major)
//   B  scores by one fma chain over head_dim per key (keys stored transposed, one key per lane)
//   RMSNorm: one zmm chain (16 strided lanes) against 4 independent chains (64 lanes)
//   epilogue of a ternary product: fl(fl(S/s)*w) against fl(S*fl(w/s))
//   head: f16 row x f32, 16 strided lanes, one row at a time against four rows at once
// Build: g++ -O3 -std=c++20 -march=native -ffp-contract=off lab/attention_orders.cc -o /tmp/attention_orders
#include <immintrin.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

namespace {

constexpr int kHeadDim = 128, kGroup = 4, kBlock = 64;

float sum16_512(__m512 v) {
  __m256 a = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}
float sum16_256(__m256 lo, __m256 hi) {
  __m256 a = _mm256_add_ps(lo, hi);
  __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  b = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(b, _mm_movehdup_ps(b)));
}

// 64 scores of 4 query heads against one block of f16 keys.
void scores_a_512(const float* q, const uint16_t* k, float* s) {
  for (int j = 0; j < kBlock; ++j) {
    __m512 row[8];
    for (int i = 0; i < 8; ++i)
      row[i] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(k + j * kHeadDim + 16 * i)));
    for (int h = 0; h < kGroup; ++h) {
      __m512 acc = _mm512_setzero_ps();
      for (int i = 0; i < 8; ++i)
        acc = _mm512_fmadd_ps(row[i], _mm512_loadu_ps(q + h * kHeadDim + 16 * i), acc);
      s[h * kBlock + j] = sum16_512(acc);
    }
  }
}
void scores_b_512(const float* q, const uint16_t* kt, float* s) {
  __m512 acc[kGroup][4] = {};
  for (int d = 0; d < kHeadDim; ++d) {
    __m512 key[4];
    for (int c = 0; c < 4; ++c)
      key[c] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(kt + d * kBlock + 16 * c)));
    for (int h = 0; h < kGroup; ++h) {
      const __m512 x = _mm512_set1_ps(q[h * kHeadDim + d]);
      for (int c = 0; c < 4; ++c) acc[h][c] = _mm512_fmadd_ps(x, key[c], acc[h][c]);
    }
  }
  for (int h = 0; h < kGroup; ++h)
    for (int c = 0; c < 4; ++c) _mm512_storeu_ps(s + h * kBlock + 16 * c, acc[h][c]);
}
void scores_a_256(const float* q, const uint16_t* k, float* s) {
  for (int j = 0; j < kBlock; ++j)
    for (int h = 0; h < kGroup; h += 2) {
      __m256 a0{}, a1{}, b0{}, b1{};
      for (int i = 0; i < 8; ++i) {
        const __m256 k0 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(k + j * kHeadDim + 16 * i)));
        const __m256 k1 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(k + j * kHeadDim + 16 * i + 8)));
        const float* x = q + h * kHeadDim + 16 * i;
        a0 = _mm256_fmadd_ps(k0, _mm256_loadu_ps(x), a0);
        a1 = _mm256_fmadd_ps(k1, _mm256_loadu_ps(x + 8), a1);
        b0 = _mm256_fmadd_ps(k0, _mm256_loadu_ps(x + kHeadDim), b0);
        b1 = _mm256_fmadd_ps(k1, _mm256_loadu_ps(x + kHeadDim + 8), b1);
      }
      s[h * kBlock + j] = sum16_256(a0, a1);
      s[(h + 1) * kBlock + j] = sum16_256(b0, b1);
    }
}
void scores_b_256(const float* q, const uint16_t* kt, float* s) {
  for (int c = 0; c < 4; ++c) {  // 16 keys: 2 ymm x 4 heads = 8 accumulators
    __m256 acc[kGroup][2] = {};
    for (int d = 0; d < kHeadDim; ++d) {
      const __m256 k0 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(kt + d * kBlock + 16 * c)));
      const __m256 k1 = _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(kt + d * kBlock + 16 * c + 8)));
      for (int h = 0; h < kGroup; ++h) {
        const __m256 x = _mm256_broadcast_ss(q + h * kHeadDim + d);
        acc[h][0] = _mm256_fmadd_ps(x, k0, acc[h][0]);
        acc[h][1] = _mm256_fmadd_ps(x, k1, acc[h][1]);
      }
    }
    for (int h = 0; h < kGroup; ++h) {
      _mm256_storeu_ps(s + h * kBlock + 16 * c, acc[h][0]);
      _mm256_storeu_ps(s + h * kBlock + 16 * c + 8, acc[h][1]);
    }
  }
}
// out[h][d] = fma chain over the 64 keys of the block.
void values_512(const float* p, const uint16_t* v, float* out) {
  __m512 acc[kGroup][4];
  for (int half = 0; half < 2; ++half) {
    for (int h = 0; h < kGroup; ++h)
      for (int c = 0; c < 4; ++c) acc[h][c] = _mm512_loadu_ps(out + h * kHeadDim + 64 * half + 16 * c);
    for (int j = 0; j < kBlock; ++j) {
      __m512 row[4];
      for (int c = 0; c < 4; ++c)
        row[c] = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(v + j * kHeadDim + 64 * half + 16 * c)));
      for (int h = 0; h < kGroup; ++h) {
        const __m512 x = _mm512_set1_ps(p[h * kBlock + j]);
        for (int c = 0; c < 4; ++c) acc[h][c] = _mm512_fmadd_ps(x, row[c], acc[h][c]);
      }
    }
    for (int h = 0; h < kGroup; ++h)
      for (int c = 0; c < 4; ++c) _mm512_storeu_ps(out + h * kHeadDim + 64 * half + 16 * c, acc[h][c]);
  }
}

float sumsq_one(const float* x, int n) {
  __m512 a = _mm512_setzero_ps();
  for (int i = 0; i < n; i += 16) {
    const __m512 v = _mm512_loadu_ps(x + i);
    a = _mm512_fmadd_ps(v, v, a);
  }
  return sum16_512(a);
}
float sumsq_four(const float* x, int n) {
  __m512 a[4] = {};
  for (int i = 0; i < n; i += 64)
    for (int c = 0; c < 4; ++c) {
      const __m512 v = _mm512_loadu_ps(x + i + 16 * c);
      a[c] = _mm512_fmadd_ps(v, v, a[c]);
    }
  return sum16_512(_mm512_add_ps(_mm512_add_ps(a[0], a[2]), _mm512_add_ps(a[1], a[3])));
}
float sumsq_256(const float* x, int n) {
  __m256 a{}, b{};
  for (int i = 0; i < n; i += 16) {
    const __m256 v = _mm256_loadu_ps(x + i), w = _mm256_loadu_ps(x + i + 8);
    a = _mm256_fmadd_ps(v, v, a);
    b = _mm256_fmadd_ps(w, w, b);
  }
  return sum16_256(a, b);
}

void epilogue_div(const int32_t* s, float act, float w, float* y, int n) {
  const __m512 va = _mm512_set1_ps(act), vw = _mm512_set1_ps(w);
  for (int i = 0; i < n; i += 16)
    _mm512_storeu_ps(y + i,
                     _mm512_mul_ps(_mm512_div_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(s + i)), va), vw));
}
void epilogue_mul(const int32_t* s, float act, float w, float* y, int n) {
  const __m512 v = _mm512_set1_ps(w / act);
  for (int i = 0; i < n; i += 16)
    _mm512_storeu_ps(y + i, _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_loadu_si512(s + i)), v));
}
void epilogue_div_256(const int32_t* s, float act, float w, float* y, int n) {
  const __m256 va = _mm256_set1_ps(act), vw = _mm256_set1_ps(w);
  for (int i = 0; i < n; i += 8)
    _mm256_storeu_ps(
        y + i, _mm256_mul_ps(
                   _mm256_div_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256((const __m256i*)(s + i))), va), vw));
}

void head_rows(const uint16_t* w, const float* x, int rows, int k, int at_once, float* y) {
  for (int r = 0; r < rows; r += at_once) {
    __m512 acc[4] = {};
    for (int i = 0; i < k; i += 16) {
      const __m512 v = _mm512_loadu_ps(x + i);
      for (int a = 0; a < at_once; ++a)
        acc[a] = _mm512_fmadd_ps(
            _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)(w + int64_t(r + a) * k + i))), v, acc[a]);
    }
    for (int a = 0; a < at_once; ++a) y[r + a] = sum16_512(acc[a]);
  }
}

double microseconds(const std::function<void()>& f, int repeats) {
  std::vector<double> t;
  for (int round = 0; round < 9; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < repeats; ++i) f();
    t.push_back(std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count() /
                repeats);
  }
  std::sort(t.begin(), t.end());
  return t[t.size() / 2];
}

}  // namespace

int main() {
  std::mt19937 random(1);
  auto halves = [&](size_t n) {
    std::vector<uint16_t> v(n);
    for (auto& x : v) x = uint16_t(0x3000 + random() % 0x0c00);
    return v;
  };
  std::vector<float> q(kGroup * kHeadDim), s(kGroup * kBlock), out(kGroup * kHeadDim), x(6912), y(6912);
  for (auto* v : {&q, &out, &x})
    for (auto& f : *v) f = float(random() % 1000) / 1000.0f;
  std::vector<int32_t> sums(6912, 12345);
  std::fill(s.begin(), s.end(), 0.01f);
  for (const int context : {512, 4096}) {
    const int heads = 5, blocks = context / kBlock;
    const auto keys = halves(size_t(heads) * context * kHeadDim), values = halves(keys.size());
    auto all = [&](auto&& f) {
      return microseconds(
          [&] {
            for (int b = 0; b < heads * blocks; ++b) f(keys.data() + size_t(b) * kBlock * kHeadDim);
          },
          20);
    };
    std::printf(
        "context %4d, one layer, 5 kv heads x 4: A512 %.1f us, B512 %.1f, A256 %.1f, B256 %.1f; PV512 %.1f\n",
        context, all([&](const uint16_t* k) { scores_a_512(q.data(), k, s.data()); }),
        all([&](const uint16_t* k) { scores_b_512(q.data(), k, s.data()); }),
        all([&](const uint16_t* k) { scores_a_256(q.data(), k, s.data()); }),
        all([&](const uint16_t* k) { scores_b_256(q.data(), k, s.data()); }),
        microseconds(
            [&] {
              for (int b = 0; b < heads * blocks; ++b)
                values_512(s.data(), values.data() + size_t(b) * kBlock * kHeadDim, out.data());
            },
            20));
  }
  volatile float sink = 0;
  for (const int n : {2560, 6912})
    std::printf("sum of squares %d: 16 lanes 512 %.3f us, 64 lanes %.3f, 16 lanes 256 %.3f\n", n,
                microseconds([&] { sink = sink + sumsq_one(x.data(), n); }, 2000),
                microseconds([&] { sink = sink + sumsq_four(x.data(), n); }, 2000),
                microseconds([&] { sink = sink + sumsq_256(x.data(), n); }, 2000));
  std::printf("epilogue of 6912 outputs: div 512 %.3f us, mul %.3f, div 256 %.3f\n",
              microseconds([&] { epilogue_div(sums.data(), 3.7f, 1.5f, y.data(), 6912); }, 2000),
              microseconds([&] { epilogue_mul(sums.data(), 3.7f, 1.5f, y.data(), 6912); }, 2000),
              microseconds([&] { epilogue_div_256(sums.data(), 3.7f, 1.5f, y.data(), 6912); }, 2000));
  const int rows = 32064;
  const auto head = halves(size_t(rows) * 2560);
  std::vector<float> logits(rows);
  for (const int at_once : {1, 2, 4}) {
    const double us =
        microseconds([&] { head_rows(head.data(), x.data(), rows, 2560, at_once, logits.data()); }, 1);
    std::printf("head %d x 2560 f16, %d rows at once: %.0f us, %.1f GB/s\n", rows, at_once, us,
                rows * 2560 * 2.0 / us / 1e3);
  }
}
