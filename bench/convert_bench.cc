// SPDX-License-Identifier: MIT
// Speed of converting packed matrices on one core, without a disk: MB/s of source for pairs of layouts. Run
// by hand; its results stand in BENCHMARKS.md.   convert_bench [ROWS COLS]
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "convert/transcode.h"
#include "formats/gguf.h"

namespace {

using namespace tern;

struct Source {
  std::vector<std::byte> bytes;
  CheckpointTensor tensor;
};

/// A matrix with 40 % zeros in the layout `dtype`.
Source make_source(DType dtype, uint64_t rows, uint64_t cols) {
  const TernaryCodec* codec = find_codec(dtype);
  std::vector<int8_t> trits(rows * cols);
  uint64_t x = 1;
  for (int8_t& trit : trits) {
    x = x * 6364136223846793005u + 1442695040888963407u;
    const uint64_t byte = x >> 56;
    trit = byte < 104 ? int8_t{0} : byte < 180 ? int8_t{1} : int8_t{-1};
  }
  const std::vector<float> scales(rows * codec->scales_per_row(cols), 0.0625f);
  Source source;
  source.bytes.resize(tensor_byte_size(dtype, rows, cols).value());
  TERN_CHECK(codec->encode(trits.data(), scales.data(), rows, cols, I2sOrder::kX86_128, source.bytes).ok(),
             "encode");
  source.tensor.name = "blk.0.ffn_up.weight";
  source.tensor.shape = {cols, rows};
  source.tensor.dtype = dtype;
  source.tensor.scope = codec->has_scale ? codec->scale_scope : ScaleScope::kTensor;
  source.tensor.group_cols = codec->group_cols;
  return source;
}

/// CPU time of this thread: the machine may be shared.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

/// Source MB per second of CPU time, the best of five runs.
double measure(Source& source, DType to, uint64_t rows, uint64_t cols) {
  const TernaryCodec* codec = find_codec(source.tensor.dtype);
  source.tensor.read_trits = [&](uint64_t begin, uint64_t count, int8_t* trits, float* scales) -> Status {
    if (!codec->has_scale) std::fill_n(scales, count, 0.0625f);
    return codec->decode(source.bytes, rows, cols, begin, count, I2sOrder::kX86_128, trits, scales);
  };
  TensorPlan plan;
  plan.source = &source.tensor;
  plan.name = source.tensor.name;
  plan.dtype = to;
  double best = 0;
  for (int run = 0; run < 5; ++run) {
    TensorFacts facts;
    Rounding rounding;
    uint64_t written = 0;
    const double begin = cpu_seconds();
    const Status status = transcode(
        plan,
        [&](std::span<const std::byte> bytes) -> Status {
          written += bytes.size();
          return {};
        },
        facts, rounding);
    const double seconds = cpu_seconds() - begin;
    TERN_CHECK(status.ok() && written > 0, "transcode");
    best = std::max(best, static_cast<double>(source.bytes.size()) / seconds / 1e6);
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  const uint64_t rows = argc > 2 ? std::strtoull(argv[1], nullptr, 10) : 4096;
  const uint64_t cols = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 4096;
  std::printf("%llu x %llu weights, one core, MB/s of source (decode, check, digest, encode)\n",
              static_cast<unsigned long long>(rows), static_cast<unsigned long long>(cols));
  for (const DType from :
       {DType::kHfU8, DType::kI2_S, DType::kTQ2_0, DType::kIQ2_BN, DType::kTQ1_0, DType::kIQ1_BN}) {
    Source source = make_source(from, rows, cols);
    for (const DType to : {DType::kI2_S, DType::kTQ2_0, DType::kIQ2_BN, DType::kTQ1_0}) {
      std::printf("%-8s -> %-8s %8.0f\n", dtype_name(from).data(), dtype_name(to).data(),
                  measure(source, to, rows, cols));
    }
  }
  return 0;
}
