// SPDX-License-Identifier: MIT
// The AVX2 + FMA + F16C table. Listed in registry.cc. dense_any stays null: other dense types go through the
// scalar one.
#include "kernels/cpu/avx2/detail.h"

namespace tern::avx2 {

extern const KernelTable kTable;
const KernelTable kTable = {
    .name = "avx2",
    .needs = 1u << 0,  // kCpuAvx2 of core/cpu_features.h
    .ternary = ternary,
    .dense_f32 = dense_f32,
    .dense_f16 = dense_f16,
    .dense_bf16 = dense_bf16,
    .dense_q8_0 = dense_q8_0,
    .dense_any = nullptr,
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

}  // namespace tern::avx2
