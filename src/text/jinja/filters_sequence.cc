// SPDX-License-Identifier: MIT
// Filters over collections. What is a generator in jinja2 is an iterator here: computed at once, walked once.
#include <algorithm>

#include "text/jinja/filters.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

// The items in the order of their keys: `keys[i]` belongs to `items[i]`.
Result<std::vector<Value>> sort_by(Runtime& runtime, const std::vector<Value>& items,
                                   const std::vector<Value>& keys, bool reverse) {
  TERN_TRY_ASSIGN(const std::vector<size_t> order, runtime.sorted_order(keys, reverse));
  std::vector<Value> out;
  for (const size_t i : order) out.push_back(items[i]);
  return out;
}

// Generators cannot be walked backwards.
bool is_reversible(const Value& value) { return !value.is(Kind::kIterator); }

// The keys by which sort orders: attribute may name several, separated by commas.
Result<std::vector<Value>> sort_keys(Runtime& runtime, const std::vector<Value>& items,
                                     const Value& attribute, bool case_sensitive) {
  std::vector<Value> attributes;
  if (attribute.is_string()) {
    TERN_TRY_ASSIGN(const Value parts,
                    call_string_method(runtime, attribute, "split", {{runtime.view(",")}, {}}));
    attributes = parts.list().items;
  } else {
    attributes = {attribute};
  }
  std::vector<Value> keys;
  for (const Value& item : items) {
    std::vector<Value> key;
    for (const Value& part : attributes) {
      TERN_TRY_ASSIGN(Value value, follow_attribute(runtime, item, part));
      if (!case_sensitive) {
        TERN_TRY_ASSIGN(value, ignore_case(runtime, value));
      }
      key.push_back(value);
    }
    keys.push_back(
        runtime.list(std::move(key)));  // a list even of one: two missing values are equal, not an error
  }
  return keys;
}

Result<Value> min_or_max(Runtime& runtime, const Value& input, const Args& args, std::string_view name) {
  static constexpr std::string_view kNames[] = {"case_sensitive", "attribute"};
  Value given[2];
  TERN_TRY(runtime.bind(name, args, kNames, 0, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  if (items.empty())
    return runtime.undefined_hint("there is no smallest or largest item of an empty sequence");
  Value best, best_key;
  for (const Value& item : items) {
    TERN_TRY_ASSIGN(Value key, follow_attribute(runtime, item, given[1]));
    if (!Runtime::truthy(given[0])) {
      TERN_TRY_ASSIGN(key, ignore_case(runtime, key));
    }
    if (!best.is_missing()) {
      TERN_TRY_ASSIGN(const int order, runtime.compare(key, best_key, name == "min" ? "<" : ">"));
      if (order != (name == "min" ? -1 : 1)) continue;
    }
    best = item;
    best_key = key;
  }
  return best;
}

}  // namespace

Result<Value> ignore_case(Runtime& runtime, const Value& value) {
  if (!value.is_string()) return value;
  return call_string_method(runtime, value, "lower", {});
}

Result<Value> follow_attribute(Runtime& runtime, Value item, const Value& attribute, const Value& otherwise) {
  const bool has_default = !otherwise.is_missing() && !otherwise.is_none();
  const auto step_to = [&](const Value& part) -> Status {
    TERN_TRY_ASSIGN(item, runtime.get_item(item, part));
    if (item.is_undefined() && has_default) item = otherwise;
    return {};
  };
  if (attribute.is_missing() || attribute.is_none()) return item;
  if (!attribute.is_string()) {
    TERN_TRY(step_to(attribute));
    return item;
  }
  std::string_view rest = attribute.bytes();
  for (bool more = true; more;) {
    const size_t dot = rest.find('.');
    const auto part = rest.substr(0, dot);
    more = dot != std::string_view::npos;
    if (more) rest.remove_prefix(dot + 1);
    bool overflow = false;
    const bool digits = !part.empty() && part.find_first_not_of("0123456789") == std::string_view::npos;
    const auto number = digits ? parse_int(part, 10, &overflow) : std::nullopt;
    TERN_TRY(step_to(number && !overflow ? Value::integer(*number) : runtime.view(part)));
  }
  return item;
}

TERN_JINJA_FILTER(filter_length) {
  TERN_TRY(runtime.bind("length", args, {}, 0, {}));
  TERN_TRY_ASSIGN(const int64_t length, runtime.length(input));
  return Value::integer(length);
}

TERN_JINJA_FILTER(filter_first) {
  TERN_TRY(runtime.bind("first", args, {}, 0, {}));
  if (input.is(Kind::kIterator)) {  // takes one element and leaves the rest
    auto& iterator = input.as<Iterator>();
    if (iterator.position < iterator.items.size()) return iterator.items[iterator.position++];
  } else if (input.is_string() && !input.bytes().empty()) {
    return runtime.get_item(input, Value::integer(0));
  } else {
    TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
    if (!items.empty()) return items.front();
  }
  return runtime.undefined_hint("there is no first item, the sequence is empty");
}

TERN_JINJA_FILTER(filter_last) {
  TERN_TRY(runtime.bind("last", args, {}, 0, {}));
  if (!is_reversible(input))
    return runtime.fail("last: a generator cannot be reversed; pass it through |list");
  if (input.is_string() && !input.bytes().empty()) return runtime.get_item(input, Value::integer(-1));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  if (!items.empty()) return items.back();
  return runtime.undefined_hint("there is no last item, the sequence is empty");
}

TERN_JINJA_FILTER(filter_list) {
  TERN_TRY(runtime.bind("list", args, {}, 0, {}));
  TERN_TRY_ASSIGN(std::vector<Value> items, runtime.iterate(input));
  return runtime.list(std::move(items));
}

TERN_JINJA_FILTER(filter_join) {
  static constexpr std::string_view kNames[] = {"d", "attribute"};
  Value given[2];
  TERN_TRY(runtime.bind("join", args, kNames, 0, given));
  std::string_view separator;
  if (!given[0].is_missing()) {
    TERN_TRY_ASSIGN(separator, runtime.str(given[0]));
  }
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  std::string out;
  for (size_t i = 0; i < items.size(); ++i) {
    TERN_TRY_ASSIGN(const Value item, follow_attribute(runtime, items[i], given[1]));
    TERN_TRY(runtime.step_text(separator.size()));
    TERN_TRY(runtime.check_text(out.size() + separator.size()));
    if (i > 0) out.append(separator);
    TERN_TRY_ASSIGN(const std::string_view text, runtime.str(item));
    TERN_TRY(runtime.check_text(out.size() + text.size()));
    TERN_TRY(runtime.step_text(text.size()));
    out.append(text);
  }
  TERN_TRY(runtime.allow_text(out.size()));
  return runtime.text(std::move(out));
}

TERN_JINJA_FILTER(filter_reverse) {
  TERN_TRY(runtime.bind("reverse", args, {}, 0, {}));
  if (input.is_string()) return runtime.slice(input, Value(), Value(), Value::integer(-1));
  TERN_TRY_ASSIGN(std::vector<Value> items, runtime.iterate(input));
  std::reverse(items.begin(), items.end());
  return is_reversible(input) ? runtime.iterator(std::move(items)) : runtime.list(std::move(items));
}

TERN_JINJA_FILTER(filter_items) {
  TERN_TRY(runtime.bind("items", args, {}, 0, {}));
  std::vector<Value> pairs;
  if (!input.is_undefined()) {
    if (!input.is(Kind::kDict))
      return runtime.fail("items: needs a dict, not a {}", Runtime::type_name(input));
    TERN_TRY(runtime.allow_items(input.dict().items.size() * 8));
    for (const auto& [key, value] : input.dict().items) pairs.push_back(runtime.tuple({key, value}));
  }
  return runtime.iterator(std::move(pairs));
}

TERN_JINJA_FILTER(filter_dictsort) {
  static constexpr std::string_view kNames[] = {"case_sensitive", "by", "reverse"};
  Value given[3];
  TERN_TRY(runtime.bind("dictsort", args, kNames, 0, given));
  const std::string_view by = given[1].is_string() ? given[1].bytes() : given[1].is_missing() ? "key" : "";
  if (by != "key" && by != "value") return runtime.fail("dictsort: sorts by 'key' or by 'value' only");
  if (!input.is(Kind::kDict))
    return runtime.fail("dictsort: needs a dict, not a {}", Runtime::type_name(input));
  std::vector<Value> pairs, keys;
  TERN_TRY(runtime.allow_items(input.dict().items.size() * 8));
  for (const auto& [key, value] : input.dict().items) {
    pairs.push_back(runtime.tuple({key, value}));
    Value sort_key = by == "key" ? key : value;
    if (!Runtime::truthy(given[0])) {
      TERN_TRY_ASSIGN(sort_key, ignore_case(runtime, sort_key));
    }
    keys.push_back(sort_key);
  }
  TERN_TRY_ASSIGN(std::vector<Value> sorted, sort_by(runtime, pairs, keys, Runtime::truthy(given[2])));
  return runtime.list(std::move(sorted));
}

TERN_JINJA_FILTER(filter_sort) {
  static constexpr std::string_view kNames[] = {"reverse", "case_sensitive", "attribute"};
  Value given[3];
  TERN_TRY(runtime.bind("sort", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  TERN_TRY_ASSIGN(const std::vector<Value> keys,
                  sort_keys(runtime, items, given[2], Runtime::truthy(given[1])));
  TERN_TRY_ASSIGN(std::vector<Value> sorted, sort_by(runtime, items, keys, Runtime::truthy(given[0])));
  return runtime.list(std::move(sorted));
}

TERN_JINJA_FILTER(filter_unique) {
  static constexpr std::string_view kNames[] = {"case_sensitive", "attribute"};
  Value given[2];
  TERN_TRY(runtime.bind("unique", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  auto* seen = runtime.heap().make<Dict>();
  std::vector<Value> out;
  for (const Value& item : items) {
    TERN_TRY_ASSIGN(Value key, follow_attribute(runtime, item, given[1]));
    if (!Runtime::truthy(given[0])) {
      TERN_TRY_ASSIGN(key, ignore_case(runtime, key));
    }
    const size_t before = seen->items.size();
    TERN_TRY(runtime.insert(seen, key, Value::none()));
    if (seen->items.size() > before) out.push_back(item);
  }
  return runtime.iterator(std::move(out));
}

TERN_JINJA_FILTER(filter_min) { return min_or_max(runtime, input, args, "min"); }
TERN_JINJA_FILTER(filter_max) { return min_or_max(runtime, input, args, "max"); }

TERN_JINJA_FILTER(filter_sum) {
  static constexpr std::string_view kNames[] = {"attribute", "start"};
  Value given[2];
  TERN_TRY(runtime.bind("sum", args, kNames, 0, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  Value total = given[1].is_missing() ? Value::integer(0) : given[1];
  if (total.is_string()) return runtime.fail("sum: cannot sum strings; use |join");
  for (const Value& item : items) {
    TERN_TRY_ASSIGN(const Value value, follow_attribute(runtime, item, given[0]));
    TERN_TRY_ASSIGN(total, runtime.binary('+', total, value));
  }
  return total;
}

TERN_JINJA_FILTER(filter_groupby) {
  static constexpr std::string_view kNames[] = {"attribute", "default", "case_sensitive"};
  Value given[3];
  TERN_TRY(runtime.bind("groupby", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  const bool case_sensitive = Runtime::truthy(given[2]);
  std::vector<Value> keys, entries;
  for (const Value& item : items) {
    TERN_TRY_ASSIGN(const Value real, follow_attribute(runtime, item, given[0], given[1]));
    Value key = real;
    if (!case_sensitive) {
      TERN_TRY_ASSIGN(key, ignore_case(runtime, real));
    }
    keys.push_back(key);
    entries.push_back(runtime.tuple({key, real, item}));
  }
  TERN_TRY_ASSIGN(const std::vector<Value> sorted, sort_by(runtime, entries, keys, false));
  std::vector<Value> groups;
  Value current;  // the key of the group being filled
  for (const Value& entry : sorted) {
    const auto& parts = entry.list().items;
    bool same = false;
    if (!groups.empty()) {
      TERN_TRY_ASSIGN(same, runtime.equal(current, parts[0]));
    }
    if (!same) {
      current = parts[0];
      // The name of a group is written as its first member writes it.
      const Value group = runtime.tuple({parts[1], runtime.list({})});
      group.list().is_group = true;
      groups.push_back(group);
    }
    groups.back().list().items[1].list().items.push_back(parts[2]);
    runtime.heap().charge(sizeof(Value) * 2);
  }
  return runtime.list(std::move(groups));
}

TERN_JINJA_FILTER(filter_batch) {
  static constexpr std::string_view kNames[] = {"linecount", "fill_with"};
  Value given[2];
  TERN_TRY(runtime.bind("batch", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const int64_t count, runtime.integer(given[0], "the size of batch"));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  std::vector<Value> rows, row;
  for (size_t i = 0; i < items.size(); ++i) {
    if (static_cast<int64_t>(row.size()) == count) {
      rows.push_back(runtime.list(std::move(row)));
      row.clear();
    }
    row.push_back(items[i]);
  }
  if (!row.empty()) {
    const int64_t lacking = count - static_cast<int64_t>(row.size());
    if (!given[1].is_missing() && !given[1].is_none() && lacking > 0) {
      TERN_TRY(runtime.allow_items(static_cast<uint64_t>(lacking)));
      row.insert(row.end(), static_cast<size_t>(lacking), given[1]);
    }
    rows.push_back(runtime.list(std::move(row)));
  }
  return runtime.iterator(std::move(rows));
}

TERN_JINJA_FILTER(filter_slice) {
  static constexpr std::string_view kNames[] = {"slices", "fill_with"};
  Value given[2];
  TERN_TRY(runtime.bind("slice", args, kNames, 1, given));
  TERN_TRY_ASSIGN(const int64_t slices, runtime.integer(given[0], "the number of slices"));
  TERN_TRY_ASSIGN(const std::vector<Value> items, runtime.iterate(input));
  if (slices == 0) return runtime.fail("slice: the number of slices must not be 0");
  std::vector<Value> columns;
  const auto length = static_cast<int64_t>(items.size());
  TERN_TRY(runtime.allow_items(static_cast<uint64_t>(std::max<int64_t>(slices, 0)) * 8));
  const bool fills = !given[1].is_missing() && !given[1].is_none();
  int64_t begin = 0;
  for (int64_t i = 0; i < slices; ++i) {
    const int64_t end = begin + length / slices + (i < length % slices ? 1 : 0);
    std::vector<Value> column(items.begin() + begin, items.begin() + end);
    if (fills && i >= length % slices) column.push_back(given[1]);
    columns.push_back(runtime.list(std::move(column)));
    begin = end;
  }
  return runtime.iterator(std::move(columns));
}

}  // namespace tern::jinja
