// SPDX-License-Identifier: MIT
// IQ2_BN (ik_llama.cpp): each row starts with its f32 scale, then 64 weights in 16 bytes:
// weight 16 l + j is bits (2l+1..2l) of byte j. Source: FORMATS.md A.3.
#include "formats/ternary/block_codec.h"
#include "formats/ternary/two_bit.h"

namespace tern::iq2_bn {
namespace {

struct Layout {
  static constexpr DType kDType = DType::kIQ2_BN;
  static constexpr TritRange kTrits = {};
  static constexpr uint32_t kBlockCols = 64, kBlockBytes = 16, kRowHeaderBytes = 4, kScaleOffset = 0;
  using Scale = float;

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    bool defined = true;
    for (unsigned l = 0; l < 4; ++l) defined &= unpack_field(block, 16, 2 * l, trits + 16 * l);
    return defined;
  }

  static uint32_t find_undefined(const uint8_t* block) { return find_undefined_byte(block, 16); }

  static void encode_block(const int8_t* trits, uint8_t* block) { pack_bytes(trits + 48, -16, 16, block); }
};

}  // namespace

TERN_BLOCK_CODEC(Layout)

}  // namespace tern::iq2_bn
