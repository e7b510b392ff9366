// SPDX-License-Identifier: MIT
// TQ1_0: 256 weights in 54 bytes: qs[48] of five trits, qh[4] of four, then the f16 scale. The first trit of
// a byte is the most significant digit (base3.h); qh is written as if a fifth digit 0 followed. Three runs,
// digit n of byte m:
//
//   qs[m],      m < 32   weight       32 n + m,  n < 5
//   qs[32 + m], m < 16   weight 160 + 16 n + m,  n < 5
//   qh[m],      m < 4    weight 240 +  4 n + m,  n < 4
//
// Source: FORMATS.md A.3.
#include "formats/ternary/base3.h"
#include "formats/ternary/block_codec.h"

namespace tern::tq1_0 {
namespace {

struct Run {
  uint32_t byte, bytes, first_weight, digits;
};
constexpr Run kRuns[3] = {{0, 32, 0, 5}, {32, 16, 160, 5}, {48, 4, 240, 4}};
constexpr uint32_t kFiveTritBytes = 48, kCodeBytes = 52;

template <Run kRun>
void decode_run(const uint8_t* block, int8_t* trits) {
  for (uint32_t n = 0; n < kRun.digits; ++n) {
    for (uint32_t m = 0; m < kRun.bytes; ++m) {
      // Times 3^n mod 256 drops the n leading digits; the next one is the integer part of 3/256 of what is
      // left.
      const uint8_t rest = static_cast<uint8_t>(block[kRun.byte + m] * kPowersOf3[n]);
      trits[kRun.first_weight + n * kRun.bytes + m] = static_cast<int8_t>((rest * 3 >> 8) - 1);
    }
  }
}

/// Whether a byte of qs or qh is one that encode_block produces.
bool is_defined(const uint8_t* block, uint32_t at) {
  const uint8_t v = kBase3Value[block[at]];
  return v != kNoBase3Value && (at < kFiveTritBytes || v % 3 == 0);
}

struct Layout {
  static constexpr DType kDType = DType::kTQ1_0;
  static constexpr TritRange kTrits = {};
  static constexpr uint32_t kBlockCols = 256, kBlockBytes = 54, kRowHeaderBytes = 0, kScaleOffset = 52;
  using Scale = uint16_t;

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    decode_run<kRuns[0]>(block, trits);
    decode_run<kRuns[1]>(block, trits);
    decode_run<kRuns[2]>(block, trits);
    return find_undefined(block) == kCodeBytes;
  }

  static uint32_t find_undefined(const uint8_t* block) {
    uint32_t at = 0;
    while (at < kCodeBytes && is_defined(block, at)) ++at;
    return at;
  }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    for (const Run& run : kRuns) {
      for (uint32_t m = 0; m < run.bytes; ++m) {
        uint32_t v = 0;
        for (uint32_t n = 0; n < run.digits; ++n) {
          v += static_cast<uint32_t>(trits[run.first_weight + n * run.bytes + m] + 1) * kPowersOf3[4 - n];
        }
        block[run.byte + m] = base3_byte(v);
      }
    }
  }
};

}  // namespace

TERN_BLOCK_CODEC(Layout)

}  // namespace tern::tq1_0
