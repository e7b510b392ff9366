// SPDX-License-Identifier: MIT
// The tests: what may stand behind "is".
#include <algorithm>

#include "text/jinja/runtime.h"

namespace tern::jinja {
namespace {

#define TERN_JINJA_TEST(name) Result<bool> name(Runtime& runtime, const Value& input, const Args& args)

constexpr std::string_view kOther[] = {"other"};

Result<Value> one_argument(Runtime& runtime, std::string_view name, const Args& args) {
  Value given[1];
  TERN_TRY(runtime.bind(name, args, kOther, 1, given));
  return given[0];
}

template <class Predicate>
Result<bool> simple(Runtime& runtime, const Args& args, Predicate&& predicate) {
  TERN_TRY(runtime.bind("the test", args, {}, 0, {}));
  return predicate();
}

template <Kind kKind>
TERN_JINJA_TEST(test_kind) {
  return simple(runtime, args, [&] { return input.is(kKind); });
}

TERN_JINJA_TEST(test_defined) {
  return simple(runtime, args, [&] { return !input.is_undefined(); });
}
TERN_JINJA_TEST(test_true) {
  return simple(runtime, args, [&] { return input.is(Kind::kBool) && input.as_bool(); });
}
TERN_JINJA_TEST(test_false) {
  return simple(runtime, args, [&] { return input.is(Kind::kBool) && !input.as_bool(); });
}
TERN_JINJA_TEST(test_number) {
  return simple(runtime, args, [&] { return input.is_numeric(); });
}
TERN_JINJA_TEST(test_sequence) {
  // Has a length and a [ ] in Python; so are dicts, and Undefined has a length but no [ ] that works.
  return simple(runtime, args, [&] {
    return input.is_string() || input.is_sequence() || input.is(Kind::kDict) || input.is(Kind::kRange) ||
           input.is_undefined();
  });
}
TERN_JINJA_TEST(test_iterable) {
  return simple(runtime, args, [&] {
    switch (input.kind()) {
      case Kind::kUndefined:
      case Kind::kString:
      case Kind::kList:
      case Kind::kTuple:
      case Kind::kDict:
      case Kind::kDictView:
      case Kind::kRange:
      case Kind::kIterator:
      case Kind::kLoop:
        return true;
      default:
        return false;
    }
  });
}
TERN_JINJA_TEST(test_callable) {
  return simple(runtime, args, [&] {
    return input.is(Kind::kMacro) || input.is(Kind::kMethod) || input.is(Kind::kFunction) ||
           input.is(Kind::kJoiner) || input.is(Kind::kLoop) || input.is_undefined();
  });
}
TERN_JINJA_TEST(test_escaped) {
  return simple(runtime, args, [&] { return input.is_string() && input.string().markup; });
}
TERN_JINJA_TEST(test_filter) {
  TERN_TRY(runtime.check_hashable(input));
  return simple(runtime, args, [&] { return input.is_string() && find_filter(input.bytes()) != nullptr; });
}
TERN_JINJA_TEST(test_test) {
  TERN_TRY(runtime.check_hashable(input));
  return simple(runtime, args, [&] { return input.is_string() && find_test(input.bytes()) != nullptr; });
}

Result<bool> case_test(Runtime& runtime, const Value& input, const Args& args, std::string_view method) {
  TERN_TRY(runtime.bind("the test", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const Value text, runtime.str_value(input));
  TERN_TRY_ASSIGN(const Value answer, call_string_method(runtime, text, method, {}));
  return answer.as_bool();
}
TERN_JINJA_TEST(test_lower) { return case_test(runtime, input, args, "islower"); }
TERN_JINJA_TEST(test_upper) { return case_test(runtime, input, args, "isupper"); }

Result<bool> remainder_is(Runtime& runtime, const Value& input, const Value& divisor, int64_t wanted) {
  TERN_TRY_ASSIGN(const Value rest, runtime.binary('%', input, divisor));
  return runtime.equal(rest, Value::integer(wanted));
}
TERN_JINJA_TEST(test_odd) {
  TERN_TRY(runtime.bind("odd", args, {}, 0, {}));
  return remainder_is(runtime, input, Value::integer(2), 1);
}
TERN_JINJA_TEST(test_even) {
  TERN_TRY(runtime.bind("even", args, {}, 0, {}));
  return remainder_is(runtime, input, Value::integer(2), 0);
}
TERN_JINJA_TEST(test_divisibleby) {
  static constexpr std::string_view kNames[] = {"num"};
  Value given[1];
  TERN_TRY(runtime.bind("divisibleby", args, kNames, 1, given));
  return remainder_is(runtime, input, given[0], 0);
}

TERN_JINJA_TEST(test_sameas) {
  TERN_TRY_ASSIGN(const Value other, one_argument(runtime, "sameas", args));
  if (input.kind() != other.kind()) return false;
  switch (input.kind()) {
    case Kind::kNone:
    case Kind::kBool:
    case Kind::kInt:
    case Kind::kFloat:
    case Kind::kString:
      return runtime.equal(input, other);
    default:
      return input.object() == other.object();
  }
}
TERN_JINJA_TEST(test_in) {
  TERN_TRY_ASSIGN(const Value other, one_argument(runtime, "in", args));
  return runtime.contains(other, input);
}
TERN_JINJA_TEST(test_eq) {
  TERN_TRY_ASSIGN(const Value other, one_argument(runtime, "eq", args));
  return runtime.equal(input, other);
}
TERN_JINJA_TEST(test_ne) {
  TERN_TRY_ASSIGN(const bool same, test_eq(runtime, input, args));
  return !same;
}

// `low`, `high`: the results of compare() that pass.
Result<bool> order_test(Runtime& runtime, const Value& input, const Args& args, std::string_view op, int low,
                        int high) {
  TERN_TRY_ASSIGN(const Value other, one_argument(runtime, op, args));
  TERN_TRY_ASSIGN(const int order, runtime.compare(input, other, op));
  return order >= low && order <= high;
}
TERN_JINJA_TEST(test_gt) { return order_test(runtime, input, args, ">", 1, 1); }
TERN_JINJA_TEST(test_ge) { return order_test(runtime, input, args, ">=", 0, 1); }
TERN_JINJA_TEST(test_lt) { return order_test(runtime, input, args, "<", -1, -1); }
TERN_JINJA_TEST(test_le) { return order_test(runtime, input, args, "<=", -1, 0); }

struct Entry {
  std::string_view name;
  TestFunction function;
};

// Sorted by name.
constexpr Entry kTests[] = {
    {"!=", test_ne},
    {"<", test_lt},
    {"<=", test_le},
    {"==", test_eq},
    {">", test_gt},
    {">=", test_ge},
    {"boolean", test_kind<Kind::kBool>},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisibleby},
    {"eq", test_eq},
    {"equalto", test_eq},
    {"escaped", test_escaped},
    {"even", test_even},
    {"false", test_false},
    {"filter", test_filter},
    {"float", test_kind<Kind::kFloat>},
    {"ge", test_ge},
    {"greaterthan", test_gt},
    {"gt", test_gt},
    {"in", test_in},
    {"integer", test_kind<Kind::kInt>},
    {"iterable", test_iterable},
    {"le", test_le},
    {"lessthan", test_lt},
    {"lower", test_lower},
    {"lt", test_lt},
    {"mapping", test_kind<Kind::kDict>},
    {"ne", test_ne},
    {"none", test_kind<Kind::kNone>},
    {"number", test_number},
    {"odd", test_odd},
    {"sameas", test_sameas},
    {"sequence", test_sequence},
    {"string", test_kind<Kind::kString>},
    {"test", test_test},
    {"true", test_true},
    {"undefined", test_kind<Kind::kUndefined>},
    {"upper", test_upper},
};

static_assert(std::is_sorted(std::begin(kTests), std::end(kTests),
                             [](const Entry& a, const Entry& b) { return a.name < b.name; }));

}  // namespace

TestFunction find_test(std::string_view name) {
  const auto* entry = std::lower_bound(std::begin(kTests), std::end(kTests), name,
                                       [](const Entry& e, std::string_view key) { return e.name < key; });
  return entry != std::end(kTests) && entry->name == name ? entry->function : nullptr;
}

}  // namespace tern::jinja
