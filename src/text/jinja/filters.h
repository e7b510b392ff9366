// SPDX-License-Identifier: MIT
// The filters, by the file that holds them; filters.cc has the table.
#pragma once

#include "text/jinja/runtime.h"

namespace tern::jinja {

#define TERN_JINJA_FILTER(name) Result<Value> name(Runtime& runtime, const Value& input, const Args& args)

// filters_text.cc
TERN_JINJA_FILTER(filter_upper);
TERN_JINJA_FILTER(filter_lower);
TERN_JINJA_FILTER(filter_title);
TERN_JINJA_FILTER(filter_capitalize);
TERN_JINJA_FILTER(filter_trim);
TERN_JINJA_FILTER(filter_replace);
TERN_JINJA_FILTER(filter_indent);
TERN_JINJA_FILTER(filter_center);
TERN_JINJA_FILTER(filter_truncate);
TERN_JINJA_FILTER(filter_wordcount);
TERN_JINJA_FILTER(filter_string);
TERN_JINJA_FILTER(filter_safe);
TERN_JINJA_FILTER(filter_escape);
TERN_JINJA_FILTER(filter_forceescape);
TERN_JINJA_FILTER(filter_format);
TERN_JINJA_FILTER(filter_tojson);
TERN_JINJA_FILTER(filter_urlencode);
TERN_JINJA_FILTER(filter_filesizeformat);

// filters_sequence.cc
TERN_JINJA_FILTER(filter_length);
TERN_JINJA_FILTER(filter_first);
TERN_JINJA_FILTER(filter_last);
TERN_JINJA_FILTER(filter_list);
TERN_JINJA_FILTER(filter_join);
TERN_JINJA_FILTER(filter_reverse);
TERN_JINJA_FILTER(filter_items);
TERN_JINJA_FILTER(filter_dictsort);
TERN_JINJA_FILTER(filter_sort);
TERN_JINJA_FILTER(filter_unique);
TERN_JINJA_FILTER(filter_min);
TERN_JINJA_FILTER(filter_max);
TERN_JINJA_FILTER(filter_sum);
TERN_JINJA_FILTER(filter_groupby);
TERN_JINJA_FILTER(filter_batch);
TERN_JINJA_FILTER(filter_slice);

// filters_select.cc
TERN_JINJA_FILTER(filter_map);
TERN_JINJA_FILTER(filter_select);
TERN_JINJA_FILTER(filter_reject);
TERN_JINJA_FILTER(filter_selectattr);
TERN_JINJA_FILTER(filter_rejectattr);
TERN_JINJA_FILTER(filter_default);
TERN_JINJA_FILTER(filter_attr);
TERN_JINJA_FILTER(filter_int);
TERN_JINJA_FILTER(filter_float);
TERN_JINJA_FILTER(filter_abs);
TERN_JINJA_FILTER(filter_round);
TERN_JINJA_FILTER(filter_unsupported);

/// Follows `attribute` ("a.b.0", an int, or nothing) from `item`, as filters with attribute= do; where a part
/// leads nowhere and `otherwise` is given, goes on from that.
Result<Value> follow_attribute(Runtime& runtime, Value item, const Value& attribute,
                               const Value& otherwise = Value());
/// The value in lower case if it is a string, else the value.
Result<Value> ignore_case(Runtime& runtime, const Value& value);

}  // namespace tern::jinja
