// SPDX-License-Identifier: MIT
// kernels_impl.h compiled for the instruction set that CMakeLists.txt gives this file.
#define TERN_TRAIN_TABLE avx512_kernels
#define TERN_TRAIN_NAME "avx512"
#include "train/fused/kernels_impl.h"
