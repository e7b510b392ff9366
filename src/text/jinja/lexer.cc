// SPDX-License-Identifier: MIT
// Template source to tokens. The order of decisions is jinja2's, because corner cases (a sign before raw, a
// newline behind a comment) depend on it.
#include "text/jinja/lexer.h"

#include <algorithm>
#include <cmath>

#include "core/printable.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

bool is_name_character(uint32_t c) {
  return c == '_' || is_alpha(c) || is_digit(c) || is_numeric(c) || c >= 0x300;
}

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

class Lexer {
 public:
  explicit Lexer(std::string source) : source_(std::move(source)) {}

  Result<std::vector<Token>> run() {
    while (at_ < source_.size()) TERN_TRY(outside());
    push(TokenKind::kEnd);
    return std::move(tokens_);
  }

 private:
  // --- helpers
  // -----------------------------------------------------------------------------------------------------

  std::string_view rest(size_t from) const { return std::string_view(source_).substr(from); }
  bool looking_at(std::string_view text) const { return rest(at_).starts_with(text); }
  Error fail(std::string_view message) const { return syntax_error(line_, message); }

  // Moves to `to`, counting lines.
  void advance(size_t to) {
    line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                         source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  size_t skip_space(size_t from) const {
    while (from < source_.size()) {
      size_t next = from;
      if (!is_space(next_code_point(source_, &next))) break;
      from = next;
    }
    return from;
  }

  Token& push(TokenKind kind, std::string text = {}) {
    tokens_.push_back(Token{kind, line_, std::move(text), 0, 0});
    return tokens_.back();
  }

  // Pushes the text from `at_` to `end`, trimmed as the tag that begins there asks, and moves to `end`.
  void push_text(size_t end, char sign, bool is_print) {
    std::string_view text = rest(at_).substr(0, end - at_);
    if (sign == '-') {
      while (!text.empty()) {
        size_t before = text.size();
        if (!is_space(previous_code_point(text, &before))) break;
        text = text.substr(0, before);
      }
    } else if (sign != '+' && !is_print) {
      const size_t newline = text.rfind('\n');
      const size_t line_begin = newline == std::string_view::npos ? 0 : newline + 1;
      if (line_begin > 0 || at_line_start_) {
        bool blank = true;
        for (size_t i = line_begin; i < text.size() && blank;) blank = is_space(next_code_point(text, &i));
        if (blank) text = text.substr(0, line_begin);
      }
    }
    if (!text.empty()) push(TokenKind::kText, std::string(text));
    advance(end);
  }

  // The end tag at `from`: "-x" with the white space behind it, "+x" (blocks and comments), or "x" with one
  // newline (blocks and comments). Returns where it ends, or npos.
  size_t end_tag(size_t from, std::string_view tag, bool trims) const {
    const auto here = rest(from);
    if (here.starts_with('-') && here.substr(1).starts_with(tag)) return skip_space(from + 1 + tag.size());
    if (trims && here.starts_with('+') && here.substr(1).starts_with(tag)) return from + 1 + tag.size();
    if (!here.starts_with(tag)) return std::string_view::npos;
    const size_t end = from + tag.size();
    return trims && rest(end).starts_with('\n') ? end + 1 : end;
  }

  void finish_tag(size_t end) {
    at_line_start_ = end > 0 && source_[end - 1] == '\n';
    advance(end);
  }

  // --- outside of tags
  // ---------------------------------------------------------------------------------------------

  Status outside() {
    size_t open = at_;
    for (;; ++open) {
      open = source_.find('{', open);
      if (open == std::string::npos || open + 1 >= source_.size()) {
        push(TokenKind::kText, std::string(rest(at_)));
        advance(source_.size());
        return {};
      }
      const char second = source_[open + 1];
      if (second == '{' || second == '%' || second == '#') break;
    }
    const char kind = source_[open + 1];
    const size_t sign_at = open + 2;
    const char sign = sign_at < source_.size() && (source_[sign_at] == '-' || source_[sign_at] == '+')
                          ? source_[sign_at]
                          : 0;
    const size_t inside = sign_at + (sign != 0 ? 1 : 0);
    push_text(open, sign, kind == '{');
    if (kind == '%') {
      if (const size_t raw = raw_begin(inside); raw != std::string_view::npos) return raw_block(raw);
    }
    at_line_start_ = false;
    if (kind == '#') return comment(inside);
    push(kind == '{' ? TokenKind::kPrintBegin : TokenKind::kBlockBegin);
    advance(inside);
    return inside_tag(kind == '{');
  }

  Status comment(size_t from) {
    for (size_t i = from; i < source_.size(); ++i) {
      const char c = source_[i];
      if (c != '#' && c != '-' && c != '+') continue;
      if (const size_t end = end_tag(i, "#}", true); end != std::string_view::npos)
        return finish_tag(end), Status();
    }
    return fail("the comment is not closed (expected '#}')");
  }

  // Behind "{%": where the contents begin if this is "raw %}", else npos.
  size_t raw_begin(size_t from) const {
    from = skip_space(from);
    if (!rest(from).starts_with("raw")) return std::string_view::npos;
    from = skip_space(from + 3);
    const auto here = rest(from);
    if (here.starts_with("-%}")) return skip_space(from + 3);
    return here.starts_with("%}") ? from + 2 : std::string_view::npos;
  }

  Status raw_block(size_t begin) {
    const int opening_line = line_;
    at_line_start_ = source_[begin - 1] == '\n';
    advance(begin);
    for (size_t open = source_.find("{%", at_); open != std::string::npos;
         open = source_.find("{%", open + 1)) {
      size_t i = open + 2;
      const char sign = i < source_.size() && (source_[i] == '-' || source_[i] == '+') ? source_[i++] : 0;
      i = skip_space(i);
      if (!rest(i).starts_with("endraw")) continue;
      const size_t end = end_tag(skip_space(i + 6), "%}", true);
      if (end == std::string_view::npos) continue;
      push_text(open, sign, false);
      return finish_tag(end), Status();
    }
    return syntax_error(opening_line, "the raw block is not closed (expected '{% endraw %}')");
  }

  // --- inside of tags
  // ----------------------------------------------------------------------------------------------

  Status inside_tag(bool is_print) {
    std::string open_brackets;
    while (at_ < source_.size()) {
      if (open_brackets.empty()) {
        const size_t end = end_tag(at_, is_print ? "}}" : "%}", !is_print);
        if (end != std::string_view::npos) {
          push(is_print ? TokenKind::kPrintEnd : TokenKind::kBlockEnd);
          return finish_tag(end), Status();
        }
      }
      if (const size_t next = skip_space(at_); next != at_) {
        advance(next);
        continue;
      }
      const char c = source_[at_];
      if (is_ascii_digit(c)) {
        TERN_TRY(number());
      } else if (c == '"' || c == '\'') {
        TERN_TRY(string());
      } else if (size_t next = at_; is_name_character(next_code_point(source_, &next))) {
        TERN_TRY(name());
      } else {
        TERN_TRY(op(&open_brackets));
      }
    }
    return fail(is_print ? "the template ends inside '{{' (expected '}}')"
                         : "the template ends inside '{%' (expected '%}')");
  }

  Status name() {
    size_t end = at_;
    for (size_t next = end; end < source_.size(); end = next)
      if (!is_name_character(next_code_point(source_, &next))) break;
    const auto text = rest(at_).substr(0, end - at_);
    if (!is_identifier(text)) return fail("invalid character in a name");
    push(TokenKind::kName, std::string(text));
    advance(end);
    return {};
  }

  Status op(std::string* open_brackets) {
    static constexpr std::string_view kOperators[] = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                      "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                      ">",  "<",  "=",  ".",  ":",  "|",  ",", ";"};
    for (const auto text : kOperators) {
      if (!looking_at(text)) continue;
      const char c = text[0];
      if (c == '(' || c == '[' || c == '{') open_brackets->push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
      if (c == ')' || c == ']' || c == '}') {
        if (open_brackets->empty()) return fail(fmt::format("unexpected '{}'", c));
        if (open_brackets->back() != c)
          return fail(fmt::format("unexpected '{}', expected '{}'", c, open_brackets->back()));
        open_brackets->pop_back();
      }
      push(TokenKind::kOperator, std::string(text));
      advance(at_ + text.size());
      return {};
    }
    size_t next = at_;
    next_code_point(source_, &next);
    return fail(fmt::format("unexpected character '{}'", rest(at_).substr(0, next - at_)));
  }

  // The end of a run of digits that single underscores may part, or `from` where there is no digit.
  template <class IsDigit>
  size_t digits(size_t from, IsDigit&& is_digit_of_base) const {
    size_t end = from;
    while (end < source_.size()) {
      size_t next = end;
      if (source_[next] == '_' && end > from) ++next;
      if (next >= source_.size() || !is_digit_of_base(source_[next])) break;
      end = next + 1;
    }
    return end;
  }

  Status number() {
    const bool behind_dot = at_ > 0 && source_[at_ - 1] == '.';  // a.0.1 holds two integers, no float
    const size_t whole_end = digits(at_, is_ascii_digit);
    size_t end = whole_end;
    if (!behind_dot) {
      if (end < source_.size() && source_[end] == '.') {
        if (const size_t fraction = digits(end + 1, is_ascii_digit); fraction > end + 1) end = fraction;
      }
      if (end < source_.size() && (source_[end] == 'e' || source_[end] == 'E')) {
        size_t exponent = end + 1;
        if (exponent < source_.size() && (source_[exponent] == '+' || source_[exponent] == '-')) ++exponent;
        if (const size_t exponent_end = digits(exponent, is_ascii_digit); exponent_end > exponent)
          end = exponent_end;
      }
    }
    if (end != whole_end) {
      std::string text(rest(at_).substr(0, end - at_));
      std::erase(text, '_');
      push(TokenKind::kFloat).number = parse_float(text).value_or(0);
      advance(end);
      return {};
    }
    return integer();
  }

  Status integer() {
    size_t end = at_;
    const char mark = at_ + 1 < source_.size() ? static_cast<char>(source_[at_ + 1] | 0x20) : '\0';
    const auto with_prefix = [&](auto is_digit_of_base) {
      const size_t begin = at_ + 2 + (at_ + 2 < source_.size() && source_[at_ + 2] == '_' ? 1 : 0);
      const size_t stop = digits(begin, is_digit_of_base);
      return stop > begin ? stop : at_;
    };
    if (source_[at_] == '0') {
      if (mark == 'b') end = with_prefix([](char c) { return c == '0' || c == '1'; });
      if (mark == 'o') end = with_prefix([](char c) { return c >= '0' && c <= '7'; });
      if (mark == 'x')
        end =
            with_prefix([](char c) { return is_ascii_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f'); });
      if (end == at_) end = digits(at_, [](char c) { return c == '0'; });
    } else {
      end = digits(at_, is_ascii_digit);
    }
    bool overflow = false;
    const auto value = parse_int(rest(at_).substr(0, end - at_), 0, &overflow);
    if (overflow || !value) return fail("an integer literal needs more than 64 bits");
    push(TokenKind::kInteger).integer = *value;
    advance(end);
    return {};
  }

  // --- strings
  // -----------------------------------------------------------------------------------------------------

  Status string() {
    const char quote = source_[at_];
    size_t end = at_ + 1;
    while (end < source_.size() && source_[end] != quote) end += source_[end] == '\\' ? 2 : 1;
    if (end >= source_.size()) return fail("the string is not closed");
    std::string out;
    size_t i = at_ + 1;
    while (i < end) {
      if (source_[i] != '\\') {
        out.push_back(source_[i++]);
        continue;
      }
      TERN_TRY(escape(end, &i, &out));
    }
    push(TokenKind::kString, std::move(out));
    advance(end + 1);
    return {};
  }

  // Reads `count` hexadecimal digits, or up to `count` octal ones; -1 where they are lacking.
  int64_t digits_value(size_t end, size_t* i, int count, int base) const {
    int64_t value = 0;
    int read = 0;
    for (; read < count && *i < end; ++read, ++*i) {
      const char c = source_[*i];
      const int digit = is_ascii_digit(c)                        ? c - '0'
                        : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10
                                                                 : 99;
      if (digit >= base) break;
      value = value * base + digit;
    }
    return base == 16 && read < count ? -1 : value;
  }

  // One escape at `*i` (a backslash), by the rules of Python's string literals.
  Status escape(size_t end, size_t* i, std::string* out) {
    const char c = source_[*i + 1];
    static constexpr std::string_view kLetters = "abfnrtv\\'\"", kMeanings = "\a\b\f\n\r\t\v\\'\"";
    if (const size_t known = kLetters.find(c); known != std::string_view::npos) {
      out->push_back(kMeanings[known]);
      *i += 2;
      return {};
    }
    if (c == '\n') return *i += 2, Status();  // a line that goes on
    int64_t value = -1;
    if (c >= '0' && c <= '7') {
      ++*i;
      value = digits_value(end, i, 3, 8);
    } else if (c == 'x' || c == 'u' || c == 'U') {
      *i += 2;
      value = digits_value(end, i, c == 'x' ? 2 : c == 'u' ? 4 : 8, 16);
      if (value < 0) return fail("a string has a truncated escape");
    } else if (c == 'N') {
      return fail(
          "a string escapes a character by name (\\N{...}), which is not supported; write it as it is");
    } else if (static_cast<unsigned char>(c) >= 0x80) {
      // jinja2 turns non-ASCII characters into escapes before it resolves escapes, so that this backslash
      // escapes the backslash of one.
      ++*i;
      const uint32_t character = next_code_point(source_, i);
      *out += character < 0x100     ? fmt::format("\\x{:02x}", character)
              : character < 0x10000 ? fmt::format("\\u{:04x}", character)
                                    : fmt::format("\\U{:08x}", character);
      return {};
    } else {
      out->push_back('\\');
      ++*i;
      return {};
    }
    if (value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
      return fail("a string escapes half a surrogate pair or a number that is no character");
    append_code_point(static_cast<uint32_t>(value), out);
    return {};
  }

  std::string source_;
  size_t at_ = 0;
  int line_ = 1;
  bool at_line_start_ = true;  // whether the text before `at_` ended a line
  std::vector<Token> tokens_;
};

// "\r\n" and "\r" become "\n"; one newline at the end is dropped.
std::string normalize_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] != '\r') {
      out.push_back(source[i]);
    } else {
      out.push_back('\n');
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    }
  }
  if (out.ends_with('\n')) out.pop_back();
  return out;
}

}  // namespace

std::string on_one_line(std::string_view message) {
  return is_plain_text(message) ? std::string(message) : printable(message, 1000);
}

Error syntax_error(int line, std::string_view message) {
  return make_error(ErrorCode::kCorrupt, "chat template line {}: {}", line, on_one_line(message));
}

Result<std::vector<Token>> tokenize(std::string_view source) {
  if (source.size() > kMaxSourceBytes) {
    return make_error(ErrorCode::kUnsupported, "chat template: {} bytes, more than the limit of {}",
                      source.size(), kMaxSourceBytes);
  }
  if (!is_valid_utf8(source)) return make_error(ErrorCode::kCorrupt, "chat template: the text is not UTF-8");
  return Lexer(normalize_newlines(source)).run();
}

}  // namespace tern::jinja
