// SPDX-License-Identifier: MIT
// In a file of its own: inlined into a caller, new and delete on malloc and free look mismatched to the
// compiler.
#include "tests/formats/counting_new.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {
std::atomic<size_t> total_bytes{0};
}

size_t tern::test::allocated_bytes() { return total_bytes; }

void* operator new(size_t size) {
  total_bytes += size;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
