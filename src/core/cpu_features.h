// SPDX-License-Identifier: MIT
// What the CPU has AND the operating system saves on a context switch: the only features a kernel may use.
#pragma once

#include <cstdint>
#include <string>

namespace tern {

/// Bits of a feature mask. A kernel table lists the bits it needs.
enum CpuFeature : uint64_t {
  kCpuAvx2 = 1u << 0,        // AVX2 + FMA + F16C, ymm state saved
  kCpuAvxVnni = 1u << 1,     // vpdpbusd on ymm without AVX-512
  kCpuAvx512 = 1u << 2,      // F, BW, DQ, VL, zmm and mask state saved
  kCpuAvx512Vnni = 1u << 3,  // vpdpbusd on zmm
  kCpuAvx512Vbmi = 1u << 4,  // byte permutes
  kCpuGfni = 1u << 5,        // affine byte transforms
  kCpuAmxInt8 = 1u << 6,     // tile dot products (permission is asked when a table that needs it is chosen)
  kCpuDotprod = 1u << 7,     // ARM sdot/udot
  kCpuI8mm = 1u << 8,        // ARM smmla/usmmla
  kCpuNeon = 1u << 9,        // ARM Advanced SIMD: every ARMv8-A that runs Linux
};

/// The mask of this machine. Reads CPUID and XCR0 (x86) or the auxiliary vector (ARM) at every call; pure.
uint64_t detect_cpu_features();

/// "avx2 avx512 avx512_vnni", for `tern info`.
std::string describe_cpu_features(uint64_t features);

/// The processor's own name ("AMD EPYC ..."), or "unknown".
std::string cpu_model_name();

}  // namespace tern
