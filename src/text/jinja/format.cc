// SPDX-License-Identifier: MIT
// Python's two ways of formatting: "..." % values and "...".format(...), with its mini language for numbers.
#include <cmath>

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

constexpr int64_t kMaxWidth = 100'000;  // of one field; the text limits hold besides

// Digits of a magnitude in the base of `type` (d, x, X, o, b).
std::string digits_of(uint64_t magnitude, char type) {
  switch (type) {
    case 'x':
      return fmt::format("{:x}", magnitude);
    case 'X':
      return fmt::format("{:X}", magnitude);
    case 'o':
      return fmt::format("{:o}", magnitude);
    case 'b':
      return fmt::format("{:b}", magnitude);
    default:
      return std::to_string(magnitude);
  }
}

std::string float_digits(double magnitude, char type, int precision, bool alternate) {
  const bool is_upper = type == 'E' || type == 'G' || type == 'F';
  if (std::isnan(magnitude)) return is_upper ? "NAN" : "nan";
  if (std::isinf(magnitude)) return is_upper ? "INF" : "inf";
  const char kind = type == 'e' || type == 'E' || type == 'g' || type == 'G' ? type : 'f';
  const std::string format = fmt::format("{{:{}.{{}}{}}}", alternate ? "#" : "", kind);
  return fmt::format(fmt::runtime(format), magnitude, precision);
}

uint64_t magnitude_of(int64_t value) {
  return value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
}

// Reads digits at `at`; -1 where there is none, an over-large number saturates.
int64_t read_number(std::string_view text, size_t* at) {
  int64_t value = -1;
  for (; *at < text.size() && text[*at] >= '0' && text[*at] <= '9'; ++*at)
    value = std::min<int64_t>((value < 0 ? 0 : value) * 10 + (text[*at] - '0'), INT64_MAX / 100);
  return value;
}

std::string_view first_characters(std::string_view text, int64_t count) {
  return text.substr(0, byte_offset(text, count));
}

void insert_grouping(std::string* digits, char separator, int group) {
  size_t end = digits->find_first_of(".e");
  if (end == std::string::npos) end = digits->size();
  for (size_t at = end; at > static_cast<size_t>(group);) {
    at -= static_cast<size_t>(group);
    digits->insert(at, 1, separator);
  }
}

struct PercentField {
  bool left = false, zero = false, plus = false, blank = false, alternate = false;
  int64_t width = 0, precision = -1;
  char type = 0;
};

}  // namespace

Result<Value> Runtime::percent_format(const Value& format, const Value& arguments) {
  const std::string_view source = format.bytes();
  const bool markup = format.string().markup;
  const bool is_tuple = arguments.is(Kind::kTuple);
  const size_t count = is_tuple ? arguments.list().items.size() : 1;
  size_t used = 0;
  bool used_mapping = false;
  const auto next = [&]() -> Result<Value> {
    if (used >= count) return fail("not enough values for the % format");
    ++used;
    return is_tuple ? arguments.list().items[used - 1] : arguments;
  };
  std::string out;
  for (size_t at = 0; at < source.size();) {
    if (source[at] != '%') {
      out.push_back(source[at++]);
      continue;
    }
    ++at;
    Value keyed;
    if (at < source.size() && source[at] == '(') {
      size_t close = ++at;
      for (int open = 1; close < source.size(); ++close) {
        open += source[close] == '(' ? 1 : source[close] == ')' ? -1 : 0;
        if (open == 0) break;
      }
      if (close >= source.size()) return fail("a % format has an unclosed key");
      if (!arguments.is(Kind::kDict)) return fail("a % format with keys needs a dict");
      const Value key = view(source.substr(at, close - at));
      TERN_TRY_ASSIGN(const Value* found, find(arguments.dict(), key));
      if (found == nullptr) return fail("the % format asks for the key '{}', which is missing", key.bytes());
      keyed = *found;
      used_mapping = true;
      at = close + 1;
    }
    PercentField field;
    for (; at < source.size() && std::string_view("-0+ #").find(source[at]) != std::string_view::npos; ++at) {
      field.left |= source[at] == '-';
      field.zero |= source[at] == '0';
      field.plus |= source[at] == '+';
      field.blank |= source[at] == ' ';
      field.alternate |= source[at] == '#';
    }
    const auto number = [&](int64_t* into) -> Status {
      if (at < source.size() && source[at] == '*') {
        ++at;
        TERN_TRY_ASSIGN(const Value value, next());
        TERN_TRY_ASSIGN(*into, integer(value, "a '*' width of a % format"));
        return {};
      }
      *into = std::max<int64_t>(read_number(source, &at), 0);
      return {};
    };
    TERN_TRY(number(&field.width));
    if (field.width < 0) field.left = true, field.width = field.width == INT64_MIN ? INT64_MAX : -field.width;
    if (at < source.size() && source[at] == '.') {
      ++at;
      TERN_TRY(number(&field.precision));
      field.precision = std::max<int64_t>(field.precision, 0);
    }
    if (field.width > kMaxWidth || field.precision > kMaxWidth)
      return fail("a % format asks for a field of more than {} characters", kMaxWidth);
    while (at < source.size() && (source[at] == 'l' || source[at] == 'h' || source[at] == 'L')) ++at;
    if (at >= source.size()) return fail("a % format ends in the middle of a field");
    field.type = source[at++];
    if (field.type == '%') {
      out.push_back('%');
      continue;
    }
    Value value = keyed;
    if (value.is_missing()) {
      TERN_TRY_ASSIGN(value, next());
    }
    std::string sign, prefix, body;
    bool is_number = true;
    switch (field.type) {
      case 's':
      case 'r':
      case 'a': {
        is_number = false;
        if (field.type == 's') {
          TERN_TRY(append_str(value, &body));
        } else {
          TERN_TRY(append_repr(value, &body));
        }
        if (markup && !(value.is_string() && value.string().markup)) body = escape_html(body);
        if (field.precision >= 0) body = std::string(first_characters(body, field.precision));
        break;
      }
      case 'c': {
        is_number = false;
        if (value.is_string() && value.string().length == 1) {
          body = value.bytes();
        } else if (value.is_int_like() && value.as_int() >= 0 && value.as_int() < 0x110000 &&
                   (value.as_int() < 0xd800 || value.as_int() > 0xdfff)) {
          append_code_point(static_cast<uint32_t>(value.as_int()), &body);
        } else {
          return fail("%c needs one character");
        }
        break;
      }
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': {
        const bool is_decimal_type = field.type == 'd' || field.type == 'i' || field.type == 'u';
        if (value.is_undefined()) return undefined_error(value);
        int64_t integer_value = 0;
        if (value.is_int_like()) {
          integer_value = value.as_int();
        } else if (is_decimal_type && value.is(Kind::kFloat) && std::fabs(value.as_double()) < 9.2e18) {
          integer_value = static_cast<int64_t>(value.as_double());
        } else {
          return fail("%{} needs a number of 64 bits, not a {}", field.type, type_name(value));
        }
        if (integer_value < 0) sign = "-";
        body = digits_of(magnitude_of(integer_value), is_decimal_type ? 'd' : field.type);
        if (field.alternate && !is_decimal_type) prefix = std::string("0") + field.type;
        if (static_cast<int64_t>(body.size()) < field.precision)
          body.insert(0, static_cast<size_t>(field.precision) - body.size(), '0');
        break;
      }
      case 'e':
      case 'E':
      case 'f':
      case 'F':
      case 'g':
      case 'G': {
        if (value.is_undefined()) return undefined_error(value);
        if (!value.is_numeric()) return fail("%{} needs a number, not a {}", field.type, type_name(value));
        const double number_value = value.as_double();
        if (std::signbit(number_value) && !std::isnan(number_value)) sign = "-";
        body = float_digits(std::fabs(number_value), field.type,
                            field.precision < 0 ? 6 : static_cast<int>(field.precision), field.alternate);
        break;
      }
      default:
        return fail("a % format has no conversion '{}'", std::string_view(&source[at - 1], 1));
    }
    if (is_number && sign.empty()) sign = field.plus ? "+" : field.blank ? " " : "";
    const int64_t length = count_code_points(body) + static_cast<int64_t>(sign.size() + prefix.size());
    const auto padding = static_cast<size_t>(std::max<int64_t>(field.width - length, 0));
    TERN_TRY(step(1 + (padding + body.size()) / 16));
    TERN_TRY(check_text(out.size() + padding + body.size()));
    if (!field.left && !(field.zero && is_number)) out.append(padding, ' ');
    out.append(sign).append(prefix);
    if (!field.left && field.zero && is_number) out.append(padding, '0');
    out.append(body);
    if (field.left) out.append(padding, ' ');
  }
  // Python lets one dict or list go unused, but no other value that is left over.
  const bool may_stay = !is_tuple && (arguments.is(Kind::kDict) || arguments.is(Kind::kList));
  if (used < count && !used_mapping && !may_stay) return fail("not all values were used by the % format");
  TERN_TRY(allow_text(out.size()));
  return text(std::move(out), markup);
}

Result<std::string> Runtime::format_spec(const Value& value, std::string_view spec) {
  std::string out;
  if (spec.empty() || !(value.is_string() || value.is_numeric())) {
    if (!spec.empty()) return fail("a {} takes no format specification", type_name(value));
    TERN_TRY(append_str(value, &out));
    return out;
  }
  size_t at = 0;
  std::string fill = " ";
  char align = 0;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t after_fill = 0;
  next_code_point(spec, &after_fill);
  if (after_fill < spec.size() && is_align(spec[after_fill])) {
    fill = spec.substr(0, after_fill);
    align = spec[after_fill];
    at = after_fill + 1;
  } else if (is_align(spec[0])) {
    align = spec[at++];
  }
  const auto take = [&](char c) { return at < spec.size() && spec[at] == c ? (++at, true) : false; };
  char sign_mode = '-';
  if (at < spec.size() && std::string_view("+- ").find(spec[at]) != std::string_view::npos)
    sign_mode = spec[at++];
  const bool alternate = take('#');
  if (take('0') && align == 0) align = '=', fill = "0";
  const int64_t width = std::max<int64_t>(read_number(spec, &at), 0);
  const char grouping = take(',') ? ',' : take('_') ? '_' : '\0';
  int64_t precision = -1;
  if (take('.')) {
    precision = read_number(spec, &at);
    if (precision < 0) return fail("the format '{}' lacks its precision", spec);
  }
  char type = at < spec.size() ? spec[at++] : '\0';
  if (at != spec.size()) return fail("the format '{}' is not one Python knows", spec.substr(0, 80));
  if (width > kMaxWidth || precision > kMaxWidth)
    return fail("a format asks for a field of more than {} characters", kMaxWidth);

  std::string sign, body;
  if (value.is_string()) {
    if ((type != 0 && type != 's') || align == '=' || grouping != 0 || sign_mode != '-')
      return fail("the format '{}' does not fit a str", spec.substr(0, 80));
    TERN_TRY(step_text(value.bytes().size()));
    body = precision >= 0 ? first_characters(value.bytes(), precision) : value.bytes();
  } else {
    const bool float_type =
        type == 'e' || type == 'E' || type == 'f' || type == 'F' || type == 'g' || type == 'G' || type == '%';
    if (value.is_int_like() && !float_type) {
      if (type == 'c' || precision >= 0)
        return fail("the format '{}' does not fit an int", spec.substr(0, 80));
      if (type == 'n') type = 'd';
      if (type != 0 && std::string_view("dxXob").find(type) == std::string_view::npos)
        return fail("the format '{}' does not fit an int", spec.substr(0, 80));
      if (value.as_int() < 0) sign = "-";
      body = digits_of(magnitude_of(value.as_int()), type == 0 ? 'd' : type);
      if (grouping != 0) insert_grouping(&body, grouping, type == 0 || type == 'd' ? 3 : 4);
      if (sign.empty() && sign_mode != '-') sign = sign_mode;
      if (alternate && type != 0 && type != 'd') sign += std::string("0") + type;
    } else {
      double number_value = value.as_double();
      if (type == '%') number_value *= 100;
      if (std::signbit(number_value) && !std::isnan(number_value)) sign = "-";
      const double magnitude = std::fabs(number_value);
      const char kind = type == '%' ? 'f' : type == 'n' ? 'g' : type;
      if (kind == 0 && precision < 0) {
        body = float_repr(magnitude);
      } else if (kind == 0) {
        // Without a type: like 'g', but with at least one digit behind the point.
        body = float_digits(magnitude, 'g', static_cast<int>(std::max<int64_t>(precision, 1)), alternate);
        if (std::isfinite(magnitude) && body.find_first_of(".e") == std::string::npos) {
          // Python switches to the exponent where the digits would fill the whole precision.
          if (static_cast<int64_t>(body.size()) >= std::max<int64_t>(precision, 1)) {
            body = float_digits(magnitude, 'e', static_cast<int>(std::max<int64_t>(precision, 1)) - 1,
                                alternate);
          } else {
            body += ".0";
          }
        }
      } else {
        body = float_digits(magnitude, kind, precision < 0 ? 6 : static_cast<int>(precision), alternate);
      }
      if (type == '%') body += '%';
      if (grouping != 0) insert_grouping(&body, grouping, 3);
      if (sign.empty() && sign_mode != '-') sign = sign_mode;
    }
    if (align == 0) align = '>';
  }
  const int64_t length = count_code_points(body) + static_cast<int64_t>(sign.size());
  const int64_t padding = std::max<int64_t>(width - length, 0);
  const int64_t before = align == '>' || align == '=' ? padding : align == '^' ? padding / 2 : 0;
  if (align == '=' && grouping != 0 && fill == "0" && padding > 0)
    return fail("zero padding together with a thousands separator is not supported in chat templates");
  if (align == '=') out += sign;
  for (int64_t i = 0; i < before; ++i) out += fill;
  if (align != '=') out += sign;
  out += body;
  for (int64_t i = before; i < padding; ++i) out += fill;
  TERN_TRY(step_text(out.size()));
  return out;
}

namespace {

// The end of a replacement field that begins behind a '{': the index of its '}'.
size_t field_end(std::string_view text, size_t at) {
  for (int open = 1; at < text.size(); ++at) {
    open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
    if (open == 0) return at;
  }
  return std::string_view::npos;
}

}  // namespace

Result<std::string> Runtime::brace_format(std::string_view format, const Args& args) {
  std::string out;
  int64_t automatic = 0;  // -1 once explicit numbers were seen
  for (size_t at = 0; at < format.size(); ++at) {
    const char c = format[at];
    if (c != '{' && c != '}') {
      out.push_back(c);
      continue;
    }
    if (at + 1 < format.size() && format[at + 1] == c) {
      out.push_back(c);
      ++at;
      continue;
    }
    const size_t end = c == '{' ? field_end(format, at + 1) : std::string_view::npos;
    if (end == std::string_view::npos) return fail("format(): single '{}' in the format", c);
    std::string_view field = format.substr(at + 1, end - at - 1);
    at = end;
    std::string_view spec;
    const size_t colon = field.find(':');
    if (colon != std::string_view::npos) spec = field.substr(colon + 1), field = field.substr(0, colon);
    char conversion = 0;
    if (field.size() >= 2 && field[field.size() - 2] == '!')
      conversion = field.back(), field.remove_suffix(2);
    if (spec.find_first_of("{}") != std::string_view::npos)
      return fail("format(): nested fields are not supported in chat templates");

    const size_t name_end = std::min(field.find_first_of(".["), field.size());
    const std::string_view name = field.substr(0, name_end);
    Value value;
    size_t digits = 0;
    int64_t position = read_number(name, &digits);
    if (name.empty() || (position >= 0 && digits == name.size())) {
      const bool is_automatic = name.empty();
      if (is_automatic ? automatic < 0 : automatic > 0)
        return fail("format(): automatic and explicit field numbers cannot be mixed");
      if (is_automatic) position = automatic++;
      if (!is_automatic) automatic = -1;
      if (static_cast<size_t>(position) < args.positional.size())
        value = args.positional[static_cast<size_t>(position)];
    } else {
      for (const auto& [key, argument] : args.named)
        if (key == name) value = argument;
    }
    if (value.is_missing()) return fail("format(): there is no value for the field '{}'", name.substr(0, 80));
    for (size_t i = name_end; i < field.size();) {
      const bool is_item = field[i] == '[';
      const size_t stop =
          is_item ? field.find(']', i) : std::min(field.find_first_of(".[", i + 1), field.size());
      if (stop == std::string_view::npos || (!is_item && field[i] != '.'))
        return fail("format(): the field '{}' is malformed", field.substr(0, 80));
      const Value key = view(field.substr(i + 1, stop - i - 1));
      size_t key_digits = 0;
      const int64_t number = read_number(key.bytes(), &key_digits);
      const bool is_number = number >= 0 && key_digits == key.bytes().size();
      TERN_TRY_ASSIGN(
          value, is_item ? get_item(value, is_number ? Value::integer(number) : key) : get_attr(value, key));
      i = is_item ? stop + 1 : stop;
    }
    if (conversion == 'r' || conversion == 'a') {
      std::string repr;
      TERN_TRY(append_repr(value, &repr));
      value = text(std::move(repr));
    } else if (conversion == 's') {
      TERN_TRY_ASSIGN(value, str_value(value));
    } else if (conversion != 0) {
      return fail("format(): unknown conversion '!{}'", std::string_view(&conversion, 1));
    }
    TERN_TRY_ASSIGN(const std::string formatted, format_spec(value, spec));
    TERN_TRY(check_text(out.size() + formatted.size()));
    out += formatted;
  }
  TERN_TRY(allow_text(out.size()));
  return out;
}

}  // namespace tern::jinja
