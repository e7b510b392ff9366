// SPDX-License-Identifier: MIT
// How values read as text: str() and repr() of Python, and numbers in both directions.
#include <charconv>
#include <cmath>

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

void append_string_repr(std::string_view text, std::string* out) {
  const bool double_quoted =
      text.find('\'') != std::string_view::npos && text.find('"') == std::string_view::npos;
  const char quote = double_quoted ? '"' : '\'';
  out->push_back(quote);
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, &at);
    if (c == static_cast<uint32_t>(quote) || c == '\\') {
      out->push_back('\\');
      out->push_back(static_cast<char>(c));
    } else if (c == '\n') {
      out->append("\\n");
    } else if (c == '\r') {
      out->append("\\r");
    } else if (c == '\t') {
      out->append("\\t");
    } else if (is_printable(c)) {
      out->append(text.substr(begin, at - begin));
    } else if (c < 0x100) {
      fmt::format_to(std::back_inserter(*out), "\\x{:02x}", c);
    } else if (c < 0x10000) {
      fmt::format_to(std::back_inserter(*out), "\\u{:04x}", c);
    } else {
      fmt::format_to(std::back_inserter(*out), "\\U{:08x}", c);
    }
  }
  out->push_back(quote);
}

// `text` without white space around, non-ASCII digits as ASCII, and underscores between digits removed;
// nothing where Python would not take it.
std::optional<std::string> plain_number(std::string_view text) {
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, &at);
    const int digit = decimal_value(c);
    if (digit >= 0) {
      out.push_back(static_cast<char>('0' + digit));
    } else if (is_space(c)) {
      out.push_back(' ');
    } else if (c < 0x80) {
      out.push_back(static_cast<char>(c));
    } else {
      return std::nullopt;
    }
  }
  const size_t first = out.find_first_not_of(' ');
  if (first == std::string::npos) return std::nullopt;
  out = out.substr(first, out.find_last_not_of(' ') + 1 - first);
  return out;
}

bool is_alnum_ascii(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// Takes single underscores between two alphanumerics away; false where one stands elsewhere.
bool remove_underscores(std::string* text, bool digits_only) {
  std::string out;
  const auto fits = [&](char c) { return digits_only ? c >= '0' && c <= '9' : is_alnum_ascii(c); };
  for (size_t i = 0; i < text->size(); ++i) {
    if ((*text)[i] != '_') {
      out.push_back((*text)[i]);
    } else if (i == 0 || i + 1 == text->size() || !fits((*text)[i - 1]) || !fits((*text)[i + 1])) {
      return false;
    }
  }
  *text = std::move(out);
  return true;
}

}  // namespace

std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::string text = fmt::format("{}", value);  // shortest digits; same exponent limits as Python (-4, 16)
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::optional<int64_t> parse_int(std::string_view text, int64_t base, bool* overflow) {
  *overflow = false;
  auto plain = plain_number(text);
  if (!plain || base < 0 || base == 1 || base > 36) return std::nullopt;
  std::string digits = std::move(*plain);
  bool negative = false;
  if (digits[0] == '+' || digits[0] == '-') {
    negative = digits[0] == '-';
    digits.erase(0, 1);
  }
  if (digits.size() > 1 && digits[0] == '0') {
    const char mark = static_cast<char>(digits[1] | 0x20);
    const int64_t marked = mark == 'x' ? 16 : mark == 'o' ? 8 : mark == 'b' ? 2 : 0;
    if (marked != 0 && (base == 0 || base == marked)) {
      base = marked;
      digits.erase(0, 2);
      if (!digits.empty() && digits[0] == '_') digits.erase(0, 1);
    }
  }
  if (!remove_underscores(&digits, false) || digits.empty()) return std::nullopt;
  if (base == 0) {
    if (digits[0] == '0' && digits.find_first_not_of('0') != std::string::npos) return std::nullopt;
    base = 10;
  }
  uint64_t magnitude = 0;
  for (const char c : digits) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : is_alnum_ascii(c) ? (c | 0x20) - 'a' + 10 : 99;
    if (digit >= base) return std::nullopt;
    if (__builtin_mul_overflow(magnitude, static_cast<uint64_t>(base), &magnitude) ||
        __builtin_add_overflow(magnitude, static_cast<uint64_t>(digit), &magnitude) ||
        magnitude > uint64_t{INT64_MAX} + (negative ? 1 : 0)) {
      *overflow = true;
      magnitude = 0;
    }
  }
  return static_cast<int64_t>(negative ? 0 - magnitude : magnitude);
}

std::optional<double> parse_float(std::string_view text) {
  auto plain = plain_number(text);
  if (!plain || !remove_underscores(&*plain, true)) return std::nullopt;
  std::string_view digits = *plain;
  bool negative = false;
  if (!digits.empty() && (digits[0] == '+' || digits[0] == '-')) {
    negative = digits[0] == '-';
    digits.remove_prefix(1);
  }
  std::string lower;
  for (const char c : digits) lower.push_back(c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c);
  double value = 0;
  if (lower == "inf" || lower == "infinity") {
    value = HUGE_VAL;
  } else if (lower == "nan") {
    value = std::nan("");
  } else {
    if (lower.empty() || (lower[0] != '.' && (lower[0] < '0' || lower[0] > '9'))) return std::nullopt;
    const auto [end, error] = std::from_chars(lower.data(), lower.data() + lower.size(), value);
    if (end != lower.data() + lower.size() || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc::result_out_of_range) {
      // from_chars leaves the value alone; Python gives inf or 0.0 by the sign of the exponent.
      const size_t e = lower.find('e');
      const bool small = e != std::string::npos ? lower[e + 1] == '-' : lower[0] == '.' || lower[0] == '0';
      value = small ? 0.0 : HUGE_VAL;
    }
  }
  return negative ? -value : value;
}

Status Runtime::append_str(const Value& value, std::string* out) {
  if (value.is_undefined() || value.is_missing()) return {};
  if (value.is_string()) {
    TERN_TRY(check_text(out->size() + value.bytes().size()));
    TERN_TRY(step_text(value.bytes().size()));
    out->append(value.bytes());
    return {};
  }
  return append_repr(value, out);
}

Result<std::string_view> Runtime::str(const Value& value) {
  TERN_TRY_ASSIGN(const Value text, str_value(value));
  return text.bytes();
}

Result<Value> Runtime::str_value(const Value& value) {
  if (value.is_string()) return value;
  std::string out;
  TERN_TRY(append_str(value, &out));
  return text(std::move(out));
}

Status Runtime::append_items(const std::vector<Value>& items, Kind kind, std::string* out, int depth) {
  out->append(kind == Kind::kTuple ? "(" : "[");
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out->append(", ");
    TERN_TRY(append_repr(items[i], out, depth + 1));
  }
  if (kind == Kind::kTuple && items.size() == 1) out->push_back(',');
  out->append(kind == Kind::kTuple ? ")" : "]");
  return {};
}

Status Runtime::append_pairs(const Dict& dict, std::string* out, int depth) {
  out->push_back('{');
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out->append(", ");
    TERN_TRY(append_repr(dict.items[i].first, out, depth + 1));
    out->append(": ");
    TERN_TRY(append_repr(dict.items[i].second, out, depth + 1));
  }
  out->push_back('}');
  return {};
}

// Collections that are neither list nor tuple nor dict.
Status Runtime::append_special_repr(const Value& value, std::string* out, int depth) {
  if (value.is(Kind::kDictView)) {
    const auto part = value.as<DictView>().part;
    out->append(part == DictView::Part::kKeys     ? "dict_keys("
                : part == DictView::Part::kValues ? "dict_values("
                                                  : "dict_items(");
    TERN_TRY_ASSIGN(const std::vector<Value> elements, iterate(value));
    TERN_TRY(append_items(elements, Kind::kList, out, depth));
    out->push_back(')');
  } else if (value.is(Kind::kRange)) {
    const auto& range = value.as<Range>();
    fmt::format_to(std::back_inserter(*out), "range({}, {}", range.start, range.stop);
    if (range.step != 1) fmt::format_to(std::back_inserter(*out), ", {}", range.step);
    out->push_back(')');
  } else if (value.is(Kind::kNamespace)) {
    out->append("<Namespace ");
    TERN_TRY(append_pairs(value.as<Namespace>().attributes, out, depth));
    out->push_back('>');
  } else {
    // Python would print an address, which no prompt can mean.
    return fail("a {} cannot be printed{}", type_name(value),
                value.is(Kind::kIterator) ? "; pass it through |list or |join" : "");
  }
  return {};
}

Status Runtime::append_repr(const Value& value, std::string* out, int depth) {
  if (depth > limits_.depth) return depth_error();
  TERN_TRY(step());
  TERN_TRY(check_text(out->size()));
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
      out->append("Undefined");
      return {};
    case Kind::kNone:
      out->append("None");
      return {};
    case Kind::kBool:
      out->append(value.as_bool() ? "True" : "False");
      return {};
    case Kind::kInt:
      fmt::format_to(std::back_inserter(*out), "{}", value.as_int());
      return {};
    case Kind::kFloat:
      out->append(float_repr(value.as_double()));
      return {};
    case Kind::kString:
      TERN_TRY(step_text(value.bytes().size()));
      if (value.string().markup) out->append("Markup(");
      append_string_repr(value.bytes(), out);
      if (value.string().markup) out->push_back(')');
      return {};
    case Kind::kList:
    case Kind::kTuple:
      return append_items(value.list().items, value.kind(), out, depth);
    case Kind::kDict:
      return append_pairs(value.dict(), out, depth);
    default:
      return append_special_repr(value, out, depth);
  }
}

}  // namespace tern::jinja
