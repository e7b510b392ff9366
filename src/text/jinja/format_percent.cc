// SPDX-License-Identifier: MIT
// Python's "..." % values, and the digits both ways of formatting share.
#include <algorithm>
#include <cmath>

#include "text/jinja/format.h"
#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {

std::string integer_digits(uint64_t magnitude, char type) {
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

int64_t read_number(std::string_view text, size_t* at) {
  int64_t value = -1;
  for (; *at < text.size() && text[*at] >= '0' && text[*at] <= '9'; ++*at)
    value = std::min<int64_t>((value < 0 ? 0 : value) * 10 + (text[*at] - '0'), INT64_MAX / 100);
  return value;
}

std::string_view first_characters(std::string_view text, int64_t count) {
  return text.substr(0, byte_offset(text, count));
}

namespace {

class PercentFormatter {
 public:
  PercentFormatter(Runtime& runtime, const Value& format, const Value& values)
      : runtime_(runtime), source_(format.bytes()), markup_(format.string().markup), values_(values) {}

  Result<std::string> run() {
    while (at_ < source_.size()) {
      if (source_[at_] != '%') {
        out_.push_back(source_[at_++]);
        continue;
      }
      ++at_;
      TERN_TRY(field());
    }
    // Python lets one value that has a [ ] go unused, strings aside, but no other value that is left over.
    const bool may_stay = values_.is(Kind::kDict) || values_.is(Kind::kList) || values_.is(Kind::kRange) ||
                          values_.is_undefined();
    if (used_ < count() && !may_stay) return runtime_.fail("not all values were used by the % format");
    TERN_TRY(runtime_.allow_text(out_.size()));
    return std::move(out_);
  }

 private:
  struct Field {
    bool left = false, zero = false, plus = false, blank = false, alternate = false;
    int64_t width = 0, precision = -1;
    char type = 0;
    std::string sign, prefix, body;
    bool is_number = true;
  };

  size_t count() const { return values_.is(Kind::kTuple) ? values_.list().items.size() : 1; }

  Result<Value> next() {
    if (used_ >= count()) return runtime_.fail("not enough values for the % format");
    ++used_;
    return values_.is(Kind::kTuple) ? values_.list().items[used_ - 1] : values_;
  }

  // "(key)": the value of that key, or missing where there is no key.
  Result<Value> keyed_value() {
    if (at_ >= source_.size() || source_[at_] != '(') return Value();
    size_t close = ++at_;
    for (int open = 1; close < source_.size(); ++close) {
      open += source_[close] == '(' ? 1 : source_[close] == ')' ? -1 : 0;
      if (open == 0) break;
    }
    if (close >= source_.size()) return runtime_.fail("a % format has an unclosed key");
    if (!values_.is(Kind::kDict)) return runtime_.fail("a % format with keys needs a dict");
    const Value key = runtime_.view(source_.substr(at_, close - at_));
    TERN_TRY_ASSIGN(const Value* found, runtime_.find(values_.dict(), key));
    if (found == nullptr)
      return runtime_.fail("the % format asks for the key '{}', which is missing", key.bytes().substr(0, 80));
    at_ = close + 1;
    return *found;
  }

  Status number(int64_t* into) {
    if (at_ < source_.size() && source_[at_] == '*') {
      ++at_;
      TERN_TRY_ASSIGN(const Value value, next());
      TERN_TRY_ASSIGN(*into, runtime_.integer(value, "a '*' width of a % format"));
      return {};
    }
    *into = std::max<int64_t>(read_number(source_, &at_), 0);
    return {};
  }

  // Flags, width, precision and type.
  Status specification(Field* field) {
    for (; at_ < source_.size() && std::string_view("-0+ #").find(source_[at_]) != std::string_view::npos;
         ++at_) {
      field->left |= source_[at_] == '-';
      field->zero |= source_[at_] == '0';
      field->plus |= source_[at_] == '+';
      field->blank |= source_[at_] == ' ';
      field->alternate |= source_[at_] == '#';
    }
    TERN_TRY(number(&field->width));
    if (field->width < 0) {
      field->left = true;
      field->width = field->width == INT64_MIN ? INT64_MAX : -field->width;
    }
    if (at_ < source_.size() && source_[at_] == '.') {
      ++at_;
      TERN_TRY(number(&field->precision));
      field->precision = std::max<int64_t>(field->precision, 0);
    }
    if (field->width > kMaxFieldWidth || field->precision > kMaxFieldWidth)
      return runtime_.fail("a % format asks for a field of more than {} characters", kMaxFieldWidth);
    while (at_ < source_.size() && (source_[at_] == 'l' || source_[at_] == 'h' || source_[at_] == 'L')) ++at_;
    if (at_ >= source_.size()) return runtime_.fail("a % format ends in the middle of a field");
    field->type = source_[at_++];
    return {};
  }

  Status field() {
    TERN_TRY_ASSIGN(Value value, keyed_value());
    Field field;
    const size_t begin = at_;
    TERN_TRY(specification(&field));
    if (field.type == '%' && at_ == begin + 1 && value.is_missing()) {
      out_.push_back('%');
      return {};
    }
    if (!value.is_missing()) {
      used_ = count();  // a dict that is asked by key counts as used
    } else {
      TERN_TRY_ASSIGN(value, next());
    }
    const std::string_view type(&source_[at_ - 1], 1);
    if (type == "s" || type == "r" || type == "a") {
      TERN_TRY(text(value, &field));
    } else if (type == "c") {
      TERN_TRY(character(value, &field));
    } else if (std::string_view("diuxXo").find(type) != std::string_view::npos) {
      TERN_TRY(integer(value, &field));
    } else if (std::string_view("eEfFgG").find(type) != std::string_view::npos) {
      TERN_TRY(floating(value, &field));
    } else {
      return runtime_.fail("a % format has an unknown conversion");
    }
    return pad(field);
  }

  Status text(const Value& value, Field* field) {
    field->is_number = false;
    if (field->type == 's') {
      TERN_TRY(runtime_.append_str(value, &field->body));
    } else {
      TERN_TRY(runtime_.append_repr(value, &field->body));
    }
    if (field->type == 'a') field->body = ascii(field->body);
    if (markup_ && !(value.is_string() && value.string().markup)) field->body = escape_html(field->body);
    if (field->precision >= 0) field->body = std::string(first_characters(field->body, field->precision));
    return {};
  }

  Status character(const Value& value, Field* field) {
    field->is_number = false;
    if (value.is_string() && value.string().length == 1) {
      field->body = value.bytes();
      return {};
    }
    const int64_t code = value.is_int_like() ? value.as_int() : -1;
    if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
      return runtime_.fail("%c needs one character");
    append_code_point(static_cast<uint32_t>(code), &field->body);
    return {};
  }

  Status integer(const Value& value, Field* field) {
    const bool is_decimal_type = field->type == 'd' || field->type == 'i' || field->type == 'u';
    if (value.is_undefined()) return runtime_.undefined_error(value);
    int64_t number_value = 0;
    if (value.is_int_like()) {
      number_value = value.as_int();
    } else if (is_decimal_type && value.is(Kind::kFloat) && std::fabs(value.as_double()) < 9.2e18) {
      number_value = static_cast<int64_t>(value.as_double());
    } else {
      return runtime_.fail("%{} needs a number of 64 bits, not a {}", field->type, Runtime::type_name(value));
    }
    if (number_value < 0) field->sign.assign(1, '-');
    field->body = integer_digits(magnitude_of(number_value), is_decimal_type ? 'd' : field->type);
    if (field->alternate && !is_decimal_type) field->prefix = {'0', field->type};
    if (static_cast<int64_t>(field->body.size()) < field->precision)
      field->body.insert(0, static_cast<size_t>(field->precision) - field->body.size(), '0');
    return {};
  }

  Status floating(const Value& value, Field* field) {
    if (value.is_undefined()) return runtime_.undefined_error(value);
    if (!value.is_numeric())
      return runtime_.fail("%{} needs a number, not a {}", field->type, Runtime::type_name(value));
    const double number_value = value.as_double();
    if (std::signbit(number_value) && !std::isnan(number_value)) field->sign.assign(1, '-');
    field->body =
        float_digits(std::fabs(number_value), field->type,
                     field->precision < 0 ? 6 : static_cast<int>(field->precision), field->alternate);
    return {};
  }

  Status pad(Field& field) {
    if (field.is_number && field.sign.empty())
      field.sign.append(field.plus || field.blank ? 1 : 0, field.plus ? '+' : ' ');
    const int64_t length =
        count_code_points(field.body) + static_cast<int64_t>(field.sign.size() + field.prefix.size());
    const auto padding = static_cast<size_t>(std::max<int64_t>(field.width - length, 0));
    TERN_TRY(runtime_.step_text(padding + field.body.size()));
    TERN_TRY(runtime_.check_text(out_.size() + padding + field.body.size()));
    const bool zeros = !field.left && field.zero && field.is_number;
    if (!field.left && !zeros) out_.append(padding, ' ');
    out_.append(field.sign).append(field.prefix);
    if (zeros) out_.append(padding, '0');
    out_.append(field.body);
    if (field.left) out_.append(padding, ' ');
    return {};
  }

  // What is not ASCII as escapes, as ascii() writes it.
  static std::string ascii(std::string_view text) {
    std::string out;
    for (size_t at = 0; at < text.size();) {
      const uint32_t c = next_code_point(text, &at);
      if (c < 0x80)
        out.push_back(static_cast<char>(c));
      else if (c < 0x100)
        out += fmt::format("\\x{:02x}", c);
      else if (c < 0x10000)
        out += fmt::format("\\u{:04x}", c);
      else
        out += fmt::format("\\U{:08x}", c);
    }
    return out;
  }

  Runtime& runtime_;
  std::string_view source_;
  bool markup_;
  const Value& values_;
  size_t at_ = 0;
  size_t used_ = 0;
  std::string out_;
};

}  // namespace

Result<Value> Runtime::percent_format(const Value& format, const Value& values) {
  TERN_TRY_ASSIGN(std::string formatted, PercentFormatter(*this, format, values).run());
  return text(std::move(formatted), format.string().markup);
}

}  // namespace tern::jinja
