// SPDX-License-Identifier: MIT
// The scalar table: complete, needs nothing of the CPU. Listed in registry.cc.
#include "kernels/cpu/scalar/detail.h"

namespace tern::scalar {

extern const KernelTable kTable;
const KernelTable kTable = {
    .name = "scalar",
    .needs = 0,
    .ternary = ternary,
    .dense_f32 = dense_f32,
    .dense_f16 = dense_any,
    .dense_bf16 = dense_any,
    .dense_q8_0 = dense_any,
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
};

}  // namespace tern::scalar
