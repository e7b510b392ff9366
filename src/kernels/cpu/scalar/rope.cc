// SPDX-License-Identifier: MIT
// Rotary position embedding of one row, in place.
#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

void rope(const RopeArgs& args) noexcept {
  const int64_t half = args.rope_dim / 2;
  for (int64_t h = 0; h < args.heads; ++h) {
    float* x = args.x + h * args.head_dim;
    for (int64_t i = 0; i < half; ++i) {
      float& first = args.adjacent_pairs ? x[2 * i] : x[i];
      float& second = args.adjacent_pairs ? x[2 * i + 1] : x[i + half];
      const float a = first, b = second;
      first = std::fma(a, args.cos[i], -(b * args.sin[i]));
      second = std::fma(b, args.cos[i], a * args.sin[i]);
    }
  }
}

}  // namespace tern::scalar
