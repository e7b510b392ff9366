// SPDX-License-Identifier: MIT
// Digits of numbers, shared by Python's two ways of formatting (format_percent.cc, format_brace.cc).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern::jinja {

inline constexpr int64_t kMaxFieldWidth = 100'000;  // of one field; the text limits hold besides

/// Digits in the base of `type`: x, X, o, b, or decimal.
std::string integer_digits(uint64_t magnitude, char type);
/// Digits of a float that is not negative, as C's %e %f %g with `precision` do; `alternate`: with '#'.
std::string float_digits(double magnitude, char type, int precision, bool alternate);
uint64_t magnitude_of(int64_t value);
/// Reads decimal digits at `*at` and moves behind them; -1 where there is none, an over-large number
/// saturates.
int64_t read_number(std::string_view text, size_t* at);
/// The first `count` characters.
std::string_view first_characters(std::string_view text, int64_t count);

}  // namespace tern::jinja
