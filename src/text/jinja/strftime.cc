// SPDX-License-Identifier: MIT
// strftime of the C locale, written out so that no process-wide locale and no C library can change a prompt.
#include <array>
#include <optional>

#include "text/jinja/runtime.h"

namespace tern::jinja {
namespace {

constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                      "May",       "June",     "July",     "August",
                                                      "September", "October",  "November", "December"};
constexpr std::array<std::string_view, 7> kDays = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};

bool is_leap(int year) { return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0; }

int day_of_year(const LocalTime& t) {  // 0..365
  static constexpr int kBefore[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
  return kBefore[t.month - 1] + t.day - 1 + (t.month > 2 && is_leap(t.year) ? 1 : 0);
}

int weekday(const LocalTime& t) {  // 0 = Sunday
  const int64_t years = int64_t{t.year} - 1;
  return static_cast<int>((years * 365 + years / 4 - years / 100 + years / 400 + day_of_year(t) + 1) % 7);
}

// ISO 8601 week and its year.
std::pair<int, int> iso_week(const LocalTime& t) {
  const int monday_based = (weekday(t) + 6) % 7;
  int week = (day_of_year(t) - monday_based + 10) / 7;
  const auto weeks_of = [](int year) {
    const int first = weekday({year, 1, 1, 0, 0, 0});
    return first == 4 || (first == 3 && is_leap(year)) ? 53 : 52;
  };
  if (week < 1) return {weeks_of(t.year - 1), t.year - 1};
  if (week > weeks_of(t.year)) return {1, t.year + 1};
  return {week, t.year};
}

// A number with the width and padding of its directive; glibc's flags '-' (no padding) and '_' (blanks)
// override.
struct Number {
  int value = 0, width = 0;
  char pad = '0';
};

std::optional<Number> number_of(char directive, const LocalTime& t) {
  const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
  switch (directive) {
      // clang-format off
    case 'Y': return Number{t.year, 1};
    case 'y': return Number{t.year % 100, 2};
    case 'C': return Number{t.year / 100, 2};
    case 'm': return Number{t.month, 2};
    case 'd': return Number{t.day, 2};
    case 'e': return Number{t.day, 2, ' '};
    case 'H': return Number{t.hour, 2};
    case 'I': return Number{hour12, 2};
    case 'k': return Number{t.hour, 2, ' '};
    case 'l': return Number{hour12, 2, ' '};
    case 'M': return Number{t.minute, 2};
    case 'S': return Number{t.second, 2};
    case 'j': return Number{day_of_year(t) + 1, 3};
    case 'u': return Number{weekday(t) == 0 ? 7 : weekday(t), 1};
    case 'w': return Number{weekday(t), 1};
    case 'U': return Number{(day_of_year(t) + 7 - weekday(t)) / 7, 2};
    case 'W': return Number{(day_of_year(t) + 7 - (weekday(t) + 6) % 7) / 7, 2};
    case 'V': return Number{iso_week(t).first, 2};
    case 'G': return Number{iso_week(t).second, 1};
    default: return std::nullopt;
      // clang-format on
  }
}

std::optional<std::string> text_of(char directive, const LocalTime& t) {
  const auto day_name = kDays[static_cast<size_t>(weekday(t))];
  const auto month_name = kMonths[static_cast<size_t>(t.month - 1)];
  switch (directive) {
      // clang-format off
    case 'p': return t.hour < 12 ? "AM" : "PM";
    case 'P': return t.hour < 12 ? "am" : "pm";
    case 'A': return std::string(day_name);
    case 'a': return std::string(day_name.substr(0, 3));
    case 'B': return std::string(month_name);
    case 'b':
    case 'h': return std::string(month_name.substr(0, 3));
    case 'f': return "000000";  // LocalTime has whole seconds
    case 'Z':
    case 'z': return "";  // a naive local time has no zone
    case 'n': return "\n";
    case 't': return "\t";
    case '%': return "%";
    default: return std::nullopt;
      // clang-format on
  }
}

// What a directive that stands for several others is short for.
std::string_view long_form(char directive) {
  switch (directive) {
      // clang-format off
    case 'F': return "%Y-%m-%d";
    case 'D':
    case 'x': return "%m/%d/%y";
    case 'T':
    case 'X': return "%H:%M:%S";
    case 'R': return "%H:%M";
    case 'r': return "%I:%M:%S %p";
    case 'c': return "%a %b %e %H:%M:%S %Y";
    default: return {};
      // clang-format on
  }
}

void append_time(std::string_view format, const LocalTime& t, std::string* out) {
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out->push_back(format[i]);
      continue;
    }
    char flag = 0;
    if ((format[i + 1] == '-' || format[i + 1] == '_') && i + 2 < format.size()) flag = format[++i];
    const char directive = format[++i];
    if (auto number = number_of(directive, t)) {
      std::string digits = std::to_string(number->value);
      if (flag == '_') number->pad = ' ';
      if (flag != '-' && static_cast<int>(digits.size()) < number->width)
        digits.insert(0, static_cast<size_t>(number->width) - digits.size(), number->pad);
      *out += digits;
    } else if (const auto text = text_of(directive, t)) {
      *out += *text;
    } else if (const auto form = long_form(directive); !form.empty()) {
      append_time(form, t, out);
    } else {  // unknown: as it is written
      out->push_back('%');
      if (flag != 0) out->push_back(flag);
      out->push_back(directive);
    }
  }
}

}  // namespace

std::string Runtime::strftime(std::string_view format) const {
  std::string out;
  append_time(format, now_, &out);
  return out;
}

}  // namespace tern::jinja
