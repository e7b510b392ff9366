// SPDX-License-Identifier: MIT
#include "core/cpu_features.h"

#include <array>
#include <cstring>
#include <fstream>
#include <utility>

#if defined(__x86_64__)
#  include <cpuid.h>
#elif defined(__aarch64__)
#  include <sys/auxv.h>
#endif

namespace tern {

#if defined(__x86_64__)

namespace {

/// The register states that the operating system saves (XCR0), or 0 where it does not say.
uint64_t saved_register_states() {
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || (c & bit_OSXSAVE) == 0) return 0;
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t{high} << 32 | low;
}

}  // namespace

uint64_t detect_cpu_features() {
  constexpr uint64_t kYmmState = 0x6, kZmmState = 0xe6, kTileState = 0x60000;
  const uint64_t saved = saved_register_states();
  unsigned a, b1, c1, d1, b7, c7, d7, a71 = 0, b71, c71, d71;
  if (!__get_cpuid(1, &a, &b1, &c1, &d1) || !__get_cpuid_count(7, 0, &a, &b7, &c7, &d7)) return 0;
  if (a >= 1) __get_cpuid_count(7, 1, &a71, &b71, &c71, &d71);
  auto has = [](unsigned reg, int bit) { return (reg >> bit & 1u) != 0; };

  uint64_t mask = 0;
  const bool avx2 = has(c1, 28) && has(b7, 5) && has(c1, 12) && has(c1, 29);  // AVX, AVX2, FMA, F16C
  if ((saved & kYmmState) == kYmmState && avx2) {
    mask |= kCpuAvx2;
    if (has(a71, 4)) mask |= kCpuAvxVnni;
    if (has(c7, 8)) mask |= kCpuGfni;
    const bool avx512 = has(b7, 16) && has(b7, 17) && has(b7, 30) && has(b7, 31);  // F, DQ, BW, VL
    if ((saved & kZmmState) == kZmmState && avx512) {
      mask |= kCpuAvx512;
      if (has(c7, 11)) mask |= kCpuAvx512Vnni;
      if (has(c7, 1)) mask |= kCpuAvx512Vbmi;
    }
    if ((saved & kTileState) == kTileState && has(d7, 24) && has(d7, 25)) mask |= kCpuAmxInt8;
  }
  return mask;
}

#elif defined(__aarch64__)

// Not the ID_AA64ISAR registers as a second source: reading them traps where the kernel does not emulate it,
// and where it does, it shows the fields that it puts into these words.
uint64_t detect_cpu_features() {
  constexpr unsigned long kHwcapAsimd = 1ul << 1, kHwcapAsimdDp = 1ul << 20, kHwcap2I8mm = 1ul << 13;
  uint64_t mask = 0;
  if (getauxval(AT_HWCAP) & kHwcapAsimd) mask |= kCpuNeon;
  if (getauxval(AT_HWCAP) & kHwcapAsimdDp) mask |= kCpuDotprod;
  if (getauxval(AT_HWCAP2) & kHwcap2I8mm) mask |= kCpuI8mm;
  return mask;
}

#else

uint64_t detect_cpu_features() { return 0; }

#endif

std::string describe_cpu_features(uint64_t features) {
  constexpr std::array<std::pair<CpuFeature, const char*>, 10> kNames = {{{kCpuAvx2, "avx2"},
                                                                          {kCpuAvxVnni, "avx_vnni"},
                                                                          {kCpuAvx512, "avx512"},
                                                                          {kCpuAvx512Vnni, "avx512_vnni"},
                                                                          {kCpuAvx512Vbmi, "avx512_vbmi"},
                                                                          {kCpuGfni, "gfni"},
                                                                          {kCpuAmxInt8, "amx_int8"},
                                                                          {kCpuDotprod, "dotprod"},
                                                                          {kCpuI8mm, "i8mm"},
                                                                          {kCpuNeon, "neon"}}};
  std::string text;
  for (const auto& [bit, name] : kNames) {
    if ((features & bit) == 0) continue;
    if (!text.empty()) text += ' ';
    text += name;
  }
  return text.empty() ? "none" : text;
}

std::string cpu_model_name() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    const auto colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

}  // namespace tern
