// SPDX-License-Identifier: MIT
// Calls: macros, the loop object, global functions.
#include <algorithm>
#include <array>

#include "text/jinja/interpreter.h"

namespace tern::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // jinja2's sandbox has the same bound

enum Function : int64_t { kRange, kDict, kNamespace, kCycler, kJoiner, kRaiseException, kStrftimeNow };

constexpr std::array<std::string_view, 7> kFunctions = {
    "range", "dict", "namespace", "cycler", "joiner", "raise_exception", "strftime_now"};

}  // namespace

Value Interpreter::global_function(std::string_view name) {
  const auto* found = std::find(kFunctions.begin(), kFunctions.end(), name);
  return found == kFunctions.end() ? Value() : Value::function(found - kFunctions.begin());
}

Result<Value> Interpreter::call(const Value& callee, Args& args) {
  switch (callee.kind()) {
    case Kind::kMacro:
      return call_macro(callee, args);
    case Kind::kFunction:
      return call_function(callee.as_int(), args);
    case Kind::kLoop:
      return call_loop(callee, args);
    case Kind::kMethod: {
      const auto& method = callee.as<Method>();
      if (method.receiver.is(Kind::kLoop)) return call_loop_method(method.receiver, method.name, args);
      return call_method(runtime_, method.receiver, method.name, args);
    }
    case Kind::kJoiner: {
      TERN_TRY(runtime_.bind("joiner", args, {}, 0, {}));
      auto& joiner = callee.as<Joiner>();
      return std::exchange(joiner.used, true) ? joiner.separator : runtime_.view("");
    }
    case Kind::kUndefined:
      return runtime_.undefined_error(callee);
    default:
      return runtime_.fail("a {} cannot be called", Runtime::type_name(callee));
  }
}

// The rules of jinja2's Macro: positional arguments, then named ones; what is left goes to varargs and kwargs
// where the body mentions them, and is an error where it does not.
Result<Value> Interpreter::call_macro(const Value& callee, Args& args) {
  const auto& macro = callee.as<Macro>();
  const MacroDefinition& definition = *macro.definition;
  Scope* scope = inner(macro.scope);
  const size_t count = definition.parameters.size();
  const auto take = [&](std::string_view name) {
    const auto found =
        std::find_if(args.named.begin(), args.named.end(), [&](const auto& a) { return a.first == name; });
    if (found == args.named.end()) return Value();
    const Value value = found->second;
    args.named.erase(found);
    return value;
  };
  bool has_caller_parameter = false;
  std::vector<Value> given(count);
  for (size_t i = 0; i < count; ++i) {
    has_caller_parameter |= definition.parameter_names[i] == "caller";
    given[i] = i < args.positional.size() ? args.positional[i] : take(definition.parameter_names[i]);
  }
  if (definition.uses_caller && !has_caller_parameter && caller_name_ >= 0) {
    const Value caller = take("caller");
    define(scope, caller_name_,
           caller.is_missing() || caller.is_none() ? runtime_.undefined("caller") : caller);
  }
  if (definition.uses_kwargs && kwargs_name_ >= 0) {
    auto* rest = runtime_.heap().make<Dict>();
    for (const auto& [name, value] : args.named) TERN_TRY(runtime_.insert(rest, runtime_.view(name), value));
    define(scope, kwargs_name_, Value::of(Kind::kDict, rest));
  } else if (!args.named.empty()) {
    return runtime_.fail("the macro '{}' takes no argument named '{}'", definition.name.substr(0, 80),
                         args.named[0].first.substr(0, 80));
  }
  if (definition.uses_varargs && varargs_name_ >= 0) {
    std::vector<Value> rest;
    for (size_t i = count; i < args.positional.size(); ++i) rest.push_back(args.positional[i]);
    define(scope, varargs_name_, runtime_.tuple(std::move(rest)));
  } else if (args.positional.size() > count) {
    return runtime_.fail("the macro '{}' takes at most {} arguments, {} were given",
                         definition.name.substr(0, 80), count, args.positional.size());
  }
  // Defaults are evaluated at the call and see the parameters before them.
  const size_t first_default = count - definition.defaults.size();
  for (size_t i = 0; i < count; ++i) {
    if (given[i].is_missing() && i >= first_default) {
      TERN_TRY_ASSIGN(given[i], eval(*definition.defaults[i - first_default], scope));
    } else if (given[i].is_missing()) {
      given[i] = runtime_.undefined(definition.parameter_names[i]);
    }
    define(scope, definition.parameters[i], given[i]);
  }
  std::string out;
  ++calls_;
  auto flow = run_block(definition.body, scope, &out);
  --calls_;
  TERN_TRY(std::move(flow));
  return runtime_.text(std::move(out));
}

Result<Value> Interpreter::call_loop(const Value& callee, const Args& args) {
  static constexpr std::string_view kNames[] = {"iterable"};
  Value given[1];
  TERN_TRY(runtime_.bind("loop", args, kNames, 1, given));
  const auto& state = callee.as<Loop>();
  if (state.recursive == nullptr)
    return runtime_.fail("only the loop of a 'for ... recursive' can be called");
  std::string out;
  ++calls_;
  auto flow = loop(*state.recursive, given[0], state.depth0 + 1, state.outer, &out);
  --calls_;
  TERN_TRY(std::move(flow));
  return runtime_.text(std::move(out));
}

Value Interpreter::loop_attribute(const Value& value, std::string_view name) {
  const auto& loop = value.as<Loop>();
  const auto& items = loop.items->items;
  const auto index = static_cast<int64_t>(loop.index), length = static_cast<int64_t>(items.size());
  if (name == "index") return Value::integer(index + 1);
  if (name == "index0") return Value::integer(index);
  if (name == "revindex") return Value::integer(length - index);
  if (name == "revindex0") return Value::integer(length - index - 1);
  if (name == "first") return Value::boolean(index == 0);
  if (name == "last") return Value::boolean(index + 1 == length);
  if (name == "length") return Value::integer(length);
  if (name == "depth") return Value::integer(loop.depth0 + 1);
  if (name == "depth0") return Value::integer(loop.depth0);
  if (name == "previtem") {
    return index > 0 ? items[loop.index - 1] : runtime_.undefined_hint("there is no previous item");
  }
  if (name == "nextitem") {
    return index + 1 < length ? items[loop.index + 1] : runtime_.undefined_hint("there is no next item");
  }
  return {};
}

Result<Value> Interpreter::call_loop_method(const Value& value, std::string_view name, const Args& args) {
  auto& loop = value.as<Loop>();
  if (!args.named.empty()) return runtime_.fail("loop.{} takes no named arguments", name);
  if (name == "cycle") {
    if (args.positional.empty()) return runtime_.fail("loop.cycle needs something to cycle through");
    return args.positional[loop.index % args.positional.size()];
  }
  bool same = loop.has_changed_before && loop.last_changed.size() == args.positional.size();
  for (size_t i = 0; same && i < args.positional.size(); ++i) {
    TERN_TRY_ASSIGN(same, runtime_.equal(loop.last_changed[i], args.positional[i]));
  }
  loop.has_changed_before = true;
  loop.last_changed = args.positional;
  return Value::boolean(!same);
}

Result<Value> Interpreter::make_range(const Args& args) {
  if (!args.named.empty() || args.positional.empty() || args.positional.size() > 3)
    return runtime_.fail("range needs one to three ints");
  int64_t bounds[3] = {0, 0, 1};
  for (size_t i = 0; i < args.positional.size(); ++i) {
    TERN_TRY_ASSIGN(bounds[args.positional.size() == 1 ? 1 : i],
                    runtime_.integer(args.positional[i], "an argument of range"));
  }
  if (bounds[2] == 0) return runtime_.fail("range: the step must not be 0");
  auto* range = runtime_.heap().make<Range>();
  range->start = bounds[0];
  range->stop = bounds[1];
  range->step = bounds[2];
  const __int128 span = bounds[2] > 0 ? static_cast<__int128>(bounds[1]) - bounds[0]
                                      : static_cast<__int128>(bounds[0]) - bounds[1];
  const __int128 step = bounds[2] > 0 ? static_cast<__int128>(bounds[2]) : -static_cast<__int128>(bounds[2]);
  const __int128 length = span <= 0 ? 0 : (span - 1) / step + 1;
  if (length > kMaxRange)
    return runtime_.located(ErrorCode::kOutOfMemory,
                            fmt::format("range has more than {} elements (limit on ranges)", kMaxRange));
  range->length = static_cast<int64_t>(length);
  return Value::of(Kind::kRange, range);
}

// dict(mapping or pairs, name=value...), also what namespace(...) starts with.
Result<Value> Interpreter::make_dict(const Args& args, std::string_view name) {
  if (args.positional.size() > 1) return runtime_.fail("{} takes at most one positional argument", name);
  auto* dict = runtime_.heap().make<Dict>();
  if (!args.positional.empty() && args.positional[0].is(Kind::kDict)) {
    TERN_TRY(runtime_.allow_items(args.positional[0].dict().items.size() * 2));
    dict->items = args.positional[0].dict().items;
    runtime_.heap().charge(dict->items.size() * sizeof(Value) * 2);
  } else if (!args.positional.empty()) {
    TERN_TRY_ASSIGN(const std::vector<Value> pairs, runtime_.iterate(args.positional[0]));
    for (const Value& pair : pairs) {
      TERN_TRY_ASSIGN(const std::vector<Value> parts, runtime_.iterate(pair));
      if (parts.size() != 2) return runtime_.fail("{} needs pairs of a key and a value", name);
      TERN_TRY(runtime_.insert(dict, parts[0], parts[1]));
    }
  }
  for (const auto& [key, value] : args.named) TERN_TRY(runtime_.insert(dict, runtime_.view(key), value));
  return Value::of(Kind::kDict, dict);
}

Result<Value> Interpreter::call_function(int64_t id, const Args& args) {
  const std::string_view name = kFunctions[static_cast<size_t>(id)];
  static constexpr std::string_view kMessage[] = {"message"}, kFormat[] = {"format"}, kSeparator[] = {"sep"};
  Value given[1];
  switch (id) {
    case kRange:
      return make_range(args);
    case kDict:
      return make_dict(args, name);
    case kNamespace: {
      TERN_TRY_ASSIGN(const Value dict, make_dict(args, name));
      auto* space = runtime_.heap().make<Namespace>();
      space->attributes.items = dict.dict().items;
      return Value::of(Kind::kNamespace, space);
    }
    case kCycler: {
      if (args.positional.empty() || !args.named.empty())
        return runtime_.fail("cycler needs something to cycle through");
      auto* cycler = runtime_.heap().make<Cycler>();
      cycler->items = args.positional;
      return Value::of(Kind::kCycler, cycler);
    }
    case kJoiner: {
      TERN_TRY(runtime_.bind(name, args, kSeparator, 0, given));
      auto* joiner = runtime_.heap().make<Joiner>();
      joiner->separator = given[0].is_missing() ? runtime_.view(", ") : given[0];
      return Value::of(Kind::kJoiner, joiner);
    }
    case kRaiseException: {
      TERN_TRY(runtime_.bind(name, args, kMessage, 1, given));
      TERN_TRY_ASSIGN(const std::string_view message, runtime_.str(given[0]));
      return runtime_.fail("the template refuses this conversation: {}", message.substr(0, 500));
    }
    default: {
      TERN_TRY(runtime_.bind(name, args, kFormat, 1, given));
      TERN_TRY_ASSIGN(const std::string_view format, runtime_.string(given[0], "the format of strftime_now"));
      TERN_TRY(runtime_.allow_text(format.size() * 16));  // "%c", two bytes, gives the longest text: 24 bytes
      return runtime_.text(runtime_.strftime(format));
    }
  }
}

}  // namespace tern::jinja
