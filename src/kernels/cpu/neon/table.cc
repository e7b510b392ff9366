// SPDX-License-Identifier: MIT
// The three NEON tables, in ascending priority; listed in registry.cc. The first has every op, for any
// ARMv8-A; the others only the integer products that their instructions speed up.
#include "kernels/cpu/neon/detail.h"

namespace tern::neon {

namespace {
// Of core/cpu_features.h, which this folder may not include.
constexpr uint64_t kNeon = 1u << 9, kDotprod = 1u << 7, kI8mm = 1u << 8;

constexpr KernelTable ternary_only(const char* name, uint64_t needs, TernaryFn function,
                                   TernaryFn function16) {
  KernelTable table{};
  table.name = name;
  table.needs = needs;
  table.ternary = function;
  table.ternary16 = function16;
  return table;
}

}  // namespace

extern const KernelTable kTables[3];
const KernelTable kTables[3] = {
    {
        .name = "neon",
        .needs = kNeon,
        .ternary = ternary,
        .dense_f32 = dense_f32,
        .dense_f16 = dense_f16,
        .dense_bf16 = dense_bf16,
        .dense_q8_0 = dense_q8_0,
        .dense_any = dense_any,
        .rms_norm = rms_norm,
        .quantize = quantize,
        .add = add,
        .gate_relu2 = gate_relu2,
        .gate_silu = gate_silu,
        .rope = rope,
        .kv_append_f16 = kv_append_f16,
        .kv_append_f32 = kv_append_f32,
        .attention_f16 = attention_f16,
        .attention_f32 = attention_f32,
        .ternary16 = ternary16,
        .quantize16 = quantize16,
    },
    ternary_only("neon-dotprod", kNeon | kDotprod, ternary_dotprod, ternary16_dotprod),
    ternary_only("neon-i8mm", kNeon | kDotprod | kI8mm, ternary_i8mm, ternary16_i8mm),
};

}  // namespace tern::neon
