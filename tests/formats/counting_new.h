// SPDX-License-Identifier: MIT
// A test program with counting_new.cc in it counts what operator new hands out.
#pragma once

#include <cstddef>

namespace tern::test {

/// Bytes asked of operator new since the program's start; never goes down. Threads: any.
size_t allocated_bytes();

}  // namespace tern::test
