// SPDX-License-Identifier: MIT
// One block of 256 of the two K types; dense.cc calls these for each block of a row.
#pragma once

#include <cstdint>

namespace tern {

inline constexpr uint32_t kKBlockCols = 256;
inline constexpr uint32_t kQ4KBytes = 144;
inline constexpr uint32_t kQ6KBytes = 210;

/// 144 bytes -> 256 values.
void dequantize_q4_k(const uint8_t* block, float* out);

/// 210 bytes -> 256 values.
void dequantize_q6_k(const uint8_t* block, float* out);

/// 256 finite values -> 210 bytes. Returns false, writing nothing, where the magnitude needs a scale above
/// f16's range. With A = max |x| and D = A / (31.5 * 127), the root mean square error of the block is at most
/// (A / 31.5 + 2^-10 D + D + 2^-24) / 2, that is about A/62.5; usually it is several times smaller.
bool quantize_q6_k(const float* values, uint8_t* block);

}  // namespace tern
