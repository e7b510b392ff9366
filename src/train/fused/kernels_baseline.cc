// SPDX-License-Identifier: MIT
// kernels_impl.h compiled for the instruction set that CMakeLists.txt gives this file.
#define TERN_TRAIN_TABLE baseline_kernels
#define TERN_TRAIN_NAME "baseline"
#include "train/fused/kernels_impl.h"
