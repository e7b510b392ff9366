// SPDX-License-Identifier: MIT
// Length, iteration, attributes, items and slices. `a.b` looks for Python's attribute first and for the item
// then, `a['b']` the other way round, as jinja2's sandbox does; both give Undefined where there is neither.
#include <algorithm>

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {

Result<int64_t> Runtime::length(const Value& value) {
  switch (value.kind()) {
    case Kind::kUndefined:
      return int64_t{0};
    case Kind::kString:
      return value.string().length;
    case Kind::kList:
    case Kind::kTuple:
      return static_cast<int64_t>(value.list().items.size());
    case Kind::kDict:
      return static_cast<int64_t>(value.dict().items.size());
    case Kind::kDictView:
      return static_cast<int64_t>(value.as<DictView>().dict->items.size());
    case Kind::kRange:
      return value.as<Range>().length;
    default:
      return fail("a {} has no length", type_name(value));
  }
}

Result<std::vector<Value>> Runtime::iterate(const Value& value) {
  std::vector<Value> out;
  switch (value.kind()) {
    case Kind::kUndefined:
      return out;
    case Kind::kString: {
      TERN_TRY(
          allow_items(static_cast<uint64_t>(value.string().length) * (sizeof(String) / sizeof(Value) + 2)));
      const auto bytes = value.bytes();
      for (size_t at = 0; at < bytes.size();) {
        const size_t begin = at;
        next_code_point(bytes, &at);
        out.push_back(view(bytes.substr(begin, at - begin), value.string().markup));
      }
      return out;
    }
    case Kind::kList:
    case Kind::kTuple:
      TERN_TRY(allow_items(value.list().items.size()));
      return value.list().items;
    case Kind::kDict:
      TERN_TRY(allow_items(value.dict().items.size()));
      for (const auto& item : value.dict().items) out.push_back(item.first);
      return out;
    case Kind::kDictView: {
      const auto& dict_view = value.as<DictView>();
      TERN_TRY(allow_items(dict_view.dict->items.size() * 8));
      for (const auto& item : dict_view.dict->items) {
        out.push_back(dict_view.part == DictView::Part::kKeys     ? item.first
                      : dict_view.part == DictView::Part::kValues ? item.second
                                                                  : tuple({item.first, item.second}));
      }
      return out;
    }
    case Kind::kRange: {
      const auto& range = value.as<Range>();
      TERN_TRY(allow_items(static_cast<uint64_t>(range.length)));
      for (int64_t i = 0; i < range.length; ++i) out.push_back(Value::integer(range.start + i * range.step));
      return out;
    }
    case Kind::kIterator: {
      auto& iterator = value.as<Iterator>();
      TERN_TRY(allow_items(iterator.items.size() - iterator.position));
      out.assign(iterator.items.begin() + static_cast<std::ptrdiff_t>(iterator.position),
                 iterator.items.end());
      iterator.position = iterator.items.size();
      return out;
    }
    default:
      return fail("a {} cannot be iterated over", type_name(value));
  }
}

namespace {

// The static copy of `name` if it is one of the names, which are separated and enclosed by blanks.
std::string_view one_of(std::string_view names, std::string_view name) {
  if (name.empty() || name.find(' ') != std::string_view::npos) return {};
  for (size_t at = names.find(name); at != std::string_view::npos; at = names.find(name, at + 1))
    if (names[at - 1] == ' ' && names[at + name.size()] == ' ') return names.substr(at, name.size());
  return {};
}

// Methods that exist in Python but change their receiver: the immutable sandbox refuses them.
bool is_mutating(Kind kind, std::string_view name) {
  if (kind == Kind::kList) return !one_of(" append reverse insert sort extend remove ", name).empty();
  return kind == Kind::kDict && !one_of(" clear pop popitem setdefault update ", name).empty();
}

std::string_view method_of(Kind kind, std::string_view name) {
  switch (kind) {
    case Kind::kString:
      return find_string_method(name);
    case Kind::kList:
      return one_of(" append reverse insert sort extend remove index count copy pop clear ", name);
    case Kind::kTuple:
      return one_of(" index count ", name);
    case Kind::kDict:
      return one_of(" keys values items get copy fromkeys clear pop popitem setdefault update ", name);
    case Kind::kRange:
      return one_of(" index count ", name);
    case Kind::kDictView:
      return one_of(" isdisjoint ", name);
    case Kind::kCycler:
      return one_of(" next reset ", name);
    case Kind::kLoop:
      return one_of(" cycle changed ", name);
    default:
      return {};
  }
}

bool is_dunder(std::string_view name) { return name.starts_with("__") && name.ends_with("__"); }

}  // namespace

Value Runtime::builtin_attr(const Value& object, std::string_view name) {
  if (is_dunder(name) && !object.is(Kind::kNamespace))
    return undefined_hint("attributes with two underscores are closed to templates (sandbox)");
  if (const auto method_name = method_of(object.kind(), name); !method_name.empty()) {
    if (is_mutating(object.kind(), name))
      return undefined_hint("methods that change a list or a dict are closed to templates (sandbox)");
    auto* method = heap_.make<Method>();
    method->receiver = object;
    method->name = method_name;
    return Value::of(Kind::kMethod, method);
  }
  switch (object.kind()) {
    case Kind::kNamespace:
      if (const Value* value = find(object.as<Namespace>().attributes, name)) return *value;
      return {};
    case Kind::kTuple:
      if (object.list().is_group && name == "grouper") return object.list().items[0];
      if (object.list().is_group && name == "list") return object.list().items[1];
      return {};
    case Kind::kRange:
      if (name == "start") return Value::integer(object.as<Range>().start);
      if (name == "stop") return Value::integer(object.as<Range>().stop);
      if (name == "step") return Value::integer(object.as<Range>().step);
      return {};
    case Kind::kCycler:
      if (name == "current") return object.as<Cycler>().items[object.as<Cycler>().position];
      return {};
    case Kind::kJoiner:
      if (name == "sep") return object.as<Joiner>().separator;
      if (name == "used") return Value::boolean(object.as<Joiner>().used);
      return {};
    case Kind::kInt:
    case Kind::kBool:
      if (name == "real" || name == "numerator") return Value::integer(object.as_int());
      if (name == "imag") return Value::integer(0);
      if (name == "denominator") return Value::integer(1);
      return {};
    case Kind::kFloat:
      if (name == "real") return object;
      if (name == "imag") return Value::number(0);
      return {};
    default:
      return {};
  }
}

Result<Value> Runtime::index(const Value& object, int64_t position) {
  TERN_TRY_ASSIGN(const int64_t size, length(object));
  if (position < 0) position += size;
  if (position < 0 || position >= size) return Value();
  switch (object.kind()) {
    case Kind::kString: {
      const auto& string = object.string();
      if (string.is_ascii())
        return view(string.bytes.substr(static_cast<size_t>(position), 1), string.markup);
      TERN_TRY(step_text(string.bytes.size()));
      const size_t begin = byte_offset(string.bytes, position);
      size_t end = begin;
      next_code_point(string.bytes, &end);
      return view(string.bytes.substr(begin, end - begin), string.markup);
    }
    case Kind::kRange:
      return Value::integer(object.as<Range>().start + position * object.as<Range>().step);
    default:
      return object.list().items[static_cast<size_t>(position)];
  }
}

// object[key] by Python's rules alone: missing where Python raises TypeError or LookupError.
static bool is_indexable(const Value& object) {
  return object.is_string() || object.is_sequence() || object.is(Kind::kRange);
}

Result<Value> Runtime::get_item(const Value& object, const Value& key) {
  if (object.is_undefined()) return undefined_error(object);
  Value found;
  if (object.is(Kind::kDict)) {
    const Status hashable =
        check_hashable(key);  // an unhashable key is a TypeError, which reads as "no such element"
    if (hashable.ok()) {
      TERN_TRY_ASSIGN(const Value* value, find(object.dict(), key));
      if (value != nullptr) found = *value;
    }
  } else if (is_indexable(object) && key.is_int_like()) {
    TERN_TRY_ASSIGN(found, index(object, key.as_int()));
  }
  if (found.is_missing() && key.is_string()) found = builtin_attr(object, key.bytes());
  return found.is_missing() ? undefined_member(object, key) : found;
}

Result<Value> Runtime::get_attr(const Value& object, const Value& name) {
  if (object.is_undefined()) return undefined_error(object);
  Value found = builtin_attr(object, name.bytes());
  if (found.is_missing() && object.is(Kind::kDict)) {
    TERN_TRY_ASSIGN(const Value* value, find(object.dict(), name));
    if (value != nullptr) found = *value;
  }
  return found.is_missing() ? undefined_member(object, name) : found;
}

Result<Value> Runtime::slice(const Value& object, const Value& start, const Value& stop,
                             const Value& step_value) {
  if (object.is_undefined()) return undefined_error(object);
  if (!is_indexable(object)) return fail("a {} cannot be sliced", type_name(object));
  int64_t bounds[3] = {0, 0, 1};
  const Value* given[3] = {&start, &stop, &step_value};
  for (int i = 0; i < 3; ++i) {
    if (given[i]->is_missing() || given[i]->is_none()) continue;
    if (!given[i]->is_int_like())
      return fail("slice bounds must be ints or none, not {}", type_name(*given[i]));
    bounds[i] = given[i]->as_int();
  }
  const int64_t stride = bounds[2];
  if (stride == 0) return fail("a slice needs a step other than 0");
  TERN_TRY_ASSIGN(const int64_t size, length(object));
  const auto clamp = [&](int i, int64_t otherwise) {
    if (given[i]->is_missing() || given[i]->is_none()) return otherwise;
    const int64_t at = bounds[i] < 0 ? bounds[i] + size : bounds[i];
    return stride > 0 ? std::clamp<int64_t>(at, 0, size) : std::clamp<int64_t>(at, -1, size - 1);
  };
  const int64_t first = clamp(0, stride > 0 ? 0 : size - 1);
  const int64_t last = clamp(1, stride > 0 ? size : -1);
  int64_t count = 0;
  if (stride > 0 && first < last) count = (last - first - 1) / stride + 1;
  // The negation of the smallest int overflows; any step that large takes one element.
  if (stride < 0 && last < first) count = stride == INT64_MIN ? 1 : (first - last - 1) / -stride + 1;

  if (object.is(Kind::kRange)) {
    const auto& range = object.as<Range>();
    auto* part = heap_.make<Range>();
    part->start = range.start + first * range.step;
    part->stop = range.start + last * range.step;
    if (__builtin_mul_overflow(range.step, stride, &part->step)) return fail("integer overflow in a slice");
    part->length = count;
    return Value::of(Kind::kRange, part);
  }
  if (object.is_string()) {
    const auto& string = object.string();
    TERN_TRY(allow_text(string.bytes.size()));
    if (stride == 1) {
      const size_t begin = string.is_ascii() ? static_cast<size_t>(first) : byte_offset(string.bytes, first);
      const auto rest = string.bytes.substr(begin);
      const size_t bytes = string.is_ascii() ? static_cast<size_t>(count) : byte_offset(rest, count);
      return view(rest.substr(0, bytes), string.markup);
    }
    std::u32string points;
    for (size_t at = 0; at < string.bytes.size();) points.push_back(next_code_point(string.bytes, &at));
    std::string out;
    for (int64_t i = 0; i < count; ++i)
      append_code_point(points[static_cast<size_t>(first + i * stride)], &out);
    return text(std::move(out), string.markup);
  }
  TERN_TRY(allow_items(static_cast<uint64_t>(count)));
  std::vector<Value> items;
  for (int64_t i = 0; i < count; ++i)
    items.push_back(object.list().items[static_cast<size_t>(first + i * stride)]);
  return object.is(Kind::kTuple) ? tuple(std::move(items)) : list(std::move(items));
}

namespace {

Result<Value> call_dict_method(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  static constexpr std::string_view kGet[] = {"key", "default"};
  if (name == "get") {
    Value given[2];
    TERN_TRY(runtime.bind(name, args, kGet, 1, given));
    TERN_TRY(runtime.check_hashable(given[0]));
    TERN_TRY_ASSIGN(const Value* value, runtime.find(self.dict(), given[0]));
    return value != nullptr ? *value : given[1].is_missing() ? Value::none() : given[1];
  }
  if (name == "fromkeys") return runtime.fail("dict.fromkeys is not supported in chat templates");
  TERN_TRY(runtime.bind(name, args, {}, 0, {}));
  if (name == "copy") {
    TERN_TRY(runtime.allow_items(self.dict().items.size() * 2));
    auto* copy = runtime.heap().make<Dict>();
    copy->items = self.dict().items;
    runtime.heap().charge(copy->items.size() * sizeof(Value) * 2);
    return Value::of(Kind::kDict, copy);
  }
  auto* view = runtime.heap().make<DictView>();
  view->dict = &self.dict();
  view->part = name == "keys"     ? DictView::Part::kKeys
               : name == "values" ? DictView::Part::kValues
                                  : DictView::Part::kItems;
  return Value::of(Kind::kDictView, view);
}

// The sandbox of jinja2 3.1.2 leaves pop and clear open (later ones do not), and templates that call
// messages.pop(0) were published.
Result<Value> call_list_method(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  static constexpr std::string_view kPop[] = {"index"};
  auto& items = self.list().items;
  if (name != "pop") {
    TERN_TRY(runtime.bind(name, args, {}, 0, {}));
    if (name == "clear") {
      items.clear();
      return Value::none();
    }
    TERN_TRY(runtime.allow_items(items.size()));
    return runtime.list(items);
  }
  Value given[1];
  TERN_TRY(runtime.bind(name, args, kPop, 0, given));
  int64_t at = -1;
  if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(at, runtime.integer(given[0], "the index of pop"));
  }
  const auto size = static_cast<int64_t>(items.size());
  if (at < 0) at += size;
  if (at < 0 || at >= size) return runtime.fail("pop: index out of range of a list of {}", size);
  TERN_TRY(runtime.step(static_cast<uint64_t>(size - at)));
  const Value popped = items[static_cast<size_t>(at)];
  items.erase(items.begin() + at);
  return popped;
}

Result<Value> index_or_count(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  static constexpr std::string_view kNames[] = {"value"};
  Value given[1];
  TERN_TRY(runtime.bind(name, args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(self));
  int64_t count = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    TERN_TRY_ASSIGN(const bool same, runtime.equal(items[i], given[0]));
    if (same && name == "index") return Value::integer(static_cast<int64_t>(i));
    count += same;
  }
  if (name == "index") return runtime.fail("index: the value is not in the {}", Runtime::type_name(self));
  return Value::integer(count);
}

}  // namespace

Result<Value> call_method(Runtime& runtime, const Value& receiver, std::string_view name, const Args& args) {
  if (receiver.is_string()) return call_string_method(runtime, receiver, name, args);
  if (receiver.is(Kind::kDict)) return call_dict_method(runtime, receiver, name, args);
  if (receiver.is(Kind::kCycler)) {
    auto& cycler = receiver.as<Cycler>();
    TERN_TRY(runtime.bind(name, args, {}, 0, {}));
    const Value current = cycler.items[cycler.position];
    cycler.position = name == "reset" ? 0 : (cycler.position + 1) % cycler.items.size();
    return name == "reset" ? Value::none() : current;
  }
  if (name == "index" || name == "count") return index_or_count(runtime, receiver, name, args);
  if (receiver.is(Kind::kList)) return call_list_method(runtime, receiver, name, args);
  return runtime.fail("{}.{} is not supported in chat templates", Runtime::type_name(receiver), name);
}

}  // namespace tern::jinja
