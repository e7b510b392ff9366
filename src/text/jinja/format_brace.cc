// SPDX-License-Identifier: MIT
// Python's "...".format(...) with its mini language for strings and numbers.
#include <algorithm>
#include <cmath>
#include <optional>

#include "text/jinja/format.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

// [[fill]align][sign][#][0][width][grouping][.precision][type]
struct Spec {
  std::string fill = std::string(1, ' ');
  char align = 0, sign = '-', grouping = 0, type = 0;
  bool alternate = false;
  int64_t width = 0, precision = -1;
};

bool is_align(char c) { return c == '<' || c == '>' || c == '^' || c == '='; }

// Nothing where the specification is malformed.
std::optional<Spec> parse_spec(std::string_view text) {
  Spec spec;
  size_t at = 0, after_fill = 0;
  next_code_point(text, &after_fill);
  if (after_fill < text.size() && is_align(text[after_fill])) {
    spec.fill = text.substr(0, after_fill);
    spec.align = text[after_fill];
    at = after_fill + 1;
  } else if (is_align(text[0])) {
    spec.align = text[at++];
  }
  const auto take = [&](char c) { return at < text.size() && text[at] == c ? (++at, true) : false; };
  if (at < text.size() && std::string_view("+- ").find(text[at]) != std::string_view::npos)
    spec.sign = text[at++];
  spec.alternate = take('#');
  if (take('0') && spec.align == 0) spec.align = '=', spec.fill.assign(1, '0');
  spec.width = std::max<int64_t>(read_number(text, &at), 0);
  spec.grouping = take(',') ? ',' : take('_') ? '_' : '\0';
  if (take('.')) {
    spec.precision = read_number(text, &at);
    if (spec.precision < 0) return std::nullopt;
  }
  if (at < text.size()) spec.type = text[at++];
  if (at != text.size()) return std::nullopt;
  return spec;
}

void insert_grouping(std::string* digits, char separator, size_t group) {
  size_t end = digits->find_first_of(".e");
  if (end == std::string::npos) end = digits->size();
  for (size_t at = end; at > group;) {
    at -= group;
    digits->insert(at, 1, separator);
  }
}

// Sign and digits of an int; false where the specification does not fit one.
bool format_integer(int64_t value, const Spec& spec, std::string* sign, std::string* body) {
  if (spec.precision >= 0) return false;
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff) || spec.sign != '-' ||
        spec.grouping != 0)
      return false;
    append_code_point(static_cast<uint32_t>(value), body);
    return true;
  }
  const char type = spec.type == 0 || spec.type == 'n' ? 'd' : spec.type;
  if (std::string_view("dxXob").find(type) == std::string_view::npos) return false;
  if (spec.grouping == ',' && type != 'd') return false;
  *body = integer_digits(magnitude_of(value), type);
  if (spec.grouping != 0) insert_grouping(body, spec.grouping, type == 'd' ? 3 : 4);
  if (value < 0)
    sign->assign(1, '-');
  else if (spec.sign != '-')
    sign->assign(1, spec.sign);
  if (spec.alternate && type != 'd') {
    sign->push_back('0');
    sign->push_back(type);
  }
  return true;
}

// A float without a type: like 'g', but with at least one digit behind the point.
std::string general_digits(double magnitude, const Spec& spec) {
  if (spec.precision < 0) return float_repr(magnitude);
  const int precision = static_cast<int>(std::max<int64_t>(spec.precision, 1));
  std::string body = float_digits(magnitude, 'g', precision, spec.alternate);
  if (!std::isfinite(magnitude) || body.find_first_of(".e") != std::string::npos) return body;
  // Python goes over to the exponent where the digits would fill the whole precision.
  if (static_cast<int>(body.size()) >= precision)
    return float_digits(magnitude, 'e', precision - 1, spec.alternate);
  return body + ".0";
}

bool format_float(double value, const Spec& spec, std::string* sign, std::string* body) {
  if (spec.type != 0 && std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos) return false;
  if (spec.type == '%') value *= 100;
  const double magnitude = std::fabs(value);
  if (spec.type == 0) {
    *body = general_digits(magnitude, spec);
  } else {
    const char type = spec.type == '%' ? 'f' : spec.type == 'n' ? 'g' : spec.type;
    *body = float_digits(magnitude, type, spec.precision < 0 ? 6 : static_cast<int>(spec.precision),
                         spec.alternate);
  }
  if (spec.grouping != 0 && std::isfinite(value)) insert_grouping(body, spec.grouping, 3);
  if (spec.type == '%') *body += '%';
  if (std::signbit(value) && !std::isnan(value))
    sign->assign(1, '-');
  else if (spec.sign != '-')
    sign->assign(1, spec.sign);
  return true;
}

// The end of a replacement field that begins behind a '{': the index of its '}'.
size_t field_end(std::string_view text, size_t at) {
  for (int open = 1; at < text.size(); ++at) {
    open += text[at] == '{' ? 1 : text[at] == '}' ? -1 : 0;
    if (open == 0) return at;
  }
  return std::string_view::npos;
}

class BraceFormatter {
 public:
  BraceFormatter(Runtime& runtime, std::string_view format, const Args& args)
      : runtime_(runtime), format_(format), args_(args) {}

  Result<std::string> run() {
    for (size_t at = 0; at < format_.size(); ++at) {
      const char c = format_[at];
      const bool is_brace = c == '{' || c == '}';
      if (!is_brace || (at + 1 < format_.size() && format_[at + 1] == c)) {
        out_.push_back(c);
        at += is_brace ? 1 : 0;
        continue;
      }
      const size_t end = c == '{' ? field_end(format_, at + 1) : std::string_view::npos;
      if (end == std::string_view::npos) return runtime_.fail("format(): single '{}' in the format", c);
      TERN_TRY(field(format_.substr(at + 1, end - at - 1)));
      at = end;
    }
    TERN_TRY(runtime_.allow_text(out_.size()));
    return std::move(out_);
  }

 private:
  // name[.attribute or [key]]...[!conversion][:specification]
  Status field(std::string_view field) {
    std::string_view spec;
    const size_t colon = field.find(':');
    if (colon != std::string_view::npos) {
      spec = field.substr(colon + 1);
      field = field.substr(0, colon);
    }
    char conversion = 0;
    if (field.size() >= 2 && field[field.size() - 2] == '!') {
      conversion = field.back();
      field.remove_suffix(2);
    }
    if (spec.find_first_of("{}") != std::string_view::npos)
      return runtime_.fail("format(): nested fields are not supported in chat templates");
    const size_t name_end = std::min(field.find_first_of(".["), field.size());
    TERN_TRY_ASSIGN(Value value, first(field.substr(0, name_end)));
    TERN_TRY_ASSIGN(value, follow(value, field.substr(name_end)));
    if (conversion == 'r') {
      std::string repr;
      TERN_TRY(runtime_.append_repr(value, &repr));
      value = runtime_.text(std::move(repr));
    } else if (conversion == 's') {
      TERN_TRY_ASSIGN(value, runtime_.str_value(value));
    } else if (conversion != 0) {
      return runtime_.fail("format(): unknown conversion '!{}'", conversion);
    }
    TERN_TRY_ASSIGN(const std::string formatted, runtime_.format_spec(value, spec));
    TERN_TRY(runtime_.check_text(out_.size() + formatted.size()));
    out_ += formatted;
    return {};
  }

  // The argument a field names: by number, by name, or the next one.
  Result<Value> first(std::string_view name) {
    size_t digits = 0;
    int64_t position = read_number(name, &digits);
    if (!name.empty() && (position < 0 || digits != name.size())) {
      for (const auto& [key, argument] : args_.named)
        if (key == name) return argument;
      return runtime_.fail("format(): there is no value for the field '{}'", name.substr(0, 80));
    }
    const bool is_automatic = name.empty();
    if (is_automatic ? automatic_ < 0 : automatic_ > 0)
      return runtime_.fail("format(): automatic and explicit field numbers cannot be mixed");
    if (is_automatic) position = automatic_++;
    if (!is_automatic) automatic_ = -1;
    if (static_cast<size_t>(position) >= args_.positional.size())
      return runtime_.fail("format(): there is no value number {}", position);
    return args_.positional[static_cast<size_t>(position)];
  }

  // Attributes and items behind the name.
  Result<Value> follow(Value value, std::string_view path) {
    while (!path.empty()) {
      const bool is_item = path[0] == '[';
      const size_t stop = is_item ? path.find(']') : std::min(path.find_first_of(".[", 1), path.size());
      if (stop == std::string_view::npos || stop <= 1 || (!is_item && path[0] != '.'))
        return runtime_.fail("format(): a field is malformed");
      const Value key = runtime_.view(path.substr(1, stop - 1));
      size_t digits = 0;
      const int64_t number = read_number(key.bytes(), &digits);
      const bool is_number = number >= 0 && digits == key.bytes().size();
      TERN_TRY_ASSIGN(value, is_item ? runtime_.get_item(value, is_number ? Value::integer(number) : key)
                                     : runtime_.get_attr(value, key));
      path.remove_prefix(is_item ? stop + 1 : stop);
    }
    return value;
  }

  Runtime& runtime_;
  std::string_view format_;
  const Args& args_;
  int64_t automatic_ = 0;  // the next automatic number; -1 once an explicit number was seen
  std::string out_;
};

}  // namespace

Result<std::string> Runtime::format_spec(const Value& value, std::string_view text) {
  std::string out;
  if (text.empty()) {
    TERN_TRY(append_str(value, &out));
    return out;
  }
  const auto parsed = parse_spec(text);
  if (!parsed) return fail("the format '{}' is not one Python knows", text.substr(0, 80));
  Spec spec = *parsed;
  if (spec.width > kMaxFieldWidth || spec.precision > kMaxFieldWidth)
    return fail("a format asks for a field of more than {} characters", kMaxFieldWidth);
  std::string sign, body;
  bool fits = false;
  if (value.is_string()) {
    TERN_TRY(step_text(value.bytes().size()));
    fits = (spec.type == 0 || spec.type == 's') && spec.align != '=' && spec.grouping == 0 &&
           spec.sign == '-' && !spec.alternate;
    body = spec.precision >= 0 ? first_characters(value.bytes(), spec.precision) : value.bytes();
  } else if (value.is_numeric()) {
    const bool as_float =
        value.is(Kind::kFloat) ||
        (spec.type != 0 && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos);
    fits = as_float ? format_float(value.as_double(), spec, &sign, &body)
                    : format_integer(value.as_int(), spec, &sign, &body);
    if (spec.align == 0) spec.align = '>';
  }
  if (!fits) return fail("the format '{}' does not fit a {}", text.substr(0, 80), type_name(value));
  const int64_t length = count_code_points(body) + static_cast<int64_t>(sign.size());
  const int64_t padding = std::max<int64_t>(spec.width - length, 0);
  if (spec.align == '=' && spec.grouping != 0 && spec.fill == "0" && padding > 0)
    return fail("zero padding together with a thousands separator is not supported in chat templates");
  const int64_t before = spec.align == '>' || spec.align == '=' ? padding
                         : spec.align == '^'                    ? padding / 2
                                                                : 0;
  if (spec.align == '=') out += sign;
  for (int64_t i = 0; i < before; ++i) out += spec.fill;
  if (spec.align != '=') out += sign;
  out += body;
  for (int64_t i = before; i < padding; ++i) out += spec.fill;
  TERN_TRY(step_text(out.size()));
  return out;
}

Result<std::string> Runtime::brace_format(std::string_view format, const Args& args) {
  return BraceFormatter(*this, format, args).run();
}

}  // namespace tern::jinja
