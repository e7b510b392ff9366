// SPDX-License-Identifier: MIT
// The binary operators: integers of 64 bits (overflow is an error, where Python would go on), floats, and
// what Python lets + and * do with strings and lists.
#include <cmath>

#include "text/jinja/runtime.h"

namespace tern::jinja {
namespace {

std::string_view op_name(char op) {
  switch (op) {
    case '+':
      return "+";
    case '-':
      return "-";
    case '*':
      return "*";
    case '/':
      return "/";
    case 'f':
      return "//";
    case '%':
      return "%";
    default:
      return "**";
  }
}

}  // namespace

Result<Value> Runtime::int_binary(char op, int64_t a, int64_t b) {
  int64_t result = 0;
  bool overflow = false;
  switch (op) {
    case '+':
      overflow = __builtin_add_overflow(a, b, &result);
      break;
    case '-':
      overflow = __builtin_sub_overflow(a, b, &result);
      break;
    case '*':
      overflow = __builtin_mul_overflow(a, b, &result);
      break;
    case '/':
      if (b == 0) return fail("division by zero");
      return Value::number(static_cast<double>(a) / static_cast<double>(b));
    case 'f':
    case '%': {
      if (b == 0) return fail("integer division or modulo by zero");
      if (b == -1) {  // the one quotient that can overflow
        if (op == '%') return Value::integer(0);
        overflow = __builtin_sub_overflow(int64_t{0}, a, &result);
        break;
      }
      int64_t quotient = a / b, rest = a % b;
      if (rest != 0 && (rest < 0) != (b < 0)) --quotient, rest += b;
      result = op == 'f' ? quotient : rest;
      break;
    }
    default: {
      if (b < 0) {
        if (a == 0) return fail("0 cannot be raised to a negative power");
        return Value::number(std::pow(static_cast<double>(a), static_cast<double>(b)));
      }
      result = 1;
      int64_t base = a;
      for (int64_t left = b; left > 0 && !overflow; left >>= 1) {
        if (left & 1) overflow = __builtin_mul_overflow(result, base, &result);
        if (left > 1 && !overflow && __builtin_mul_overflow(base, base, &base)) overflow = true;
      }
    }
  }
  if (overflow) return fail("integer overflow: {} {} {} needs more than 64 bits", a, op_name(op), b);
  return Value::integer(result);
}

Result<Value> Runtime::float_binary(char op, double a, double b) {
  switch (op) {
    case '+':
      return Value::number(a + b);
    case '-':
      return Value::number(a - b);
    case '*':
      return Value::number(a * b);
    case '/':
      if (b == 0) return fail("float division by zero");
      return Value::number(a / b);
    case 'f':
    case '%': {
      if (b == 0) return fail("float floor division or modulo by zero");
      double rest = std::fmod(a, b);
      double quotient = (a - rest) / b;
      if (rest != 0) {
        if ((b < 0) != (rest < 0)) rest += b, quotient -= 1;
      } else {
        rest = std::copysign(0.0, b);
      }
      if (op == '%') return Value::number(rest);
      if (quotient == 0) return Value::number(std::copysign(0.0, a / b));
      double whole = std::floor(quotient);
      if (quotient - whole > 0.5) whole += 1;
      return Value::number(whole);
    }
    default: {
      if (a == 0 && b < 0) return fail("0.0 cannot be raised to a negative power");
      if (a < 0 && std::isfinite(a) && std::isfinite(b) && b != std::floor(b))
        return fail("a negative number to a fractional power is complex, which templates cannot use");
      const double power = std::pow(a, b);
      if (std::isinf(power) && std::isfinite(a) && std::isfinite(b))
        return fail("the power is too large for a float");
      return Value::number(power);
    }
  }
}

Result<Value> Runtime::repeat(const Value& sequence, int64_t count) {
  const auto times = static_cast<uint64_t>(count < 0 ? 0 : count);
  if (sequence.is_string()) {
    const auto bytes = sequence.bytes();
    if (bytes.empty() || times == 0) return view("", sequence.string().markup);
    TERN_TRY(allow_text(times > UINT64_MAX / bytes.size() ? UINT64_MAX : times * bytes.size()));
    std::string out;
    out.reserve(times * bytes.size());
    for (uint64_t i = 0; i < times; ++i) out.append(bytes);
    return text(std::move(out), sequence.string().markup);
  }
  const auto& items = sequence.list().items;
  std::vector<Value> out;
  if (!items.empty() && times > 0) {
    TERN_TRY(allow_items(times > UINT64_MAX / items.size() ? UINT64_MAX : times * items.size()));
    for (uint64_t i = 0; i < times; ++i) out.insert(out.end(), items.begin(), items.end());
  }
  return sequence.is(Kind::kTuple) ? tuple(std::move(out)) : list(std::move(out));
}

Result<Value> Runtime::binary(char op, const Value& a, const Value& b) {
  if (a.is_int_like() && b.is_int_like()) return int_binary(op, a.as_int(), b.as_int());
  if (a.is_numeric() && b.is_numeric()) return float_binary(op, a.as_double(), b.as_double());
  if (op == '%' && a.is_string()) return percent_format(a, b);
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  if (op == '+' && a.is_string() && b.is_string()) {
    const bool markup = a.string().markup || b.string().markup;
    std::string left, right;
    if (markup) {
      left = a.string().markup ? std::string(a.bytes()) : escape_html(a.bytes());
      right = b.string().markup ? std::string(b.bytes()) : escape_html(b.bytes());
    }
    const std::string_view x = markup ? left : a.bytes(), y = markup ? right : b.bytes();
    TERN_TRY(allow_text(x.size() + y.size()));
    std::string out;
    out.reserve(x.size() + y.size());
    out.append(x).append(y);
    return text(std::move(out), markup);
  }
  if (op == '+' && a.is_sequence() && a.kind() == b.kind()) {
    TERN_TRY(allow_items(a.list().items.size() + b.list().items.size()));
    std::vector<Value> items = a.list().items;
    items.insert(items.end(), b.list().items.begin(), b.list().items.end());
    return a.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
  }
  if (op == '*' && (a.is_string() || a.is_sequence()) && b.is_int_like()) return repeat(a, b.as_int());
  if (op == '*' && (b.is_string() || b.is_sequence()) && a.is_int_like()) return repeat(b, a.as_int());
  return fail("'{}' does not work between a {} and a {}", op_name(op), type_name(a), type_name(b));
}

Result<Value> Runtime::negate(const Value& value, bool minus) {
  if (value.is_undefined()) return undefined_error(value);
  if (value.is(Kind::kFloat)) return Value::number(minus ? -value.as_double() : value.as_double());
  if (!value.is_int_like()) return fail("'{}' does not work on a {}", minus ? '-' : '+', type_name(value));
  if (!minus) return Value::integer(value.as_int());
  return int_binary('-', 0, value.as_int());
}

}  // namespace tern::jinja
