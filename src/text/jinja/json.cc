// SPDX-License-Identifier: MIT
// The tojson filter as Hugging Face defines it: Python's json.dumps with ensure_ascii=False, nothing
// HTML-escaped.
#include <algorithm>
#include <cmath>

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"

namespace tern::jinja {
namespace {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  bool is_indented = false;
  std::string indent;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
};

void append_json_string(std::string_view text, bool ensure_ascii, std::string* out) {
  out->push_back('"');
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(text, &at);
    switch (c) {
      case '"':
        out->append("\\\"");
        break;
      case '\\':
        out->append("\\\\");
        break;
      case '\n':
        out->append("\\n");
        break;
      case '\r':
        out->append("\\r");
        break;
      case '\t':
        out->append("\\t");
        break;
      case '\b':
        out->append("\\b");
        break;
      case '\f':
        out->append("\\f");
        break;
      default:
        if (c < 0x20 || (ensure_ascii && c >= 0x7f && c < 0x10000 && c != 0x7f)) {
          fmt::format_to(std::back_inserter(*out), "\\u{:04x}", c);
        } else if (ensure_ascii && c >= 0x10000) {
          fmt::format_to(std::back_inserter(*out), "\\u{:04x}\\u{:04x}", 0xd800 + ((c - 0x10000) >> 10),
                         0xdc00 + ((c - 0x10000) & 0x3ff));
        } else {
          out->append(text.substr(begin, at - begin));
        }
    }
  }
  out->push_back('"');
}

std::string json_float(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, const JsonStyle& style) : runtime_(runtime), style_(style) {}

  Status write(const Value& value, int depth) {
    if (depth > runtime_.limits().depth) return runtime_.depth_error();
    TERN_TRY(runtime_.step());
    TERN_TRY(runtime_.check_text(out_.size()));
    switch (value.kind()) {
      case Kind::kNone:
        out_.append("null");
        return {};
      case Kind::kBool:
        out_.append(value.as_bool() ? "true" : "false");
        return {};
      case Kind::kInt:
        out_.append(std::to_string(value.as_int()));
        return {};
      case Kind::kFloat:
        out_.append(json_float(value.as_double()));
        return {};
      case Kind::kString:
        TERN_TRY(runtime_.step_text(value.bytes().size()));
        append_json_string(value.bytes(), style_.ensure_ascii, &out_);
        return {};
      case Kind::kList:
      case Kind::kTuple:
        return write_list(value.list().items, depth);
      case Kind::kDict:
        return write_dict(value.dict(), depth);
      default:
        return runtime_.fail("tojson: a value of type {} is not JSON", Runtime::type_name(value));
    }
  }

  std::string take() { return std::move(out_); }

 private:
  void newline(int depth) {
    if (!style_.is_indented) return;
    out_.push_back('\n');
    for (int i = 0; i < depth; ++i) out_.append(style_.indent);
  }

  Status write_list(const std::vector<Value>& items, int depth) {
    if (items.empty()) return out_.append("[]"), Status();
    out_.push_back('[');
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) out_.append(style_.item_separator);
      newline(depth + 1);
      TERN_TRY(write(items[i], depth + 1));
    }
    newline(depth);
    out_.push_back(']');
    return {};
  }

  Status write_key(const Value& key) {
    switch (key.kind()) {
      case Kind::kString:
        append_json_string(key.bytes(), style_.ensure_ascii, &out_);
        return {};
      case Kind::kNone:
        out_.append("\"null\"");
        return {};
      case Kind::kBool:
        out_.append(key.as_bool() ? "\"true\"" : "\"false\"");
        return {};
      case Kind::kInt:
        out_.append(fmt::format("\"{}\"", key.as_int()));
        return {};
      case Kind::kFloat:
        out_.append(fmt::format("\"{}\"", json_float(key.as_double())));
        return {};
      default:
        return runtime_.fail("tojson: a key of type {} is not JSON", Runtime::type_name(key));
    }
  }

  Status write_dict(const Dict& dict, int depth) {
    if (dict.items.empty()) return out_.append("{}"), Status();
    std::vector<Value> keys;
    for (const auto& item : dict.items) keys.push_back(item.first);
    std::vector<size_t> order(keys.size());
    for (size_t i = 0; i < order.size(); ++i) order[i] = i;
    if (style_.sort_keys) {
      TERN_TRY_ASSIGN(order, runtime_.sorted_order(keys, false));
    }
    out_.push_back('{');
    for (size_t i = 0; i < order.size(); ++i) {
      const auto& [key, value] = dict.items[order[i]];
      if (i > 0) out_.append(style_.item_separator);
      newline(depth + 1);
      TERN_TRY(write_key(key));
      out_.append(style_.key_separator);
      TERN_TRY(write(value, depth + 1));
    }
    newline(depth);
    out_.push_back('}');
    return {};
  }

  Runtime& runtime_;
  const JsonStyle& style_;
  std::string out_;
};

}  // namespace

Result<std::string> Runtime::tojson(const Value& value, const Args& args) {
  static constexpr std::string_view kNames[] = {"ensure_ascii", "indent", "separators", "sort_keys"};
  Value given[4];
  TERN_TRY(bind("tojson", args, kNames, 0, given));
  JsonStyle style;
  style.ensure_ascii = truthy(given[0]);
  style.sort_keys = truthy(given[3]);
  if (!given[1].is_missing() && !given[1].is_none()) {
    style.is_indented = true;
    style.item_separator = ",";
    if (given[1].is_string()) {
      style.indent = given[1].bytes();
    } else {
      TERN_TRY_ASSIGN(const int64_t width, integer(given[1], "the indent of tojson"));
      if (width > 1000) return fail("tojson: an indent of {} is more than 1000", width);
      style.indent.assign(static_cast<size_t>(std::max<int64_t>(width, 0)), ' ');
    }
  }
  if (!given[2].is_missing() && !given[2].is_none()) {
    TERN_TRY_ASSIGN(const std::vector<Value> separators, iterate(given[2]));
    if (separators.size() != 2) return fail("tojson: separators must be two strings");
    TERN_TRY_ASSIGN(style.item_separator, string(separators[0], "a separator of tojson"));
    TERN_TRY_ASSIGN(style.key_separator, string(separators[1], "a separator of tojson"));
  }
  JsonWriter writer(*this, style);
  TERN_TRY(writer.write(value, 0));
  std::string out = writer.take();
  TERN_TRY(allow_text(out.size()));
  return out;
}

}  // namespace tern::jinja
