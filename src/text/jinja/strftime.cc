// SPDX-License-Identifier: MIT
// strftime of the C locale, written out so that no process-wide locale and no C library can change a prompt.
#include <array>

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

}  // namespace

std::string Runtime::strftime(std::string_view format) const {
  const LocalTime& t = now_;
  const int hour12 = t.hour % 12 == 0 ? 12 : t.hour % 12;
  const auto day_name = kDays[static_cast<size_t>(weekday(t))];
  const auto month_name = kMonths[static_cast<size_t>(t.month - 1)];
  std::string out;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      out.push_back(format[i]);
      continue;
    }
    // glibc's flags: '-' no padding, '_' blanks. Others are left as they are written.
    char flag = 0;
    if ((format[i + 1] == '-' || format[i + 1] == '_') && i + 2 < format.size()) flag = format[++i];
    const auto number = [&](int value, int width, char pad = '0') {
      std::string digits = std::to_string(value);
      if (flag == '_') pad = ' ';
      if (flag != '-' && static_cast<int>(digits.size()) < width)
        digits.insert(0, static_cast<size_t>(width) - digits.size(), pad);
      out += digits;
    };
    switch (format[++i]) {
      case 'Y':
        number(t.year, 1);
        break;
      case 'y':
        number(t.year % 100, 2);
        break;
      case 'C':
        number(t.year / 100, 2);
        break;
      case 'm':
        number(t.month, 2);
        break;
      case 'd':
        number(t.day, 2);
        break;
      case 'e':
        number(t.day, 2, ' ');
        break;
      case 'H':
        number(t.hour, 2);
        break;
      case 'I':
        number(hour12, 2);
        break;
      case 'k':
        number(t.hour, 2, ' ');
        break;
      case 'l':
        number(hour12, 2, ' ');
        break;
      case 'M':
        number(t.minute, 2);
        break;
      case 'S':
        number(t.second, 2);
        break;
      case 'f':
        out += "000000";
        break;  // LocalTime has whole seconds
      case 'j':
        number(day_of_year(t) + 1, 3);
        break;
      case 'u':
        number(weekday(t) == 0 ? 7 : weekday(t), 1);
        break;
      case 'w':
        number(weekday(t), 1);
        break;
      case 'U':
        number((day_of_year(t) + 7 - weekday(t)) / 7, 2);
        break;
      case 'W':
        number((day_of_year(t) + 7 - (weekday(t) + 6) % 7) / 7, 2);
        break;
      case 'V':
        number(iso_week(t).first, 2);
        break;
      case 'G':
        number(iso_week(t).second, 1);
        break;
      case 'p':
        out += t.hour < 12 ? "AM" : "PM";
        break;
      case 'P':
        out += t.hour < 12 ? "am" : "pm";
        break;
      case 'A':
        out += day_name;
        break;
      case 'a':
        out += day_name.substr(0, 3);
        break;
      case 'B':
        out += month_name;
        break;
      case 'b':
      case 'h':
        out += month_name.substr(0, 3);
        break;
      case 'F':
        out += fmt::format("{}-{:02}-{:02}", t.year, t.month, t.day);
        break;
      case 'D':
      case 'x':
        out += fmt::format("{:02}/{:02}/{:02}", t.month, t.day, t.year % 100);
        break;
      case 'T':
      case 'X':
        out += fmt::format("{:02}:{:02}:{:02}", t.hour, t.minute, t.second);
        break;
      case 'R':
        out += fmt::format("{:02}:{:02}", t.hour, t.minute);
        break;
      case 'r':
        out += fmt::format("{:02}:{:02}:{:02} {}", hour12, t.minute, t.second, t.hour < 12 ? "AM" : "PM");
        break;
      case 'c':
        out += fmt::format("{} {} {:2} {:02}:{:02}:{:02} {}", day_name.substr(0, 3), month_name.substr(0, 3),
                           t.day, t.hour, t.minute, t.second, t.year);
        break;
      case 'Z':
      case 'z':
        break;  // a naive local time has no zone
      case 'n':
        out.push_back('\n');
        break;
      case 't':
        out.push_back('\t');
        break;
      case '%':
        out.push_back('%');
        break;
      default:
        out.push_back('%');
        if (flag != 0) out.push_back(flag);
        out.push_back(format[i]);
    }
  }
  return out;
}

}  // namespace tern::jinja
