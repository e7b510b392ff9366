// SPDX-License-Identifier: MIT
// What Python's str knows about characters: code points in UTF-8, case, white space, classes. Texts given
// here are valid UTF-8 (is_valid_utf8 was asked at the border). Called by the values and the string methods.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tern::jinja {

/// True for well-formed UTF-8 without surrogates.
bool is_valid_utf8(std::string_view bytes);
/// Number of code points.
int64_t count_code_points(std::string_view bytes);
/// Reads the code point at `offset` (< bytes.size()) and moves `offset` behind it.
uint32_t next_code_point(std::string_view bytes, size_t* offset);
/// Moves back over the code point that ends at `offset` (> 0); returns it.
uint32_t previous_code_point(std::string_view bytes, size_t* offset);
void append_code_point(uint32_t code_point, std::string* out);
/// Byte offset of the code point number `index` in [0, count]; linear.
size_t byte_offset(std::string_view bytes, int64_t index);

/// str.isspace of one character.
bool is_space(uint32_t code_point);
/// str.isprintable of one character (decides what repr escapes).
bool is_printable(uint32_t code_point);
bool is_alpha(uint32_t code_point);
bool is_decimal(uint32_t code_point);  // Nd
bool is_digit(uint32_t code_point);    // decimal, or a superscript or circled digit
bool is_numeric(uint32_t code_point);
bool is_upper(uint32_t code_point);
bool is_lower(uint32_t code_point);
bool is_title(uint32_t code_point);
bool is_cased(uint32_t code_point);
bool is_identifier(std::string_view bytes);
/// Value of a decimal digit of any script, -1 for other characters.
int decimal_value(uint32_t code_point);

/// Full case mappings, one to many characters, as str.upper, str.lower, str.title and str.casefold do.
std::string to_upper(std::string_view bytes);
std::string to_lower(std::string_view bytes);
std::string to_title(std::string_view bytes);
std::string to_capitalized(std::string_view bytes);
std::string to_casefold(std::string_view bytes);
std::string swap_case(std::string_view bytes);

}  // namespace tern::jinja
