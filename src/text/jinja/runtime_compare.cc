// SPDX-License-Identifier: MIT
// Equality, order, membership and dictionary keys, as Python defines them across types.
#include <algorithm>
#include <cmath>

#include "text/jinja/runtime.h"

namespace tern::jinja {
namespace {

// Exact comparison of an integer with a float: -1, 0, 1, or 2 for NaN.
int compare_int_float(int64_t a, double b) {
  if (std::isnan(b)) return 2;
  if (b >= 9223372036854775808.0) return -1;
  if (b < -9223372036854775808.0) return 1;
  const double whole = std::trunc(b);
  const auto integer = static_cast<int64_t>(whole);
  if (a != integer) return a < integer ? -1 : 1;
  return b == whole ? 0 : b > whole ? -1 : 1;
}

int compare_numbers(const Value& a, const Value& b) {
  if (a.is_int_like() && b.is_int_like())
    return a.as_int() < b.as_int() ? -1 : a.as_int() > b.as_int() ? 1 : 0;
  if (a.is_int_like()) return compare_int_float(a.as_int(), b.as_double());
  if (b.is_int_like()) {
    const int reversed = compare_int_float(b.as_int(), a.as_double());
    return reversed == 2 ? 2 : -reversed;
  }
  const double x = a.as_double(), y = b.as_double();
  if (std::isnan(x) || std::isnan(y)) return 2;
  return x < y ? -1 : x > y ? 1 : 0;
}

}  // namespace

Result<bool> Runtime::equal(const Value& a, const Value& b, int depth) {
  if (depth > limits_.depth) return depth_error();
  TERN_TRY(step());
  if (a.is_numeric() && b.is_numeric()) return compare_numbers(a, b) == 0;
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return true;
    case Kind::kString:
      if (a.bytes().size() != b.bytes().size()) return false;
      TERN_TRY(step_text(a.bytes().size()));
      return a.bytes() == b.bytes();
    case Kind::kList:
    case Kind::kTuple: {
      const auto& x = a.list().items;
      const auto& y = b.list().items;
      if (x.size() != y.size()) return false;
      for (size_t i = 0; i < x.size(); ++i) {
        TERN_TRY_ASSIGN(const bool same, equal(x[i], y[i], depth + 1));
        if (!same) return false;
      }
      return true;
    }
    case Kind::kDict: {
      if (a.dict().items.size() != b.dict().items.size()) return false;
      for (const auto& [key, value] : a.dict().items) {
        TERN_TRY_ASSIGN(const Value* other, find(b.dict(), key));
        if (other == nullptr) return false;
        TERN_TRY_ASSIGN(const bool same, equal(value, *other, depth + 1));
        if (!same) return false;
      }
      return true;
    }
    case Kind::kRange: {
      const auto& x = a.as<Range>();
      const auto& y = b.as<Range>();
      return x.length == y.length &&
             (x.length == 0 || (x.start == y.start && (x.length == 1 || x.step == y.step)));
    }
    case Kind::kFunction:
      return a.as_int() == b.as_int();
    case Kind::kMethod: {
      const auto& x = a.as<Method>();
      const auto& y = b.as<Method>();
      return x.name == y.name && x.receiver.object() == y.receiver.object();
    }
    default:
      return a.object() == b.object();
  }
}

Result<int> Runtime::compare(const Value& a, const Value& b, std::string_view op, int depth) {
  if (depth > limits_.depth) return depth_error();
  TERN_TRY(step());
  if (a.is_numeric() && b.is_numeric()) return compare_numbers(a, b);
  if (a.is_string() && b.is_string()) {
    TERN_TRY(step_text(std::min(a.bytes().size(), b.bytes().size())));
    const int order = a.bytes().compare(b.bytes());  // UTF-8 bytes order as code points do
    return order < 0 ? -1 : order > 0 ? 1 : 0;
  }
  if (a.is_sequence() && a.kind() == b.kind()) {
    const auto& x = a.list().items;
    const auto& y = b.list().items;
    for (size_t i = 0; i < x.size() && i < y.size(); ++i) {
      TERN_TRY_ASSIGN(const bool same, equal(x[i], y[i], depth + 1));
      if (!same) return compare(x[i], y[i], op, depth + 1);
    }
    return x.size() < y.size() ? -1 : x.size() > y.size() ? 1 : 0;
  }
  if (a.is_undefined()) return undefined_error(a);
  if (b.is_undefined()) return undefined_error(b);
  return fail("'{}' cannot compare a {} with a {}", op, type_name(a), type_name(b));
}

// A merge sort of our own: comparisons may fail, and NaN makes them contradict each other, which the
// library's sorts do not allow.
Result<std::vector<size_t>> Runtime::sorted_order(const std::vector<Value>& keys, bool reverse) {
  std::vector<size_t> order(keys.size()), merged(keys.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  for (size_t width = 1; width < order.size(); width *= 2) {
    for (size_t begin = 0; begin < order.size(); begin += 2 * width) {
      const size_t middle = std::min(begin + width, order.size()),
                   end = std::min(begin + 2 * width, order.size());
      size_t left = begin, right = middle;
      for (size_t out = begin; out < end; ++out) {
        bool take_right = left == middle;
        if (left < middle && right < end) {
          TERN_TRY_ASSIGN(const int sign, compare(keys[order[right]], keys[order[left]], "<"));
          take_right = sign == (reverse ? 1 : -1);
        }
        merged[out] = order[take_right ? right++ : left++];
      }
    }
    order.swap(merged);
  }
  return order;
}

Result<bool> Runtime::contains(const Value& container, const Value& element) {
  switch (container.kind()) {
    case Kind::kString:
      if (!element.is_string()) {
        return fail("'in' a string needs a string on its left, not a {}", type_name(element));
      }
      TERN_TRY(step_text(container.bytes().size() + element.bytes().size()));
      return find_text(container.bytes(), element.bytes()) != std::string_view::npos;
    case Kind::kDict: {
      TERN_TRY(check_hashable(element));
      TERN_TRY_ASSIGN(const Value* found, find(container.dict(), element));
      return found != nullptr;
    }
    case Kind::kRange:
      if (element.is_int_like()) {
        const auto& range = container.as<Range>();
        if (range.length == 0) return false;
        const auto offset = static_cast<__int128>(element.as_int()) - range.start;
        return offset % range.step == 0 && offset / range.step >= 0 && offset / range.step < range.length;
      }
      [[fallthrough]];
    case Kind::kUndefined:
    case Kind::kList:
    case Kind::kTuple:
    case Kind::kDictView:
    case Kind::kIterator: {
      TERN_TRY_ASSIGN(const std::vector<Value> items, iterate(container));
      for (const Value& item : items) {
        TERN_TRY_ASSIGN(const bool same, equal(item, element));
        if (same) return true;
      }
      return false;
    }
    default:
      return fail("'in' needs a string or a collection on its right, not a {}", type_name(container));
  }
}

Status Runtime::check_hashable(const Value& key, int depth) {
  if (depth > limits_.depth) return depth_error();
  if (key.is(Kind::kList) || key.is(Kind::kDict) || key.is(Kind::kDictView))
    return fail("a {} cannot be a key (it is not hashable)", type_name(key));
  if (!key.is(Kind::kTuple)) return {};
  for (const Value& item : key.list().items) {
    TERN_TRY(step());
    TERN_TRY(check_hashable(item, depth + 1));
  }
  return {};
}

const Value* Runtime::find(const Dict& dict, std::string_view key) const {
  for (const auto& [name, value] : dict.items)
    if (name.is_string() && name.bytes() == key) return &value;
  return nullptr;
}

Result<const Value*> Runtime::find(const Dict& dict, const Value& key) {
  TERN_TRY(step(1 + dict.items.size() / 8));
  if (key.is_string()) return find(dict, key.bytes());
  for (const auto& [name, value] : dict.items) {
    if (name.is_string()) continue;
    TERN_TRY_ASSIGN(const bool same, equal(name, key));
    if (same) return &value;
  }
  return static_cast<const Value*>(nullptr);
}

Status Runtime::insert(Dict* dict, const Value& key, const Value& value) {
  TERN_TRY(check_hashable(key));
  TERN_TRY_ASSIGN(const Value* present, find(*dict, key));
  if (present != nullptr) {
    *const_cast<Value*>(present) = value;
    return {};
  }
  heap_.charge(sizeof(Value) * 4);  // the pair, and room the vector keeps to grow
  dict->items.emplace_back(key, value);
  return {};
}

}  // namespace tern::jinja
