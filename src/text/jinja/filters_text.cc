// SPDX-License-Identifier: MIT
// Filters that make texts of texts.
#include <cmath>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

bool markup_of(const Value& value) { return value.is_string() && value.string().markup; }

Result<Value> with_case(Runtime& runtime, const Value& input, const Args& args, std::string_view method) {
  TERN_TRY(runtime.bind(method, args, {}, 0, {}));
  TERN_TRY_ASSIGN(const Value text, runtime.str_value(input));
  return call_string_method(runtime, text, method, {});
}

}  // namespace

TERN_JINJA_FILTER(filter_upper) { return with_case(runtime, input, args, "upper"); }
TERN_JINJA_FILTER(filter_lower) { return with_case(runtime, input, args, "lower"); }
TERN_JINJA_FILTER(filter_capitalize) { return with_case(runtime, input, args, "capitalize"); }

// Words begin behind white space, a hyphen or an opening bracket; unlike str.title, "don't" stays one word.
TERN_JINJA_FILTER(filter_title) {
  TERN_TRY(runtime.bind("title", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
  TERN_TRY(runtime.allow_text(text.size()));
  std::string out;
  const auto is_delimiter = [](uint32_t c) {
    return c == '-' || is_space(c) || c == '(' || c == '{' || c == '[' || c == '<';
  };
  for (size_t at = 0; at < text.size();) {
    size_t end = at;
    const bool delimiters = is_delimiter(next_code_point(text, &end));
    for (size_t next = end; end < text.size(); end = next)
      if (is_delimiter(next_code_point(text, &next)) != delimiters) break;
    const auto word = text.substr(at, end - at);
    size_t first = 0;
    next_code_point(word, &first);
    out += delimiters ? std::string(word) : to_upper(word.substr(0, first)) + to_lower(word.substr(first));
    at = end;
  }
  return runtime.text(std::move(out));
}

TERN_JINJA_FILTER(filter_trim) {
  TERN_TRY_ASSIGN(const Value text, runtime.str_value(input));
  return call_string_method(runtime, text, "strip", args);
}

TERN_JINJA_FILTER(filter_replace) {
  static constexpr std::string_view kNames[] = {"old", "new", "count"};
  Value given[3];
  TERN_TRY(runtime.bind("replace", args, kNames, 2, given));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
  Args strings;
  for (int i = 0; i < 2; ++i) {
    TERN_TRY_ASSIGN(const std::string_view part, runtime.str(given[i]));
    strings.positional.push_back(runtime.view(part));
  }
  if (!given[2].is_missing() && !given[2].is_none()) strings.positional.push_back(given[2]);
  return call_string_method(runtime, runtime.view(text), "replace", strings);
}

TERN_JINJA_FILTER(filter_indent) {
  static constexpr std::string_view kNames[] = {"width", "first", "blank"};
  Value given[3];
  TERN_TRY(runtime.bind("indent", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.string(input, "the input of indent"));
  std::string indention(4, ' ');
  if (given[0].is_string()) {
    indention = given[0].bytes();
  } else if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(const int64_t width, runtime.integer(given[0], "the width of indent"));
    if (width > 100'000) return runtime.fail("indent: a width of {} is more than 100000", width);
    indention.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
  }
  const bool first = Runtime::truthy(given[1]), blank = Runtime::truthy(given[2]);
  // A newline is appended before splitting, so that a last empty line is kept.
  TERN_TRY(runtime.allow_text(text.size() + 1));
  const Value lines_of = runtime.text(std::string(text) + "\n", markup_of(input));
  TERN_TRY_ASSIGN(const Value lines, call_string_method(runtime, lines_of, "splitlines", {}));
  std::string out = first ? indention : "";
  const auto& items = lines.list().items;
  for (size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.push_back('\n');
    if (i > 0 && (blank || !items[i].bytes().empty())) out += indention;
    out += items[i].bytes();
    TERN_TRY(runtime.check_text(out.size()));
    TERN_TRY(runtime.step_text(indention.size()));
  }
  TERN_TRY(runtime.allow_text(out.size()));
  return runtime.text(std::move(out), markup_of(input));
}

TERN_JINJA_FILTER(filter_center) {
  static constexpr std::string_view kNames[] = {"width"};
  Value given[1];
  TERN_TRY(runtime.bind("center", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const Value text, runtime.str_value(input));
  return call_string_method(runtime, text, "center",
                            {{given[0].is_missing() ? Value::integer(80) : given[0]}, {}});
}

TERN_JINJA_FILTER(filter_truncate) {
  static constexpr std::string_view kNames[] = {"length", "killwords", "end", "leeway"};
  Value given[4];
  TERN_TRY(runtime.bind("truncate", args, kNames, 0, given));
  int64_t length = 255, leeway = 5;
  std::string_view end = "...";
  if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(length, runtime.integer(given[0], "the length of truncate"));
  }
  if (!given[2].is_missing()) {
    TERN_TRY_ASSIGN(end, runtime.string(given[2], "the end of truncate"));
  }
  if (!given[3].is_missing() && !given[3].is_none()) {
    TERN_TRY_ASSIGN(leeway, runtime.integer(given[3], "the leeway of truncate"));
  }
  const int64_t end_length = count_code_points(end);
  if (length < end_length || leeway < 0)
    return runtime.fail("truncate: the length or the leeway is too small");
  TERN_TRY_ASSIGN(const int64_t input_length, runtime.length(input));
  if (input_length - leeway <= length) return input;
  TERN_TRY(runtime.string(input, "the input of truncate"));
  TERN_TRY_ASSIGN(const Value kept,
                  runtime.slice(input, Value(), Value::integer(length - end_length), Value()));
  auto text = kept.bytes();
  if (!Runtime::truthy(given[1])) text = text.substr(0, text.rfind(' '));
  TERN_TRY(runtime.allow_text(text.size() + end.size()));
  return runtime.text(std::string(text).append(end), markup_of(input));
}

TERN_JINJA_FILTER(filter_wordcount) {
  TERN_TRY(runtime.bind("wordcount", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
  TERN_TRY(runtime.step_text(text.size()));
  int64_t words = 0;
  bool inside = false;
  for (size_t at = 0; at < text.size();) {
    const uint32_t c = next_code_point(text, &at);
    const bool is_word = c == '_' || is_alpha(c) || is_numeric(c) || is_digit(c);
    words += is_word && !inside;
    inside = is_word;
  }
  return Value::integer(words);
}

TERN_JINJA_FILTER(filter_string) {
  TERN_TRY(runtime.bind("string", args, {}, 0, {}));
  return runtime.str_value(input);
}

TERN_JINJA_FILTER(filter_safe) {
  TERN_TRY(runtime.bind("safe", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
  return runtime.view(text, true);
}

TERN_JINJA_FILTER(filter_escape) {
  if (markup_of(input)) return input;
  return filter_forceescape(runtime, input, args);
}

TERN_JINJA_FILTER(filter_forceescape) {
  TERN_TRY(runtime.bind("escape", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
  TERN_TRY(runtime.allow_text(text.size() * 5));
  return runtime.text(escape_html(text), true);
}

TERN_JINJA_FILTER(filter_format) {
  if (!args.positional.empty() && !args.named.empty())
    return runtime.fail("format: values are either positional or named, not both");
  TERN_TRY_ASSIGN(const Value text, runtime.str_value(input));
  if (args.named.empty()) return runtime.percent_format(text, runtime.tuple(args.positional));
  auto* dict = runtime.heap().make<Dict>();
  for (const auto& [name, value] : args.named) dict->items.emplace_back(runtime.view(name), value);
  return runtime.percent_format(text, Value::of(Kind::kDict, dict));
}

TERN_JINJA_FILTER(filter_tojson) {
  TERN_TRY_ASSIGN(std::string json, runtime.tojson(input, args));
  return runtime.text(std::move(json));
}

namespace {

void append_quoted(std::string_view text, bool is_query, std::string* out) {
  for (const char c : text) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                       c == '_' || c == '.' || c == '-' || c == '~' || (c == '/' && !is_query);
    if (plain) {
      out->push_back(c);
    } else if (c == ' ' && is_query) {
      out->push_back('+');
    } else {
      fmt::format_to(std::back_inserter(*out), "%{:02X}", static_cast<unsigned char>(c));
    }
  }
}

}  // namespace

TERN_JINJA_FILTER(filter_urlencode) {
  TERN_TRY(runtime.bind("urlencode", args, {}, 0, {}));
  std::string out;
  const bool is_collection = input.is_sequence() || input.is(Kind::kDict) || input.is(Kind::kDictView) ||
                             input.is(Kind::kIterator) || input.is(Kind::kRange) || input.is_undefined();
  if (!is_collection) {
    TERN_TRY_ASSIGN(const std::string_view text, runtime.str(input));
    TERN_TRY(runtime.allow_text(text.size() * 3));
    append_quoted(text, false, &out);
    return runtime.text(std::move(out));
  }
  std::vector<Value> pairs;
  if (input.is(Kind::kDict)) {
    for (const auto& [key, value] : input.dict().items) pairs.push_back(runtime.tuple({key, value}));
  } else {
    TERN_TRY_ASSIGN(pairs, runtime.iterate(input));
  }
  for (const Value& pair : pairs) {
    TERN_TRY_ASSIGN(const std::vector<Value> parts, runtime.iterate(pair));
    if (parts.size() != 2) return runtime.fail("urlencode: needs pairs of a key and a value");
    if (!out.empty()) out.push_back('&');
    for (int i = 0; i < 2; ++i) {
      TERN_TRY_ASSIGN(const std::string_view text, runtime.str(parts[static_cast<size_t>(i)]));
      TERN_TRY(runtime.step_text(text.size() * 3));
      TERN_TRY(runtime.check_text(out.size() + text.size() * 3));
      append_quoted(text, true, &out);
      if (i == 0) out.push_back('=');
    }
  }
  return runtime.text(std::move(out));
}

TERN_JINJA_FILTER(filter_filesizeformat) {
  static constexpr std::string_view kNames[] = {"binary"};
  static constexpr char kPrefixes[] = "kMGTPEZY";
  Value given[1];
  TERN_TRY(runtime.bind("filesizeformat", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const Value number, filter_float(runtime, input, {{Value::none()}, {}}));
  if (number.is_none())
    return runtime.fail("filesizeformat: needs a number, not a {}", Runtime::type_name(input));
  const bool binary = Runtime::truthy(given[0]);
  const double base = binary ? 1024 : 1000, bytes = number.as_double();
  if (bytes == 1) return runtime.view("1 Byte");
  if (bytes < base) return runtime.text(fmt::format("{} Bytes", static_cast<int64_t>(bytes)));
  double unit = base;
  size_t i = 0;
  do {
    unit *= base;
  } while (bytes >= unit && ++i < 7);
  if (i == 7) unit = std::pow(base, 9);
  std::string prefix(1, kPrefixes[i]);
  if (binary) prefix = std::string(1, i == 0 ? 'K' : kPrefixes[i]) + "i";
  return runtime.text(fmt::format("{:.1f} {}B", base * bytes / unit, prefix));
}

}  // namespace tern::jinja
