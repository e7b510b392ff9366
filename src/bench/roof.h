// SPDX-License-Identifier: MIT
// The roofs of this machine, measured now: how fast its threads read memory (decoding stands below that), and
// how fast the ternary kernel computes when nothing has to be fetched (prefill stands below that).
#pragma once

#include "core/result.h"
#include "core/thread_pool.h"
#include "kernels/backend.h"

namespace tern {

/// What the figures of a run are compared with; for one thread count and one kernel set.
struct Roof {
  double bytes_per_second = 0;
  double operations_per_second = 0;  // multiplications and additions of the ternary product
};

/// Median bytes per second over `rounds` passes in which all threads of the pool read a buffer of `bytes`
/// (well above the last cache) once. Errors: kOutOfMemory.
Result<double> measure_read_bandwidth(ThreadPool& pool, size_t bytes, int rounds);

/// Median operations per second of ternary_matmul over `rounds` calls with a matrix that stays in the
/// second-level cache and 128 rows of activations. Errors: those of the backend.
Result<double> measure_ternary_rate(Backend& backend, int rounds);

}  // namespace tern
