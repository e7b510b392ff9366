// SPDX-License-Identifier: MIT
// One rendering: its limits, its heap, and the operations of Python's object model that filters, methods and
// the interpreter share (text of a value, equality, order, iteration, attribute and item access, arithmetic).
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "text/jinja/value.h"

namespace tern::jinja {

/// Bounds of one rendering of an untrusted template; each is an error that names the limit, never a hang.
struct Limits {
  uint64_t steps = 10'000'000;  // nodes evaluated, elements visited, 16-byte pieces of text worked on
  uint64_t memory_bytes = uint64_t{256} << 20;  // all values made during the rendering, dead ones included
  uint64_t output_bytes = uint64_t{32} << 20;   // of the result, and of each single text
  int depth = 200;                              // nested macro calls, and nesting of data
};

/// Local wall-clock time, as strftime_now of a template shows it.
struct LocalTime {
  int year = 1970, month = 1, day = 1;  // month 1..12, day 1..31
  int hour = 0, minute = 0, second = 0;
};

/// Arguments of a call: positional first, then named in the order written.
struct Args {
  std::vector<Value> positional;
  std::vector<std::pair<std::string_view, Value>> named;
};

class Runtime {
 public:
  Runtime(const Limits& limits, const LocalTime& now)
      : limits_(limits), now_(now), heap_(limits.memory_bytes) {}

  const Limits& limits() const { return limits_; }
  const LocalTime& now() const { return now_; }
  Heap& heap() { return heap_; }

  // --- errors and limits
  // -------------------------------------------------------------------------------------
  void set_line(int line) { line_ = line; }
  int line() const { return line_; }
  /// An error of the template or its input: "chat template line 3: message".
  template <class... A>
  Error fail(fmt::format_string<A...> format, A&&... args) const {
    return located(ErrorCode::kUsage, fmt::format(format, std::forward<A>(args)...));
  }
  Error located(ErrorCode code, const std::string& message) const;
  /// Counts `count` steps; fails once the steps or the memory of the rendering are spent.
  Status step(uint64_t count = 1) {
    steps_ += count;
    return steps_ > limits_.steps || heap_.is_exhausted() ? Status(limit_error()) : Status();
  }
  /// Counts the work on `bytes` of text.
  Status step_text(uint64_t bytes) { return step(1 + bytes / 16); }
  /// Fails where a text of `bytes` may not be made (limit of one text, or of the memory left).
  Status allow_text(uint64_t bytes);
  /// The same without counting work: for a text that grows piece by piece.
  Status check_text(uint64_t bytes);
  /// Fails where a sequence of `count` elements may not be made.
  Status allow_items(uint64_t count);
  Error depth_error() const;

  // --- making values
  // -----------------------------------------------------------------------------------------
  Value text(std::string bytes, bool markup = false);       // owns
  Value view(std::string_view bytes, bool markup = false);  // borrows: bytes must outlive the rendering
  Value list(std::vector<Value> items);
  Value tuple(std::vector<Value> items);
  Value iterator(std::vector<Value> items);
  Value undefined(std::string_view name);       // a variable
  Value undefined_hint(std::string_view hint);  // static text
  Value undefined_member(const Value& owner, const Value& name);

  // --- the object model (runtime_*.cc)
  // -----------------------------------------------------------------------
  static std::string_view type_name(const Value& value);  // "str", "dict", ...: Python's
  static bool truthy(const Value& value);
  Error undefined_error(const Value& undefined) const;

  Status append_str(const Value& value, std::string* out);  // str(value)
  Status append_repr(const Value& value, std::string* out, int depth = 0);
  Result<std::string_view> str(const Value& value);  // str(value); lives as long as the rendering
  Result<Value> str_value(const Value& value);       // the same as a string value (a string as it is)

  Result<bool> equal(const Value& a, const Value& b, int depth = 0);
  /// -1, 0, 1, or 2 where unordered (NaN); an error for types that Python does not order.
  Result<int> compare(const Value& a, const Value& b, std::string_view op, int depth = 0);
  /// The indices of `keys` in stable order, smallest (or largest) first.
  Result<std::vector<size_t>> sorted_order(const std::vector<Value>& keys, bool reverse);
  Result<bool> contains(const Value& container, const Value& element);
  Status check_hashable(const Value& key, int depth = 0);
  Result<const Value*> find(const Dict& dict, const Value& key);  // null where absent
  const Value* find(const Dict& dict, std::string_view key) const;
  Status insert(Dict* dict, const Value& key, const Value& value);

  Result<int64_t> length(const Value& value);
  Result<std::vector<Value>> iterate(const Value& value);          // list(value); empties an iterator
  Result<Value> get_attr(const Value& object, const Value& name);  // object.name
  Result<Value> get_item(const Value& object, const Value& key);   // object[key]
  Result<Value> slice(const Value& object, const Value& start, const Value& stop, const Value& step);
  /// Python's attribute (method, property) alone, without falling back to items; missing where there is none.
  Value builtin_attr(const Value& object, std::string_view name);

  Result<Value> binary(char op, const Value& a, const Value& b);  // + - * / % and 'f' = //, 'p' = **
  Result<Value> negate(const Value& value, bool minus);
  Result<Value> percent_format(const Value& format, const Value& arguments);
  Result<std::string> format_spec(const Value& value, std::string_view spec);
  Result<std::string> brace_format(std::string_view format, const Args& args);
  Result<std::string> tojson(const Value& value, const Args& args);
  std::string strftime(std::string_view format) const;

  // --- arguments
  // ---------------------------------------------------------------------------------------------
  /// Binds `args` to `names` as Python binds a call; out[i] is missing where not given. The first `required`
  /// names must be given.
  Status bind(std::string_view callee, const Args& args, std::span<const std::string_view> names,
              size_t required, std::span<Value> out) const;
  Result<int64_t> integer(const Value& value, std::string_view what) const;
  Result<std::string_view> string(const Value& value, std::string_view what) const;

 private:
  Error limit_error() const;
  Status append_items(const std::vector<Value>& items, Kind kind, std::string* out, int depth);
  Status append_pairs(const Dict& dict, std::string* out, int depth);
  Status append_special_repr(const Value& value, std::string* out, int depth);
  Result<Value> int_binary(char op, int64_t a, int64_t b);
  Result<Value> float_binary(char op, double a, double b);
  Result<Value> repeat(const Value& sequence, int64_t count);
  Result<Value> index(const Value& object, int64_t position);

  Limits limits_;
  LocalTime now_;
  Heap heap_;
  uint64_t steps_ = 0;
  int line_ = 0;
};

/// repr(float): the shortest digits that read back, Python's notation.
std::string float_repr(double value);
/// int(text, base): base 0 or 2..36, underscores, sign, prefix, white space around; nothing where Python
/// raises. `overflow` is set where the number needs more than 64 bits.
std::optional<int64_t> parse_int(std::string_view text, int64_t base, bool* overflow);
/// float(text).
std::optional<double> parse_float(std::string_view text);
/// First place of `needle` in `text` at or after `from`, npos where absent; linear time for every input.
size_t find_text(std::string_view text, std::string_view needle, size_t from = 0);
/// `text` with & < > ' " replaced as markupsafe does.
std::string escape_html(std::string_view text);

/// Filters, tests and methods by name; `input` is what stands left of the bar, of "is", of the dot.
using FilterFunction = Result<Value> (*)(Runtime&, const Value& input, const Args&);
using TestFunction = Result<bool> (*)(Runtime&, const Value& input, const Args&);
FilterFunction find_filter(std::string_view name);  // null where there is none
TestFunction find_test(std::string_view name);      // null where there is none
Result<Value> call_method(Runtime&, const Value& receiver, std::string_view name, const Args&);
/// The static name of the string method `name`, or empty where str has none.
std::string_view find_string_method(std::string_view name);
Result<Value> call_string_method(Runtime&, const Value& receiver, std::string_view name, const Args&);

}  // namespace tern::jinja
