// SPDX-License-Identifier: MIT
// The CPU backend: splits each op over a thread pool (by rows, panels or heads; never K) and calls a
// KernelTable. The split depends on shapes only, and no result depends on the split.
#pragma once

#include <memory>

#include "core/thread_pool.h"
#include "kernels/backend.h"

namespace tern {

/// `pool` is borrowed and may be null (everything then runs on the caller). `kernels` comes from
/// choose_kernels().
std::unique_ptr<Backend> make_cpu_backend(const KernelTable& kernels, ThreadPool* pool);

}  // namespace tern
