// SPDX-License-Identifier: MIT
// The methods of Python's str. Results are views of the receiver where they are parts of it.
#include <algorithm>

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

using Names = std::span<const std::string_view>;

bool is_markup(const Value& value) { return value.string().markup; }

// --- trimming
// ----------------------------------------------------------------------------------------------------

bool is_in(uint32_t c, std::string_view characters, bool any_space) {
  if (any_space) return is_space(c);
  for (size_t at = 0; at < characters.size();)
    if (next_code_point(characters, &at) == c) return true;
  return false;
}

Result<Value> strip(Runtime& runtime, const Value& self, const Args& args, bool left, bool right) {
  static constexpr std::string_view kNames[] = {"chars"};
  Value given[1];
  TERN_TRY(runtime.bind("strip", args, kNames, 0, given));
  const bool any_space = given[0].is_missing() || given[0].is_none();
  std::string_view characters;
  if (!any_space) {
    TERN_TRY_ASSIGN(characters, runtime.string(given[0], "the argument of strip"));
  }
  const auto bytes = self.bytes();
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    TERN_TRY(runtime.step_text(characters.size()));
    size_t at = begin;
    if (!is_in(next_code_point(bytes, &at), characters, any_space)) break;
    begin = at;
  }
  while (right && end > begin) {
    TERN_TRY(runtime.step_text(characters.size()));
    size_t at = end;
    if (!is_in(previous_code_point(bytes, &at), characters, any_space)) break;
    end = at;
  }
  return runtime.view(bytes.substr(begin, end - begin), is_markup(self));
}

// --- splitting
// ---------------------------------------------------------------------------------------------------

Status push_part(Runtime& runtime, const Value& self, std::string_view part, std::vector<Value>* out) {
  out->push_back(runtime.view(part, is_markup(self)));
  return runtime.step();
}

Status split_space(Runtime& runtime, const Value& self, int64_t max_split, bool from_right,
                   std::vector<Value>* out) {
  std::string_view rest = self.bytes();
  const auto trim_front = [&] {
    while (!rest.empty()) {
      size_t at = 0;
      if (!is_space(next_code_point(rest, &at))) break;
      rest.remove_prefix(at);
    }
  };
  const auto trim_back = [&] {
    while (!rest.empty()) {
      size_t at = rest.size();
      if (!is_space(previous_code_point(rest, &at))) break;
      rest.remove_suffix(rest.size() - at);
    }
  };
  for (int64_t splits = 0;; ++splits) {
    from_right ? trim_back() : trim_front();
    if (rest.empty()) return {};
    if (max_split >= 0 && splits == max_split) return push_part(runtime, self, rest, out);
    size_t at = from_right ? rest.size() : 0;
    size_t cut = at;
    while (from_right ? at > 0 : at < rest.size()) {
      if (is_space(from_right ? previous_code_point(rest, &at) : next_code_point(rest, &at))) break;
      cut = at;
    }
    TERN_TRY(push_part(runtime, self, from_right ? rest.substr(cut) : rest.substr(0, cut), out));
    rest = from_right ? rest.substr(0, cut) : rest.substr(cut);
  }
}

size_t rfind_text(std::string_view text, std::string_view needle) {
  if (needle.size() <= 32) return text.rfind(needle);
  size_t found = std::string_view::npos;
  // Linear from the left: each hit moves on by one byte of a needle that is long, so hits are rare or overlap
  // cheaply.
  const std::string reversed_text(text.rbegin(), text.rend()),
      reversed_needle(needle.rbegin(), needle.rend());
  const size_t at = find_text(reversed_text, reversed_needle);
  if (at != std::string_view::npos) found = text.size() - at - needle.size();
  return found;
}

Result<Value> split(Runtime& runtime, const Value& self, const Args& args, bool from_right) {
  static constexpr std::string_view kNames[] = {"sep", "maxsplit"};
  Value given[2];
  TERN_TRY(runtime.bind("split", args, kNames, 0, given));
  int64_t max_split = -1;
  if (!given[1].is_missing()) {
    TERN_TRY_ASSIGN(max_split, runtime.integer(given[1], "maxsplit"));
  }
  TERN_TRY(runtime.step_text(self.bytes().size()));
  std::vector<Value> out;
  if (given[0].is_missing() || given[0].is_none()) {
    TERN_TRY(split_space(runtime, self, max_split, from_right, &out));
  } else {
    TERN_TRY_ASSIGN(const std::string_view separator, runtime.string(given[0], "the separator of split"));
    if (separator.empty()) return runtime.fail("split: the separator is empty");
    std::string_view rest = self.bytes();
    for (int64_t splits = 0; max_split < 0 || splits < max_split; ++splits) {
      if (separator.size() > 32) TERN_TRY(runtime.step_text(rest.size()));
      const size_t at = from_right ? rfind_text(rest, separator) : find_text(rest, separator);
      if (at == std::string_view::npos) break;
      TERN_TRY(push_part(runtime, self, from_right ? rest.substr(at + separator.size()) : rest.substr(0, at),
                         &out));
      rest = from_right ? rest.substr(0, at) : rest.substr(at + separator.size());
    }
    TERN_TRY(push_part(runtime, self, rest, &out));
  }
  if (from_right) std::reverse(out.begin(), out.end());
  return runtime.list(std::move(out));
}

Result<Value> split_lines(Runtime& runtime, const Value& self, const Args& args) {
  static constexpr std::string_view kNames[] = {"keepends"};
  Value given[1];
  TERN_TRY(runtime.bind("splitlines", args, kNames, 0, given));
  const bool keep = Runtime::truthy(given[0]);
  const auto bytes = self.bytes();
  std::vector<Value> out;
  TERN_TRY(runtime.step_text(bytes.size()));
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    const size_t end = at;
    const uint32_t c = next_code_point(bytes, &at);
    const bool is_break =
        (c >= 0xa && c <= 0xd) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
    if (!is_break) continue;
    if (c == '\r' && at < bytes.size() && bytes[at] == '\n') ++at;
    TERN_TRY(push_part(runtime, self, bytes.substr(begin, (keep ? at : end) - begin), &out));
    begin = at;
  }
  if (begin < bytes.size()) TERN_TRY(push_part(runtime, self, bytes.substr(begin), &out));
  return runtime.list(std::move(out));
}

Result<Value> partition(Runtime& runtime, const Value& self, const Args& args, bool from_right) {
  static constexpr std::string_view kNames[] = {"sep"};
  Value given[1];
  TERN_TRY(runtime.bind("partition", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::string_view separator, runtime.string(given[0], "the separator of partition"));
  if (separator.empty()) return runtime.fail("partition: the separator is empty");
  const auto bytes = self.bytes();
  TERN_TRY(runtime.step_text(bytes.size()));
  const size_t at = from_right ? rfind_text(bytes, separator) : find_text(bytes, separator);
  const Value nothing = runtime.view("", is_markup(self));
  if (at == std::string_view::npos) {
    return from_right ? runtime.tuple({nothing, nothing, self}) : runtime.tuple({self, nothing, nothing});
  }
  return runtime.tuple({runtime.view(bytes.substr(0, at), is_markup(self)),
                        runtime.view(bytes.substr(at, separator.size()), is_markup(self)),
                        runtime.view(bytes.substr(at + separator.size()), is_markup(self))});
}

// --- searching
// ---------------------------------------------------------------------------------------------------

// Binds (what, start, end) and gives the part of `self` that lies between; `start` in code points.
Status bind_range(Runtime& runtime, const Value& self, std::string_view name, const Args& args, Value* what,
                  std::string_view* part, int64_t* start) {
  static constexpr std::string_view kNames[] = {"sub", "start", "end"};
  Value given[3];
  TERN_TRY(runtime.bind(name, args, kNames, 1, given));
  *what = given[0];
  *start = 0;
  *part = self.bytes();
  if (given[1].is_missing() && given[2].is_missing()) return {};
  TERN_TRY_ASSIGN(const Value sliced, runtime.slice(self, given[1], given[2], Value()));
  *part = sliced.bytes();
  if (given[1].is_int_like()) {
    *start = given[1].as_int() < 0 ? std::max<int64_t>(given[1].as_int() + self.string().length, 0)
                                   : given[1].as_int();
    // A start behind the end finds nothing, not even the empty text.
    if (*start > self.string().length) *start = -1;
  }
  return {};
}

Result<Value> find(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  Value what;
  std::string_view part;
  int64_t start = 0;
  TERN_TRY(bind_range(runtime, self, name, args, &what, &part, &start));
  TERN_TRY_ASSIGN(const std::string_view needle, runtime.string(what, "the argument of find"));
  TERN_TRY(runtime.step_text(part.size()));
  const bool from_right = name[0] == 'r';
  const size_t at = start < 0    ? std::string_view::npos
                    : from_right ? rfind_text(part, needle)
                                 : find_text(part, needle);
  if (at == std::string_view::npos) {
    if (name.ends_with("index")) return runtime.fail("{}: the text does not occur", name);
    return Value::integer(-1);
  }
  return Value::integer(start + count_code_points(part.substr(0, at)));
}

Result<Value> count(Runtime& runtime, const Value& self, const Args& args) {
  Value what;
  std::string_view part;
  int64_t start = 0;
  TERN_TRY(bind_range(runtime, self, "count", args, &what, &part, &start));
  TERN_TRY_ASSIGN(const std::string_view needle, runtime.string(what, "the argument of count"));
  TERN_TRY(runtime.step_text(part.size()));
  if (start < 0) return Value::integer(0);
  if (needle.empty()) return Value::integer(count_code_points(part) + 1);
  int64_t hits = 0;
  for (size_t at = find_text(part, needle); at != std::string_view::npos;
       at = find_text(part, needle, at + needle.size())) {
    ++hits;
    if (needle.size() > 32) TERN_TRY(runtime.step_text(needle.size()));
  }
  return Value::integer(hits);
}

Result<Value> starts_or_ends(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  Value what;
  std::string_view part;
  int64_t start = 0;
  TERN_TRY(bind_range(runtime, self, name, args, &what, &part, &start));
  std::vector<Value> candidates = {what};
  if (what.is(Kind::kTuple)) candidates = what.list().items;
  for (const Value& candidate : candidates) {
    TERN_TRY_ASSIGN(const std::string_view affix, runtime.string(candidate, name));
    TERN_TRY(runtime.step_text(affix.size()));
    if (start >= 0 && (name[0] == 's' ? part.starts_with(affix) : part.ends_with(affix)))
      return Value::boolean(true);
  }
  return Value::boolean(false);
}

Result<Value> remove_affix(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  static constexpr std::string_view kNames[] = {"affix"};
  Value given[1];
  TERN_TRY(runtime.bind(name, args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::string_view affix, runtime.string(given[0], name));
  auto bytes = self.bytes();
  if (name == "removeprefix" && bytes.starts_with(affix)) bytes.remove_prefix(affix.size());
  if (name == "removesuffix" && bytes.ends_with(affix)) bytes.remove_suffix(affix.size());
  return runtime.view(bytes, is_markup(self));
}

// --- building
// ----------------------------------------------------------------------------------------------------

Result<Value> replace(Runtime& runtime, const Value& self, const Args& args) {
  static constexpr std::string_view kNames[] = {"old", "new", "count"};
  Value given[3];
  TERN_TRY(runtime.bind("replace", args, kNames, 2, given));
  TERN_TRY_ASSIGN(const std::string_view old_text, runtime.string(given[0], "the text replace looks for"));
  TERN_TRY_ASSIGN(std::string_view new_text, runtime.string(given[1], "the replacement"));
  int64_t left = -1;
  if (!given[2].is_missing()) {
    TERN_TRY_ASSIGN(left, runtime.integer(given[2], "the count of replace"));
  }
  std::string escaped;
  if (is_markup(self) && !given[1].string().markup) new_text = escaped = escape_html(new_text);
  const auto bytes = self.bytes();
  TERN_TRY(runtime.step_text(bytes.size()));
  std::string out;
  size_t at = 0;
  for (; left != 0; --left) {
    // An empty text stands before every character and at the end.
    const size_t hit = old_text.empty() ? at : find_text(bytes, old_text, at);
    if (hit == std::string_view::npos) break;
    TERN_TRY(runtime.step(old_text.size() > 32 ? 1 + (hit - at + old_text.size()) / 16 : 1));
    TERN_TRY(runtime.check_text(out.size() + new_text.size() + (hit - at)));
    out.append(bytes.substr(at, hit - at)).append(new_text);
    at = hit + old_text.size();
    if (old_text.empty()) {
      if (at >= bytes.size()) return runtime.text(std::move(out), is_markup(self));
      const size_t begin = at;
      next_code_point(bytes, &at);
      out.append(bytes.substr(begin, at - begin));
    }
  }
  TERN_TRY(runtime.allow_text(out.size() + bytes.size() - at));
  out.append(bytes.substr(at));
  return runtime.text(std::move(out), is_markup(self));
}

Result<Value> justify(Runtime& runtime, const Value& self, std::string_view name, const Args& args) {
  static constexpr std::string_view kNames[] = {"width", "fillchar"};
  Value given[2];
  TERN_TRY(runtime.bind(name, args, kNames, 1, given));
  TERN_TRY_ASSIGN(const int64_t width, runtime.integer(given[0], "the width"));
  std::string_view fill = " ";
  if (!given[1].is_missing()) {
    TERN_TRY_ASSIGN(fill, runtime.string(given[1], "the fill character"));
    if (given[1].string().length != 1)
      return runtime.fail("{}: the fill character must be one character", name);
  }
  const int64_t length = self.string().length;
  const uint64_t padding = width > length ? static_cast<uint64_t>(width - length) : 0;
  TERN_TRY(runtime.check_text(padding));
  TERN_TRY(runtime.allow_text(self.bytes().size() + padding * fill.size()));
  // Python's center puts the odd blank left where padding and width are odd both.
  const uint64_t before = name == "rjust"    ? padding
                          : name == "center" ? padding / 2 + (padding & static_cast<uint64_t>(width) & 1)
                                             : 0;
  std::string out;
  for (uint64_t i = 0; i < before; ++i) out.append(fill);
  out.append(self.bytes());
  for (uint64_t i = before; i < padding; ++i) out.append(fill);
  return runtime.text(std::move(out), is_markup(self));
}

Result<Value> zfill(Runtime& runtime, const Value& self, const Args& args) {
  static constexpr std::string_view kNames[] = {"width"};
  Value given[1];
  TERN_TRY(runtime.bind("zfill", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const int64_t width, runtime.integer(given[0], "the width"));
  if (width <= self.string().length) return self;
  const auto padding = static_cast<uint64_t>(width - self.string().length);
  TERN_TRY(runtime.check_text(padding));
  TERN_TRY(runtime.allow_text(self.bytes().size() + padding));
  std::string out(self.bytes());
  const size_t sign = !out.empty() && (out[0] == '+' || out[0] == '-') ? 1 : 0;
  out.insert(sign, padding, '0');
  return runtime.text(std::move(out), is_markup(self));
}

Result<Value> expand_tabs(Runtime& runtime, const Value& self, const Args& args) {
  static constexpr std::string_view kNames[] = {"tabsize"};
  Value given[1];
  TERN_TRY(runtime.bind("expandtabs", args, kNames, 0, given));
  int64_t size = 8;
  if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(size, runtime.integer(given[0], "tabsize"));
  }
  std::string out;
  int64_t column = 0;
  for (const char c : self.bytes()) {
    if (c == '\t') {
      const int64_t blanks = size > 0 ? size - column % size : 0;
      TERN_TRY(runtime.check_text(out.size() + static_cast<uint64_t>(blanks)));
      out.append(static_cast<size_t>(blanks), ' ');
      column += blanks;
    } else {
      out.push_back(c);
      if (c == '\n' || c == '\r')
        column = 0;
      else if ((static_cast<unsigned char>(c) & 0xc0) != 0x80)
        ++column;
    }
  }
  TERN_TRY(runtime.allow_text(out.size()));
  return runtime.text(std::move(out), is_markup(self));
}

Result<Value> join(Runtime& runtime, const Value& self, const Args& args) {
  static constexpr std::string_view kNames[] = {"iterable"};
  Value given[1];
  TERN_TRY(runtime.bind("join", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(given[0]));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    TERN_TRY_ASSIGN(const std::string_view item, runtime.string(items[i], "an item of join"));
    TERN_TRY(runtime.step_text(item.size() + self.bytes().size()));
    TERN_TRY(runtime.check_text(out.size() + item.size() + self.bytes().size()));
    if (i > 0) out.append(self.bytes());
    if (is_markup(self) && !items[i].string().markup) {
      out.append(escape_html(item));
    } else {
      out.append(item);
    }
  }
  TERN_TRY(runtime.allow_text(out.size()));
  return runtime.text(std::move(out), is_markup(self));
}

// --- questions
// ---------------------------------------------------------------------------------------------------

bool all_characters(std::string_view bytes, bool (*is)(uint32_t)) {
  for (size_t at = 0; at < bytes.size();)
    if (!is(next_code_point(bytes, &at))) return false;
  return !bytes.empty();
}

bool is_alnum(uint32_t c) { return is_alpha(c) || is_digit(c) || is_numeric(c); }

// islower, isupper: some cased character, and none of the other case.
bool all_cased(std::string_view bytes, bool (*wanted)(uint32_t)) {
  bool seen = false;
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t c = next_code_point(bytes, &at);
    if (!is_cased(c)) continue;
    if (!wanted(c)) return false;
    seen = true;
  }
  return seen;
}

bool is_title_text(std::string_view bytes) {
  bool seen = false, previous_is_cased = false;
  for (size_t at = 0; at < bytes.size();) {
    const uint32_t c = next_code_point(bytes, &at);
    if (is_upper(c) || is_title(c)) {
      if (previous_is_cased) return false;
      previous_is_cased = seen = true;
    } else if (is_lower(c)) {
      if (!previous_is_cased) return false;
      previous_is_cased = seen = true;
    } else {
      previous_is_cased = false;
    }
  }
  return seen;
}

std::optional<bool> ask(std::string_view bytes, const String& self, std::string_view name) {
  if (name == "isalnum") return all_characters(bytes, is_alnum);
  if (name == "isalpha") return all_characters(bytes, is_alpha);
  if (name == "isascii") return self.is_ascii();
  if (name == "isdecimal") return all_characters(bytes, is_decimal);
  if (name == "isdigit") return all_characters(bytes, is_digit);
  if (name == "isidentifier") return is_identifier(bytes);
  if (name == "islower") return all_cased(bytes, is_lower);
  if (name == "isnumeric") return all_characters(bytes, is_numeric);
  if (name == "isprintable") return bytes.empty() || all_characters(bytes, is_printable);
  if (name == "isspace") return all_characters(bytes, is_space);
  if (name == "istitle") return is_title_text(bytes);
  if (name == "isupper") return all_cased(bytes, is_upper);
  return std::nullopt;
}

std::optional<std::string> change_case(std::string_view bytes, std::string_view name) {
  if (name == "upper") return to_upper(bytes);
  if (name == "lower") return to_lower(bytes);
  if (name == "title") return to_title(bytes);
  if (name == "capitalize") return to_capitalized(bytes);
  if (name == "casefold") return to_casefold(bytes);
  if (name == "swapcase") return swap_case(bytes);
  return std::nullopt;
}

constexpr std::string_view kStringMethods[] = {
    "capitalize", "casefold",     "center",       "count",   "encode",     "endswith",    "expandtabs",
    "find",       "format",       "format_map",   "index",   "isalnum",    "isalpha",     "isascii",
    "isdecimal",  "isdigit",      "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",
    "istitle",    "isupper",      "join",         "ljust",   "lower",      "lstrip",      "maketrans",
    "partition",  "removeprefix", "removesuffix", "replace", "rfind",      "rindex",      "rjust",
    "rpartition", "rsplit",       "rstrip",       "split",   "splitlines", "startswith",  "strip",
    "swapcase",   "title",        "translate",    "upper",   "zfill"};

}  // namespace

std::string_view find_string_method(std::string_view name) {
  const auto* found = std::lower_bound(std::begin(kStringMethods), std::end(kStringMethods), name);
  return found != std::end(kStringMethods) && *found == name ? *found : std::string_view();
}

Result<Value> call_string_method(Runtime& runtime, const Value& self, std::string_view name,
                                 const Args& args) {
  if (name == "strip") return strip(runtime, self, args, true, true);
  if (name == "lstrip") return strip(runtime, self, args, true, false);
  if (name == "rstrip") return strip(runtime, self, args, false, true);
  if (name == "split") return split(runtime, self, args, false);
  if (name == "rsplit") return split(runtime, self, args, true);
  if (name == "splitlines") return split_lines(runtime, self, args);
  if (name == "partition") return partition(runtime, self, args, false);
  if (name == "rpartition") return partition(runtime, self, args, true);
  if (name == "find" || name == "rfind" || name == "index" || name == "rindex")
    return find(runtime, self, name, args);
  if (name == "count") return count(runtime, self, args);
  if (name == "startswith" || name == "endswith") return starts_or_ends(runtime, self, name, args);
  if (name == "removeprefix" || name == "removesuffix") return remove_affix(runtime, self, name, args);
  if (name == "replace") return replace(runtime, self, args);
  if (name == "ljust" || name == "rjust" || name == "center") return justify(runtime, self, name, args);
  if (name == "zfill") return zfill(runtime, self, args);
  if (name == "expandtabs") return expand_tabs(runtime, self, args);
  if (name == "join") return join(runtime, self, args);
  if (name == "format" || name == "format_map") {
    Args fields = args;
    if (name == "format_map") {
      if (args.positional.size() != 1 || !args.positional[0].is(Kind::kDict) || !args.named.empty())
        return runtime.fail("format_map needs one dict");
      fields.positional.clear();
      for (const auto& [key, value] : args.positional[0].dict().items)
        if (key.is_string()) fields.named.emplace_back(key.bytes(), value);
    }
    TERN_TRY_ASSIGN(std::string formatted, runtime.brace_format(self.bytes(), fields));
    return runtime.text(std::move(formatted), is_markup(self));
  }
  TERN_TRY(runtime.step_text(self.bytes().size()));
  if (const auto answer = ask(self.bytes(), self.string(), name)) {
    TERN_TRY(runtime.bind(name, args, {}, 0, {}));
    return Value::boolean(*answer);
  }
  TERN_TRY(runtime.allow_text(self.bytes().size()));
  if (auto changed = change_case(self.bytes(), name)) {
    TERN_TRY(runtime.bind(name, args, {}, 0, {}));
    return runtime.text(std::move(*changed), is_markup(self));
  }
  return runtime.fail("str.{} is not supported in chat templates", name);
}

}  // namespace tern::jinja
