// SPDX-License-Identifier: MIT
// Checks for bugs in our own code. Wrong outside input is never a bug: it is a Result (result.h).
#pragma once

namespace tern {

/// Prints `file:line: check failed: expression (message)` to stderr and aborts. The only place that aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression, const char* message);

}  // namespace tern

#define TERN_CHECK(condition, message) \
  ((condition) ? void(0) : ::tern::check_failed(__FILE__, __LINE__, #condition, message))

#ifdef NDEBUG
#  define TERN_DCHECK(condition, message) void(0)
#else
#  define TERN_DCHECK(condition, message) TERN_CHECK(condition, message)
#endif
