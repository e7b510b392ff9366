// SPDX-License-Identifier: MIT
#include "formats/json_scanner.h"

#include "core/printable.h"

namespace tern {
namespace {

void append_utf8(std::string& out, uint32_t code_point) {
  const auto put = [&](uint32_t byte) { out += static_cast<char>(byte); };
  if (code_point < 0x80) {
    put(code_point);
  } else if (code_point < 0x800) {
    put(0xc0 | code_point >> 6);
    put(0x80 | (code_point & 0x3f));
  } else if (code_point < 0x10000) {
    put(0xe0 | code_point >> 12);
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  } else {
    put(0xf0 | code_point >> 18);
    put(0x80 | (code_point >> 12 & 0x3f));
    put(0x80 | (code_point >> 6 & 0x3f));
    put(0x80 | (code_point & 0x3f));
  }
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

void JsonScanner::skip_whitespace() {
  const size_t next = text_.find_first_not_of(" \t\r\n", position_);
  position_ = next == std::string_view::npos ? text_.size() : next;
}

bool JsonScanner::accept(char c) {
  skip_whitespace();
  if (position_ == text_.size() || text_[position_] != c) return false;
  ++position_;
  return true;
}

Status JsonScanner::expect(char c) {
  if (accept(c)) return {};
  return error(fmt::format("'{}'", c));
}

Error JsonScanner::error(std::string_view expected) {
  const std::string_view rest = text_.substr(position_);
  const std::string found =
      rest.empty() ? "the end of the header" : fmt::format("'{}'", printable(rest.substr(0, 16)));
  return make_error(ErrorCode::kCorrupt, "byte {}: expected {}, found {}", base_offset_ + position_, expected,
                    found);
}

Status JsonScanner::end() {
  skip_whitespace();
  if (position_ == text_.size()) return {};
  return error("nothing but white space behind the header's object");
}

Result<std::string> JsonScanner::string() {
  skip_whitespace();
  if (position_ == text_.size() || text_[position_] != '"') return error("a string");
  ++position_;
  std::string out;
  while (true) {
    const size_t plain_end = text_.find_first_of("\"\\", position_);
    const std::string_view plain = text_.substr(position_, plain_end - position_);
    for (const char c : plain) {
      if (static_cast<unsigned char>(c) < 0x20) return error("a string without raw control characters");
    }
    if (plain_end == std::string_view::npos) return error("a string that ends");
    out += plain;
    position_ = plain_end + 1;
    if (text_[plain_end] == '"') return out;
    TERN_TRY(escape(out));
  }
}

// Behind a backslash.
Status JsonScanner::escape(std::string& out) {
  constexpr std::string_view kLetters = "\"\\/bfnrt";
  constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
  if (position_ == text_.size()) return error("an escape");
  const size_t index = kLetters.find(text_[position_]);
  if (index != std::string_view::npos) {
    out += kMeanings[index];
    ++position_;
    return {};
  }
  if (text_[position_] != 'u') return error("an escape");
  ++position_;
  TERN_TRY_ASSIGN(uint32_t code_point, hex4());
  if (code_point >= 0xd800 && code_point < 0xdc00 && text_.substr(position_, 2) == "\\u") {
    position_ += 2;
    TERN_TRY_ASSIGN(const uint32_t low, hex4());
    if (low < 0xdc00 || low > 0xdfff) return error("the second half of a surrogate pair before this");
    code_point = 0x10000 + ((code_point - 0xd800) << 10) + (low - 0xdc00);
  }
  if (code_point >= 0xd800 && code_point <= 0xdfff) return error("a whole surrogate pair before this");
  append_utf8(out, code_point);
  return {};
}

Result<uint32_t> JsonScanner::hex4() {
  uint32_t value = 0;
  for (int i = 0; i < 4; ++i) {
    const char c = position_ < text_.size() ? text_[position_] : '\0';
    const char lower = static_cast<char>(c | 0x20);
    if (is_digit(c)) {
      value = value << 4 | static_cast<uint32_t>(c - '0');
    } else if (lower >= 'a' && lower <= 'f') {
      value = value << 4 | static_cast<uint32_t>(lower - 'a' + 10);
    } else {
      return error("four hexadecimal digits");
    }
    ++position_;
  }
  return value;
}

Result<uint64_t> JsonScanner::unsigned_integer() {
  skip_whitespace();
  const size_t start = position_;
  uint64_t value = 0;
  size_t i = position_;
  for (; i < text_.size() && is_digit(text_[i]); ++i) {
    const auto digit = static_cast<uint64_t>(text_[i] - '0');
    if (__builtin_mul_overflow(value, uint64_t{10}, &value) || __builtin_add_overflow(value, digit, &value)) {
      return error("an unsigned integer of at most 64 bits");
    }
  }
  const size_t digits = i - start;
  const bool leading_zero = digits > 1 && text_[start] == '0';
  const bool is_float = i < text_.size() && (text_[i] == '.' || text_[i] == 'e' || text_[i] == 'E');
  if (digits == 0 || leading_zero || is_float) return error("an unsigned integer");
  position_ = i;
  return value;
}

}  // namespace tern
