// SPDX-License-Identifier: MIT
// TQ1_0 and the Prism fork's PTQ1_0, half its size: bytes of five trits, a few of four, then the f16 scale.
// The first trit of a byte is the most significant digit (base3.h); a byte of four is written as if a fifth
// digit 0 followed. Three runs, digit n of byte m of a run:
//
//   TQ1_0, 256 weights in 54 bytes           PTQ1_0, 128 weights in 28 bytes
//   qs[m],      m < 32   32 n + m            qs[m],      m < 16   16 n + m        n < 5
//   qs[32 + m], m < 16   160 + 16 n + m      qs[16 + m], m < 8    80 + 8 n + m    n < 5
//   qh[m],      m < 4    240 + 4 n + m       qh[m],      m < 2    120 + 2 n + m   n < 4
//
// Source: FORMATS.md A.3.
#include "formats/ternary/base3.h"
#include "formats/ternary/block_codec.h"

namespace tern {
namespace {

struct Run {
  uint32_t byte, bytes, first_weight, digits;
};

/// kUnit is the length of the last run: 4 or 2 bytes.
template <DType kType, uint32_t kUnit>
struct Tq1Layout {
  static constexpr DType kDType = kType;
  static constexpr TritRange kTrits = {};
  static constexpr uint32_t kBlockCols = 64 * kUnit, kRowHeaderBytes = 0;
  static constexpr uint32_t kFiveTritBytes = 12 * kUnit, kCodeBytes = 13 * kUnit;
  static constexpr uint32_t kScaleOffset = kCodeBytes, kBlockBytes = kCodeBytes + 2;
  using Scale = uint16_t;
  static constexpr Run kRuns[3] = {
      {0, 8 * kUnit, 0, 5}, {8 * kUnit, 4 * kUnit, 40 * kUnit, 5}, {12 * kUnit, kUnit, 60 * kUnit, 4}};

  template <Run kRun>
  static void decode_run(const uint8_t* block, int8_t* trits) {
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
  static bool is_defined(const uint8_t* block, uint32_t at) {
    const uint8_t v = kBase3Value[block[at]];
    return v != kNoBase3Value && (at < kFiveTritBytes || v % 3 == 0);
  }

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    decode_run<kRuns[0]>(block, trits);
    decode_run<kRuns[1]>(block, trits);
    decode_run<kRuns[2]>(block, trits);
    bool defined = true;  // without an exit from the loop: all bytes are good but in damaged files
    for (uint32_t at = 0; at < kCodeBytes; ++at) defined &= is_defined(block, at);
    return defined;
  }

  static uint32_t find_undefined(const uint8_t* block) {
    uint32_t at = 0;
    while (at < kCodeBytes && is_defined(block, at)) ++at;
    return at;
  }

  template <Run kRun>
  static void encode_run(const int8_t* trits, uint8_t* block) {
    for (uint32_t m = 0; m < kRun.bytes; ++m) {
      uint32_t v = 0;
      for (uint32_t n = 0; n < kRun.digits; ++n)
        v = 3 * v + static_cast<uint32_t>(trits[kRun.first_weight + n * kRun.bytes + m] + 1);
      block[kRun.byte + m] = base3_byte(kRun.digits == 4 ? 3 * v : v);
    }
  }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    encode_run<kRuns[0]>(trits, block);
    encode_run<kRuns[1]>(trits, block);
    encode_run<kRuns[2]>(trits, block);
  }
};

using Tq1 = Tq1Layout<DType::kTQ1_0, 4>;
using Ptq1 = Tq1Layout<DType::kPTQ1_0, 2>;

}  // namespace

namespace tq1_0 {
TERN_BLOCK_CODEC(Tq1)
}  // namespace tq1_0

namespace ptq1_0 {
TERN_BLOCK_CODEC(Ptq1)
}  // namespace ptq1_0

}  // namespace tern
