// SPDX-License-Identifier: MIT
// IQ1_BN (ik_llama.cpp): each row starts with its f16 scale, then 64 weights in 13 bytes: ql[12] of five
// trits and `extra` of four. The first trit of a byte is the least significant digit (base3.h; TQ1_0 has it
// the other way round):
//
//   digit j of ql[3 a + k]   weight 16 a + 5 k + j,   a < 4, k < 3, j < 5
//   digit a of extra         weight 16 a + 15
//
// Source: FORMATS.md A.3.
#include "formats/ternary/base3.h"
#include "formats/ternary/block_codec.h"

namespace tern::iq1_bn {
namespace {

constexpr uint32_t kCodeBytes = 13, kExtra = 12;
constexpr uint32_t kExtraValues = 81;  // four digits

// The five trits of each byte; nonsense for the undefined bytes, which is_defined finds.
constexpr auto kTrits5 = [] {
  std::array<std::array<int8_t, 5>, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    for (uint32_t j = 0; j < 5; ++j)
      table[byte][j] = static_cast<int8_t>(kBase3Value[byte] / kPowersOf3[j] % 3 - 1);
  }
  return table;
}();

/// Whether a byte is one that encode_block produces (kNoBase3Value is above both limits).
bool is_defined(const uint8_t* block, uint32_t at) {
  return kBase3Value[block[at]] < (at == kExtra ? kExtraValues : kBase3Values);
}

struct Layout {
  static constexpr DType kDType = DType::kIQ1_BN;
  static constexpr TritRange kTrits = {};
  static constexpr uint32_t kBlockCols = 64, kBlockBytes = 13, kRowHeaderBytes = 2, kScaleOffset = 0;
  using Scale = uint16_t;

  static bool decode_block(const uint8_t* block, int8_t* trits) {
    for (uint32_t a = 0; a < 4; ++a) {
      for (uint32_t k = 0; k < 3; ++k)
        std::memcpy(trits + 16 * a + 5 * k, kTrits5[block[3 * a + k]].data(), 5);
      trits[16 * a + 15] = kTrits5[block[kExtra]][a];
    }
    return find_undefined(block) == kCodeBytes;
  }

  static uint32_t find_undefined(const uint8_t* block) {
    uint32_t at = 0;
    while (at < kCodeBytes && is_defined(block, at)) ++at;
    return at;
  }

  static void encode_block(const int8_t* trits, uint8_t* block) {
    uint32_t extra = 0;
    for (uint32_t a = 0; a < 4; ++a) {
      for (uint32_t k = 0; k < 3; ++k) {
        uint32_t v = 0;
        for (uint32_t j = 0; j < 5; ++j)
          v += static_cast<uint32_t>(trits[16 * a + 5 * k + j] + 1) * kPowersOf3[j];
        block[3 * a + k] = base3_byte(v);
      }
      extra += static_cast<uint32_t>(trits[16 * a + 15] + 1) * kPowersOf3[a];
    }
    block[kExtra] = base3_byte(extra);
  }
};

}  // namespace

TERN_BLOCK_CODEC(Layout)

}  // namespace tern::iq1_bn
