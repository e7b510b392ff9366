// SPDX-License-Identifier: MIT
// Q1_0: 128 weights in 18 bytes: the f16 scale, then 16 bytes of bits. Weight j is bit j%8 of byte j/8: 1 =
// +1, 0 = -1. There is no zero, so encode refuses one; every byte is defined. Source: FORMATS.md A.3.
#include "formats/ternary/block_codec.h"

namespace tern::q1_0 {
namespace {

struct Layout {
  static constexpr DType kDType = DType::kQ1_0;
  static constexpr TritRange kTrits = {.has_zero = false};
  static constexpr uint32_t kBlockCols = 128, kBlockBytes = 18, kRowHeaderBytes = 0, kScaleOffset = 0;
  using Scale = uint16_t;
  static constexpr uint32_t kBits = 2;  // offset of the bits

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    for (uint32_t i = 0; i < 16; ++i) {
      for (uint32_t bit = 0; bit < 8; ++bit) {
        trits[8 * i + bit] = static_cast<int8_t>((block[kBits + i] >> bit & 1) * 2 - 1);
      }
    }
    return true;
  }

  static uint32_t find_undefined(const uint8_t*) { return kBlockBytes; }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    for (uint32_t i = 0; i < 16; ++i) {
      unsigned byte = 0;
      for (uint32_t bit = 0; bit < 8; ++bit) byte |= static_cast<unsigned>(trits[8 * i + bit] > 0) << bit;
      block[kBits + i] = static_cast<uint8_t>(byte);
    }
  }
};

}  // namespace

TERN_BLOCK_CODEC(Layout)

}  // namespace tern::q1_0
