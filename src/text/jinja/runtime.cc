// SPDX-License-Identifier: MIT
// Limits, value making, type names, truth, argument binding: the parts of the runtime every other part stands
// on.
#include "text/jinja/runtime.h"

#include "text/jinja/lexer.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {

Error Runtime::located(ErrorCode code, const std::string& message) const {
  const std::string line = on_one_line(message);
  if (line_ == 0) return Error{code, fmt::format("chat template: {}", line)};
  return Error{code, fmt::format("chat template line {}: {}", line_, line)};
}

Error Runtime::limit_error() const {
  if (heap_.is_exhausted()) {
    return located(
        ErrorCode::kOutOfMemory,
        fmt::format("needs more than {} MiB of values (limit on memory); the template is not usable",
                    limits_.memory_bytes >> 20));
  }
  return located(
      ErrorCode::kOutOfMemory,
      fmt::format("needs more than {} steps (limit on work); the template is not usable", limits_.steps));
}

Error Runtime::depth_error() const {
  return located(ErrorCode::kOutOfMemory,
                 fmt::format("calls or data nest deeper than {} levels (limit on depth)", limits_.depth));
}

Status Runtime::allow_text(uint64_t bytes) {
  TERN_TRY(check_text(bytes));
  return step_text(bytes);
}

Status Runtime::check_text(uint64_t bytes) {
  if (bytes > limits_.output_bytes) {
    return located(ErrorCode::kOutOfMemory,
                   fmt::format("makes a text of more than {} bytes (limit on output)", limits_.output_bytes));
  }
  if (bytes > heap_.free_bytes()) {
    heap_.charge(bytes);
    return limit_error();
  }
  return {};
}

Status Runtime::allow_items(uint64_t count) {
  if (count > heap_.free_bytes() / sizeof(Value)) {
    heap_.charge(UINT64_MAX);
    return limit_error();
  }
  return step(count);
}

Value Runtime::text(std::string bytes, bool markup) {
  heap_.charge(bytes.size());
  auto* string = heap_.make<String>();
  string->owned = std::move(bytes);
  string->bytes = string->owned;
  string->length = count_code_points(string->bytes);
  string->markup = markup;
  return Value::of(Kind::kString, string);
}

Value Runtime::view(std::string_view bytes, bool markup) {
  auto* string = heap_.make<String>();
  string->bytes = bytes;
  string->length = count_code_points(bytes);
  string->markup = markup;
  return Value::of(Kind::kString, string);
}

Value Runtime::list(std::vector<Value> items) {
  heap_.charge(items.size() * sizeof(Value));
  auto* list = heap_.make<List>();
  list->items = std::move(items);
  return Value::of(Kind::kList, list);
}

Value Runtime::tuple(std::vector<Value> items) {
  return Value::of(Kind::kTuple, list(std::move(items)).object());
}

Value Runtime::iterator(std::vector<Value> items) {
  heap_.charge(items.size() * sizeof(Value));
  auto* iterator = heap_.make<Iterator>();
  iterator->items = std::move(items);
  return Value::of(Kind::kIterator, iterator);
}

Value Runtime::undefined(std::string_view name) {
  auto* undefined = heap_.make<Undefined>();
  undefined->name = view(name);
  return Value::of(Kind::kUndefined, undefined);
}

Value Runtime::undefined_hint(std::string_view hint) {
  auto* undefined = heap_.make<Undefined>();
  undefined->hint = hint;
  return Value::of(Kind::kUndefined, undefined);
}

Value Runtime::undefined_member(const Value& owner, const Value& name) {
  auto* undefined = heap_.make<Undefined>();
  undefined->owner_type = type_name(owner);
  undefined->name = name;
  return Value::of(Kind::kUndefined, undefined);
}

Error Runtime::undefined_error(const Value& value) const {
  const auto& undefined = value.as<Undefined>();
  if (!undefined.hint.empty()) return fail("{}", undefined.hint);
  const std::string name = undefined.name.is_string()
                               ? fmt::format("'{}'", undefined.name.bytes().substr(0, 80))
                           : undefined.name.is_int_like() ? fmt::format("{}", undefined.name.as_int())
                                                          : std::string("of that kind");
  if (undefined.owner_type.empty()) return fail("{} is undefined", name);
  return fail("a value of type {} has no {} {}", undefined.owner_type,
              undefined.name.is_string() ? "attribute" : "element", name);
}

std::string_view Runtime::type_name(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
      return "missing";
    case Kind::kUndefined:
      return "Undefined";
    case Kind::kNone:
      return "NoneType";
    case Kind::kBool:
      return "bool";
    case Kind::kInt:
      return "int";
    case Kind::kFloat:
      return "float";
    case Kind::kString:
      return "str";
    case Kind::kList:
      return "list";
    case Kind::kTuple:
      return "tuple";
    case Kind::kDict:
      return "dict";
    case Kind::kDictView:
      return "dict view";
    case Kind::kRange:
      return "range";
    case Kind::kIterator:
      return "generator";
    case Kind::kNamespace:
      return "Namespace";
    case Kind::kLoop:
      return "LoopContext";
    case Kind::kMacro:
      return "Macro";
    case Kind::kMethod:
      return "method";
    case Kind::kFunction:
      return "function";
    case Kind::kCycler:
      return "Cycler";
    case Kind::kJoiner:
      return "Joiner";
  }
  return "object";
}

bool Runtime::truthy(const Value& value) {
  switch (value.kind()) {
    case Kind::kMissing:
    case Kind::kUndefined:
    case Kind::kNone:
      return false;
    case Kind::kBool:
    case Kind::kInt:
      return value.as_int() != 0;
    case Kind::kFloat:
      return value.as_double() != 0;
    case Kind::kString:
      return !value.bytes().empty();
    case Kind::kList:
    case Kind::kTuple:
      return !value.list().items.empty();
    case Kind::kDict:
      return !value.dict().items.empty();
    case Kind::kDictView:
      return !value.as<DictView>().dict->items.empty();
    case Kind::kRange:
      return value.as<Range>().length != 0;
    default:
      return true;  // also the loop: it has a length, which is never 0 while it runs
  }
}

Status Runtime::bind(std::string_view callee, const Args& args, std::span<const std::string_view> names,
                     size_t required, std::span<Value> out) const {
  if (args.positional.size() > names.size())
    return fail("{} takes at most {} arguments, {} were given", callee, names.size(), args.positional.size());
  for (size_t i = 0; i < args.positional.size(); ++i) out[i] = args.positional[i];
  for (const auto& [name, value] : args.named) {
    size_t i = 0;
    while (i < names.size() && names[i] != name) ++i;
    if (i == names.size()) return fail("{} has no argument named '{}'", callee, name.substr(0, 80));
    if (!out[i].is_missing()) return fail("{} was given its argument '{}' twice", callee, name);
    out[i] = value;
  }
  for (size_t i = 0; i < required; ++i)
    if (out[i].is_missing()) return fail("{} needs its argument '{}'", callee, names[i]);
  return {};
}

Result<int64_t> Runtime::integer(const Value& value, std::string_view what) const {
  if (value.is_int_like()) return value.as_int();
  if (value.is_undefined()) return undefined_error(value);
  return fail("{} must be an int, not {}", what, type_name(value));
}

Result<std::string_view> Runtime::string(const Value& value, std::string_view what) const {
  if (value.is_string()) return value.bytes();
  if (value.is_undefined()) return undefined_error(value);
  return fail("{} must be a str, not {}", what, type_name(value));
}

size_t find_text(std::string_view text, std::string_view needle, size_t from) {
  // The library's search is fast but quadratic at worst; short needles bound its factor, long ones go to KMP.
  if (needle.size() <= 32) return text.find(needle, from);
  if (from > text.size() || text.size() - from < needle.size()) return std::string_view::npos;
  std::vector<uint32_t> border(needle.size(), 0);
  for (size_t i = 1, k = 0; i < needle.size(); ++i) {
    while (k > 0 && needle[i] != needle[k]) k = border[k - 1];
    if (needle[i] == needle[k]) ++k;
    border[i] = static_cast<uint32_t>(k);
  }
  for (size_t i = from, k = 0; i < text.size(); ++i) {
    while (k > 0 && text[i] != needle[k]) k = border[k - 1];
    if (text[i] == needle[k]) ++k;
    if (k == needle.size()) return i + 1 - k;
  }
  return std::string_view::npos;
}

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '\'':
        out += "&#39;";
        break;
      case '"':
        out += "&#34;";
        break;
      default:
        out.push_back(c);
    }
  }
  return out;
}

}  // namespace tern::jinja
