// SPDX-License-Identifier: MIT
// Bytes of source per second and core that each ternary codec decodes and encodes: what an import or a load
// can reach.
//   formats_bench [seconds per measurement]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "formats/gguf.h"
#include "formats/ternary/codec.h"

namespace {

using namespace tern;

constexpr uint64_t kRows = 512, kCols = 3072;  // 0.4 MB at two bits: bytes from the cache, trits to it

/// The best of many calls in MB/s (10^6 bytes) of `bytes` each: other programs only ever make a call slower.
template <class Call>
double best_rate(double seconds, uint64_t bytes, Call call) {
  using Clock = std::chrono::steady_clock;
  double best = 1e9;
  for (const auto begin = Clock::now();
       std::chrono::duration<double>(Clock::now() - begin).count() < seconds;) {
    const auto start = Clock::now();
    const Status status = call();
    const double taken = std::chrono::duration<double>(Clock::now() - start).count();
    if (!status.ok()) {
      std::fprintf(stderr, "formats_bench: %s\n", status.error().message.c_str());
      std::exit(1);
    }
    best = std::min(best, taken);
  }
  return static_cast<double>(bytes) / best / 1e6;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::atof(argv[1]) : 0.5;
  std::printf("%-10s %14s %14s   MB of the type's bytes per second, one thread\n", "type", "decode",
              "encode");
  for (const TernaryCodec& codec : ternary_codecs()) {
    LayoutChoice layout;
    if (codec.dtype == DType::kTL1) layout.tl_tile = {256, 128, 32};
    if (codec.dtype == DType::kTL2) layout.tl_tile = {256, 96, 32};
    std::vector<int8_t> trits(kRows * kCols);
    uint32_t x = 1;
    for (int8_t& t : trits) {
      x = x * 1664525u + 1013904223u;
      t = static_cast<int8_t>(codec.has_zero ? static_cast<int>((x >> 16) % 3) - 1
                                             : static_cast<int>(x >> 31) * 2 - 1);
    }
    std::vector<float> scales(kRows * codec.scales_per_row(kCols), 1.0f);
    std::vector<std::byte> bytes(*tensor_byte_size(codec.dtype, kRows, kCols));
    const double encode = best_rate(seconds, bytes.size(), [&] {
      return codec.encode(trits.data(), scales.data(), kRows, kCols, layout, bytes);
    });
    const double decode = best_rate(seconds, bytes.size(), [&] {
      return codec.decode(bytes, kRows, kCols, 0, kRows, layout, trits.data(), scales.data());
    });
    std::printf("%-10s %14.0f %14.0f\n", std::string(dtype_name(codec.dtype)).c_str(), decode, encode);
  }
  return 0;
}
