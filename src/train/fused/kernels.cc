// SPDX-License-Identifier: MIT
#include "train/fused/kernels.h"

#include "core/cpu_features.h"

namespace tern::train {

const Kernels& kernels() {
  // Asked once: in a virtual machine each CPUID is a trap that costs more than a row.
  static const Kernels& chosen = []() -> const Kernels& {
#ifdef TERN_HAVE_X86
    if ((detect_cpu_features() & kCpuAvx512) != 0) return avx512_kernels();
#endif
    return baseline_kernels();
  }();
  return chosen;
}

}  // namespace tern::train
