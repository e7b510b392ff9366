// SPDX-License-Identifier: MIT
#include "core/dtype.h"

namespace tern {

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::kF32:
      return "f32";
    case DType::kF16:
      return "f16";
    case DType::kBF16:
      return "bf16";
    case DType::kF64:
      return "f64";
    case DType::kI8:
      return "i8";
    case DType::kI16:
      return "i16";
    case DType::kI32:
      return "i32";
    case DType::kI64:
      return "i64";
    case DType::kU8:
      return "u8";
    case DType::kU16:
      return "u16";
    case DType::kU32:
      return "u32";
    case DType::kU64:
      return "u64";
    case DType::kBool:
      return "bool";
    case DType::kQ8_0:
      return "q8_0";
    case DType::kQ4_0:
      return "q4_0";
    case DType::kQ4_K:
      return "q4_k";
    case DType::kQ6_K:
      return "q6_k";
    case DType::kI2_S:
      return "i2_s";
    case DType::kTL1:
      return "tl1";
    case DType::kTL2:
      return "tl2";
    case DType::kTQ1_0:
      return "tq1_0";
    case DType::kTQ2_0:
      return "tq2_0";
    case DType::kIQ1_BN:
      return "iq1_bn";
    case DType::kIQ2_BN:
      return "iq2_bn";
    case DType::kIQ2_BN_R4:
      return "iq2_bn_r4";
    case DType::kQ1_0:
      return "q1_0";
    case DType::kQ2_0_G64:
      return "q2_0_g64";
    case DType::kQ2_0_G128:
      return "q2_0_g128";
    case DType::kPTQ1_0:
      return "ptq1_0";
    case DType::kMlx1:
      return "mlx1";
    case DType::kMlx2:
      return "mlx2";
    case DType::kHfU8:
      return "hf_u8";
  }
  return "?";
}

}  // namespace tern
