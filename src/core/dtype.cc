// SPDX-License-Identifier: MIT
#include "core/dtype.h"

#include <array>

namespace tern {

std::string_view dtype_name(DType dtype) {
  static constexpr auto kNames = std::to_array<std::string_view>(
      {// in the order of DType
       "f32",       "f16",  "bf16",     "f64",       "i8",     "i16",   "i32",    "i64",
       "u8",        "u16",  "u32",      "u64",       "bool",   "q8_0",  "q4_0",   "q4_k",
       "q6_k",      "i2_s", "tl1",      "tl2",       "tq1_0",  "tq2_0", "iq1_bn", "iq2_bn",
       "iq2_bn_r4", "q1_0", "q2_0_g64", "q2_0_g128", "ptq1_0", "mlx1",  "mlx2",   "hf_u8"});
  static_assert(kNames.size() == static_cast<size_t>(DType::kHfU8) + 1);
  const auto index = static_cast<size_t>(dtype);
  return index < kNames.size() ? kNames[index] : "?";
}

}  // namespace tern
