// SPDX-License-Identifier: MIT
// Filters that apply filters and tests (map, select...), take defaults, and convert numbers.
#include <cmath>

#include "text/jinja/filters.h"

namespace tern::jinja {

TERN_JINJA_FILTER(filter_map) {
  std::vector<Value> out;
  if (!Runtime::truthy(input)) return runtime.iterator(std::move(out));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  if (args.positional.empty() && !args.named.empty() && args.named[0].first != "attribute" &&
      !(args.named.size() == 2 && args.named[1].first == "attribute"))
    return runtime.fail("map needs the name of a filter, or attribute=");
  if (args.positional.empty()) {
    static constexpr std::string_view kNames[] = {"attribute", "default"};
    Value given[2];
    TERN_TRY(runtime.bind("map", args, kNames, 1, given));
    for (const Value& item : items) {
      TERN_TRY_ASSIGN(const Value value, follow_attribute(runtime, item, given[0], given[1]));
      out.push_back(value);
    }
    return runtime.iterator(std::move(out));
  }
  TERN_TRY_ASSIGN(const std::string_view name, runtime.string(args.positional[0], "the filter of map"));
  const FilterFunction filter = find_filter(name);
  if (filter == nullptr) return runtime.fail("there is no filter named '{}'", name.substr(0, 80));
  if (filter == &filter_map)
    return runtime.fail("map cannot apply itself");  // its generators would nest unseen
  Args rest{{args.positional.begin() + 1, args.positional.end()}, args.named};
  for (const Value& item : items) {
    TERN_TRY(runtime.step());
    TERN_TRY_ASSIGN(const Value value, filter(runtime, item, rest));
    out.push_back(value);
  }
  return runtime.iterator(std::move(out));
}

namespace {

Result<Value> select(Runtime& runtime, const Value& input, const Args& args, bool by_attribute, bool wanted) {
  std::vector<Value> out;
  if (!Runtime::truthy(input)) return runtime.iterator(std::move(out));
  const size_t offset = by_attribute ? 1 : 0;
  if (args.positional.size() < offset)
    return runtime.fail("selectattr and rejectattr need the name of an attribute");
  TestFunction test = nullptr;
  Args rest{{}, args.named};
  if (args.positional.size() > offset) {
    TERN_TRY_ASSIGN(const std::string_view name,
                    runtime.string(args.positional[offset], "the name of a test"));
    test = find_test(name);
    if (test == nullptr) return runtime.fail("there is no test named '{}'", name.substr(0, 80));
    rest.positional.assign(args.positional.begin() + static_cast<std::ptrdiff_t>(offset) + 1,
                           args.positional.end());
  }
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  for (const Value& item : items) {
    TERN_TRY(runtime.step());
    Value subject = item;
    if (by_attribute) {
      TERN_TRY_ASSIGN(subject, follow_attribute(runtime, item, args.positional[0]));
    }
    bool passes = Runtime::truthy(subject);
    if (test != nullptr) {
      TERN_TRY_ASSIGN(passes, test(runtime, subject, rest));
    }
    if (passes == wanted) out.push_back(item);
  }
  return runtime.iterator(std::move(out));
}

}  // namespace

TERN_JINJA_FILTER(filter_select) { return select(runtime, input, args, false, true); }
TERN_JINJA_FILTER(filter_reject) { return select(runtime, input, args, false, false); }
TERN_JINJA_FILTER(filter_selectattr) { return select(runtime, input, args, true, true); }
TERN_JINJA_FILTER(filter_rejectattr) { return select(runtime, input, args, true, false); }

TERN_JINJA_FILTER(filter_default) {
  static constexpr std::string_view kNames[] = {"default_value", "boolean"};
  Value given[2];
  TERN_TRY(runtime.bind("default", args, kNames, 0, given));
  if (!input.is_undefined() && !(Runtime::truthy(given[1]) && !Runtime::truthy(input))) return input;
  return given[0].is_missing() ? runtime.view("") : given[0];
}

TERN_JINJA_FILTER(filter_attr) {
  static constexpr std::string_view kNames[] = {"name"};
  Value given[1];
  TERN_TRY(runtime.bind("attr", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::string_view name, runtime.string(given[0], "the name of attr"));
  if (input.is_undefined()) return runtime.undefined_error(input);
  const Value found = runtime.builtin_attr(input, name);
  return found.is_missing() ? runtime.undefined_member(input, given[0]) : found;
}

TERN_JINJA_FILTER(filter_int) {
  static constexpr std::string_view kNames[] = {"default", "base"};
  Value given[2];
  TERN_TRY(runtime.bind("int", args, kNames, 0, given));
  const Value otherwise = given[0].is_missing() ? Value::integer(0) : given[0];
  int64_t base = 10;
  if (!given[1].is_missing()) {
    TERN_TRY_ASSIGN(base, runtime.integer(given[1], "the base of int"));
  }
  if (input.is_int_like()) return Value::integer(input.as_int());
  if (input.is_undefined()) return runtime.undefined_error(input);
  std::optional<double> number;
  if (input.is(Kind::kFloat)) number = input.as_double();
  if (input.is_string()) {
    bool overflow = false;
    TERN_TRY(runtime.step_text(input.bytes().size()));
    const auto integer = parse_int(input.bytes(), base, &overflow);
    if (overflow) return runtime.fail("int: the number needs more than 64 bits");
    if (integer) return Value::integer(*integer);
    number = parse_float(input.bytes());  // "42.23"|int is 42
  }
  if (!number || std::isnan(*number)) return otherwise;
  if (!(std::fabs(*number) < 9223372036854775808.0))
    return runtime.fail("int: the number needs more than 64 bits");
  return Value::integer(static_cast<int64_t>(*number));
}

TERN_JINJA_FILTER(filter_float) {
  static constexpr std::string_view kNames[] = {"default"};
  Value given[1];
  TERN_TRY(runtime.bind("float", args, kNames, 0, given));
  if (input.is_numeric()) return Value::number(input.as_double());
  if (input.is_undefined()) return runtime.undefined_error(input);
  if (input.is_string()) {
    TERN_TRY(runtime.step_text(input.bytes().size()));
    if (const auto number = parse_float(input.bytes())) return Value::number(*number);
  }
  return given[0].is_missing() ? Value::number(0) : given[0];
}

TERN_JINJA_FILTER(filter_abs) {
  TERN_TRY(runtime.bind("abs", args, {}, 0, {}));
  if (input.is(Kind::kFloat)) return Value::number(std::fabs(input.as_double()));
  if (input.is_undefined()) return runtime.undefined_error(input);
  TERN_TRY_ASSIGN(const int64_t number, runtime.integer(input, "the input of abs"));
  return runtime.negate(Value::integer(number), number < 0);
}

namespace {

// round() of Python: to the nearest, ties (exact ones, in binary) to even.
double round_common(double value, int64_t precision) {
  if (!std::isfinite(value) || precision > 323) return value;
  if (precision < -308) return std::copysign(0.0, value);
  if (precision >= 0) {
    const auto rounded = parse_float(fmt::format("{:.{}f}", value, static_cast<int>(precision)));
    return rounded.value_or(value);
  }
  const double power = std::pow(10.0, static_cast<double>(-precision));
  return std::nearbyint(value / power) * power;
}

}  // namespace

TERN_JINJA_FILTER(filter_round) {
  static constexpr std::string_view kNames[] = {"precision", "method"};
  Value given[2];
  TERN_TRY(runtime.bind("round", args, kNames, 0, given));
  int64_t precision = 0;
  if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(precision, runtime.integer(given[0], "the precision of round"));
  }
  std::string_view method = "common";
  if (!given[1].is_missing()) {
    TERN_TRY_ASSIGN(method, runtime.string(given[1], "the method of round"));
  }
  if (method != "common" && method != "ceil" && method != "floor")
    return runtime.fail("round: the method must be common, ceil or floor");
  if (input.is_undefined()) return runtime.undefined_error(input);
  if (!input.is_numeric()) return runtime.fail("round: needs a number, not a {}", Runtime::type_name(input));
  if (method == "common") {
    if (input.is(Kind::kFloat)) return Value::number(round_common(input.as_double(), precision));
    if (precision >= 0) return Value::integer(input.as_int());
    if (precision < -18) return Value::integer(0);
    int64_t unit = 1;
    for (int64_t i = 0; i > precision; --i) unit *= 10;
    // Nearest multiple of the unit, ties to the even multiple.
    int64_t quotient = input.as_int() / unit, rest = input.as_int() % unit;
    if (rest < 0) rest += unit, --quotient;
    if (rest > unit - rest || (rest == unit - rest && quotient % 2 != 0)) ++quotient;
    return runtime.binary('*', Value::integer(quotient), Value::integer(unit));
  }
  // Python computes ceil(value * 10**precision) / 10**precision; 10**22 is the last power a float holds
  // exactly.
  if (precision > 22) return runtime.fail("round: a precision of {} is more than 22", precision);
  if (input.is_int_like() && precision >= 0) return Value::number(input.as_double());
  const double power = std::pow(10.0, static_cast<double>(precision));
  const double scaled = input.as_double() * power;
  if (!std::isfinite(scaled) || power == 0)
    return runtime.fail("round: the number is too large or too small");
  const double whole = method == "ceil" ? std::ceil(scaled) : std::floor(scaled);
  return Value::number((whole == 0 ? 0.0 : whole) / power);
}

TERN_JINJA_FILTER(filter_unsupported) {
  (void)input, (void)args;
  return runtime.fail(
      "a filter of jinja2 that chat templates have no use for (pprint, random, striptags, urlize, "
      "wordwrap, xmlattr) is not supported");
}

}  // namespace tern::jinja
