// SPDX-License-Identifier: MIT
// Q2_0 with groups of 64 (mainline) and of 128 (PQ2_0 and the early fork): the f16 scale, then two-bit codes,
// weight j in bits (2(j%4)+1..2(j%4)) of byte j/4. Weight = code - 1, and code 3 = +2 is legal. Source:
// FORMATS.md A.3.
#include "formats/ternary/block_codec.h"
#include "formats/ternary/two_bit.h"

namespace tern {
namespace {

template <DType kType, uint32_t kGroupCols>
struct Q2Layout {
  static constexpr DType kDType = kType;
  static constexpr TritRange kTrits = {.highest = 2};
  static constexpr uint32_t kBlockCols = kGroupCols, kBlockBytes = 2 + kGroupCols / 4;
  static constexpr uint32_t kRowHeaderBytes = 0, kScaleOffset = 0;
  using Scale = uint16_t;
  static constexpr uint32_t kCodes = 2;  // offset of the codes

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    unpack_bytes(block + kCodes, kBlockCols / 4, trits);
    return true;
  }

  static uint32_t find_undefined(const uint8_t*) { return kBlockBytes; }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    for (uint32_t i = 0; i < kBlockCols / 4; ++i) {
      unsigned byte = 0;
      for (uint32_t field = 0; field < 4; ++field)
        byte |= static_cast<unsigned>(trits[4 * i + field] + 1) << 2 * field;
      block[kCodes + i] = static_cast<uint8_t>(byte);
    }
  }
};

using Q2Group64 = Q2Layout<DType::kQ2_0_G64, 64>;
using Q2Group128 = Q2Layout<DType::kQ2_0_G128, 128>;

}  // namespace

namespace q2_0_g64 {
TERN_BLOCK_CODEC(Q2Group64)
}  // namespace q2_0_g64

namespace q2_0_g128 {
TERN_BLOCK_CODEC(Q2Group128)
}  // namespace q2_0_g128

}  // namespace tern
