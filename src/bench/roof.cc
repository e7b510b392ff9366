// SPDX-License-Identifier: MIT
#include "bench/roof.h"

#include <algorithm>
#include <chrono>
#include <cstring>

#include "core/memory.h"

namespace tern {

namespace {

/// Eight independent chains: enough loads in flight that the memory, not the adds, decides.
uint64_t sum_words(const uint64_t* words, size_t count) {
  uint64_t sums[8] = {};
  for (size_t i = 0; i + 8 <= count; i += 8) {
    for (size_t j = 0; j < 8; ++j) sums[j] += words[i + j];
  }
  uint64_t sum = 0;
  for (const uint64_t part : sums) sum += part;
  return sum;
}

}  // namespace

Result<double> measure_read_bandwidth(ThreadPool& pool, size_t bytes, int rounds) {
  TERN_TRY_ASSIGN(Buffer buffer, Buffer::allocate(bytes));
  std::vector<uint64_t> sums(pool.num_threads() * 8);  // a cache line each
  const size_t words = bytes / sizeof(uint64_t), part = words / pool.num_threads() / 8 * 8;
  // Each thread touches its own part first: the system places pages by first touch.
  pool.run(
      [&](size_t thread) { std::memset(buffer.as<uint64_t>() + thread * part, 1, part * sizeof(uint64_t)); });
  std::vector<double> rates;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    pool.run(
        [&](size_t thread) { sums[thread * 8] += sum_words(buffer.as<uint64_t>() + thread * part, part); });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    rates.push_back(static_cast<double>(part * pool.num_threads() * sizeof(uint64_t)) / seconds.count());
  }
  uint64_t all = 0;
  for (const uint64_t sum : sums) all += sum;
  TERN_CHECK(all != 0, "the sums are used, so that the compiler keeps the reads");
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

Result<double> measure_ternary_rate(Backend& backend, int rounds) {
  constexpr int64_t kRows = 512, kCols = 1024, kTokens = 128, kRepeats = 8;  // 128 KiB of 2-bit weights
  TernarySource source;
  source.rows = kRows;
  source.cols = kCols;
  source.read = [](int64_t begin, int64_t count, int8_t* trits, float* scales) {
    for (int64_t i = 0; i < count * kCols; ++i)
      trits[i] = static_cast<int8_t>((begin * kCols + i) * 7 % 3 - 1);
    std::fill_n(scales, count, 1.0F);
    return Status();
  };
  TERN_TRY_ASSIGN(const auto weight, backend.pack_ternary(source));
  std::vector<float> x(kTokens * kCols), y(kTokens * kRows), act_scale(kTokens);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i * 37 % 255) - 127;
  std::vector<int8_t> q(x.size());
  std::vector<int32_t> block_sums(x.size() / kColumnPad), sums(kTokens);
  std::vector<uint8_t> bad(kTokens);
  QuantizedRows quantized{q.data(), block_sums.data(), sums.data(), act_scale.data(), 0};
  backend.quantize(x.data(), kTokens, kCols, &quantized, bad.data());
  std::vector<double> rates;
  for (int round = 0; round < rounds; ++round) {
    const auto begin = std::chrono::steady_clock::now();
    for (int64_t i = 0; i < kRepeats; ++i) backend.ternary_matmul(quantized, *weight, kTokens, y.data());
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    rates.push_back(2.0 * kRepeats * kTokens * kRows * kCols / seconds.count());
  }
  std::sort(rates.begin(), rates.end());
  return rates[rates.size() / 2];
}

}  // namespace tern
