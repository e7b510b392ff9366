// SPDX-License-Identifier: MIT
// The generator of sampling: counter-based, so that the number for (seed, choice, position) does not depend
// on what was drawn before it: batches, speculation and retries get the same text. Philox-4x32-10 (Salmon et
// al., SC 2011).
#pragma once

#include <array>
#include <cstdint>

namespace tern {

/// Ten rounds of Philox-4x32. Pure.
constexpr std::array<uint32_t, 4> philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53u} * counter[0], b = uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(b),
               static_cast<uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(a)};
    key = {key[0] + 0x9E3779B9u, key[1] + 0xBB67AE85u};
  }
  return counter;
}

/// A uniform double in [0, 1) with 53 random bits, for one sampled token.
///   seed      of the request     choice    index of the answer (n > 1)     position  of the token in the
///   sequence
constexpr double uniform_at(uint64_t seed, uint32_t choice, uint64_t position) {
  const auto words =
      philox4x32({static_cast<uint32_t>(position), static_cast<uint32_t>(position >> 32), choice, 0},
                 {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)});
  const uint64_t bits = (uint64_t{words[1]} << 32 | words[0]) >> 11;
  return static_cast<double>(bits) * 0x1p-53;
}

}  // namespace tern
