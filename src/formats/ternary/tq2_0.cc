// SPDX-License-Identifier: MIT
// TQ2_0: 256 weights in 66 bytes: 64 bytes of two-bit codes, then the f16 scale.
// Weight 128 h + 32 l + m is bits (2l+1..2l) of byte 32 h + m. Source: FORMATS.md A.3.
#include "formats/ternary/block_codec.h"
#include "formats/ternary/two_bit.h"

namespace tern::tq2_0 {
namespace {

struct Layout {
  static constexpr DType kDType = DType::kTQ2_0;
  static constexpr TritRange kTrits = {};
  static constexpr uint32_t kBlockCols = 256, kBlockBytes = 66, kRowHeaderBytes = 0, kScaleOffset = 64;
  using Scale = uint16_t;

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    bool defined = true;
    for (unsigned h = 0; h < 2; ++h) {
      for (unsigned l = 0; l < 4; ++l) {
        defined &= unpack_field(block + 32 * h, 32, 2 * l, trits + 128 * h + 32 * l);
      }
    }
    return defined;
  }

  static uint32_t find_undefined(const uint8_t* block) { return find_undefined_byte(block, 64); }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    for (unsigned h = 0; h < 2; ++h) pack_bytes(trits + 128 * h + 96, -32, 32, block + 32 * h);
  }
};

}  // namespace

TERN_BLOCK_CODEC(Layout)

}  // namespace tern::tq2_0
