// SPDX-License-Identifier: MIT
// Character knowledge for Python's string methods, on top of utf8proc's tables. Case mappings of one
// character to several are derived from decompositions (checked against Python for every code point by the
// oracle test).
#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>

namespace tern::jinja {
namespace {

utf8proc_category_t category(uint32_t c) { return utf8proc_category(static_cast<utf8proc_int32_t>(c)); }

constexpr uint32_t kSigma = 0x3a3, kIotaSubscript = 0x345;

// Decomposes into `out`; with `compatible` also ligatures. Returns the number of code points.
int decompose(uint32_t c, bool compatible, utf8proc_int32_t* out, int capacity) {
  const auto options =
      static_cast<utf8proc_option_t>(UTF8PROC_DECOMPOSE | (compatible ? UTF8PROC_COMPAT : 0));
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), out, capacity, options, nullptr);
  return count < 0 || count > capacity ? 0 : static_cast<int>(count);
}

// Appends the parts of a mapped character. What stands before a final `iota` is one character where Unicode
// has one; without an iota the parts stay apart.
void append_parts(utf8proc_int32_t* parts, int count, uint32_t iota, std::string* out) {
  const bool has_iota = count > 0 && parts[count - 1] == static_cast<utf8proc_int32_t>(iota);
  utf8proc_ssize_t left = count;
  if (has_iota) {
    left = utf8proc_normalize_utf32(parts, count - 1,
                                    static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE));
  }
  for (utf8proc_ssize_t i = 0; i < left; ++i) append_code_point(static_cast<uint32_t>(parts[i]), out);
  if (has_iota) append_code_point(iota, out);
}

// Characters whose upper case is several characters: lower-case letters without a one-character mapping that
// decompose into cased parts, and the Greek letters with an iota subscript.
bool has_long_upper(uint32_t c) {
  if (c < 0x80) return false;
  if (c == 0x149 || c == 0x587 || c == 0x1f0 || c == 0x390 || c == 0x3b0) return true;
  if (c >= 0x1e96 && c <= 0x1e9a) return true;
  if (c >= 0xfb00 && c <= 0xfb17) return true;
  if (c < 0x1f50 || c > 0x1ffc) return false;
  utf8proc_int32_t parts[8];
  const int count = decompose(c, false, parts, 8);
  if (count > 0 && parts[count - 1] == static_cast<utf8proc_int32_t>(kIotaSubscript)) return true;
  return category(c) == UTF8PROC_CATEGORY_LL && count > 1 &&
         utf8proc_toupper(static_cast<utf8proc_int32_t>(c)) == static_cast<utf8proc_int32_t>(c);
}

void append_upper(uint32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c >= 'a' && c <= 'z' ? c - 32 : c));
  } else if (c == 0xdf) {
    out->append("SS");
  } else if (has_long_upper(c)) {
    utf8proc_int32_t parts[8];
    const int count = decompose(c, c >= 0xfb00 || c == 0x149 || c == 0x587 || c == 0x1e9a, parts, 8);
    for (int i = 0; i < count; ++i) parts[i] = utf8proc_toupper(parts[i]);  // U+0345 becomes a capital iota
    append_parts(parts, count, 0x399, out);
  } else {
    append_code_point(static_cast<uint32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c))), out);
  }
}

void append_title(uint32_t c, std::string* out) {
  const auto simple = static_cast<uint32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
  if (c == 0xdf) {
    out->append("Ss");
  } else if (simple != c || !has_long_upper(c) || is_title(c)) {
    append_code_point(simple, out);
  } else if (c == 0x149) {  // the apostrophe has no case, the n behind it has
    append_upper(c, out);
  } else {
    utf8proc_int32_t parts[8];
    const int count = decompose(c, c >= 0xfb00 || c == 0x587 || c == 0x1e9a, parts, 8);
    if (count > 0) parts[0] = utf8proc_totitle(parts[0]);
    append_parts(parts, count, kIotaSubscript, out);
  }
}

bool is_case_ignorable(uint32_t c) {
  if (c == '\'' || c == '.' || c == ':' || c == '^' || c == '`' || c == 0xa8 || c == 0xad || c == 0xaf ||
      c == 0xb4 || c == 0xb7 || c == 0xb8 || c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027 ||
      c == 0x387 || c == 0x55f || c == 0x5f4)
    return true;
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_MN || kind == UTF8PROC_CATEGORY_ME || kind == UTF8PROC_CATEGORY_CF ||
         kind == UTF8PROC_CATEGORY_LM || kind == UTF8PROC_CATEGORY_SK;
}

// A sigma at the end of a word: a cased letter before it and none after it, case-ignorable characters aside.
bool is_final_sigma(std::string_view bytes, size_t begin, size_t end) {
  bool cased_before = false;
  for (size_t at = begin; at > 0;) {
    const uint32_t c = previous_code_point(bytes, &at);
    if (is_case_ignorable(c)) continue;
    cased_before = is_cased(c);
    break;
  }
  if (!cased_before) return false;
  for (size_t at = end; at < bytes.size();) {
    const uint32_t c = next_code_point(bytes, &at);
    if (!is_case_ignorable(c)) return !is_cased(c);
  }
  return true;
}

// `begin`, `end`: where `c` stands in `bytes`.
void append_lower(uint32_t c, std::string_view bytes, size_t begin, size_t end, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c));
  } else if (c == 0x130) {
    out->append("i");
    append_code_point(0x307, out);
  } else if (c == kSigma) {
    append_code_point(is_final_sigma(bytes, begin, end) ? 0x3c2 : 0x3c3, out);
  } else {
    append_code_point(static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))), out);
  }
}

template <class Function>
std::string map_each(std::string_view bytes, Function&& append) {
  std::string out;
  out.reserve(bytes.size());
  for (size_t at = 0; at < bytes.size();) {
    const size_t begin = at;
    const uint32_t c = next_code_point(bytes, &at);
    append(c, begin, at, &out);
  }
  return out;
}

}  // namespace

bool is_valid_utf8(std::string_view bytes) {
  const auto* data = reinterpret_cast<const utf8proc_uint8_t*>(bytes.data());
  auto left = static_cast<utf8proc_ssize_t>(bytes.size());
  while (left > 0) {
    if (*data < 0x80) {
      ++data, --left;
      continue;
    }
    utf8proc_int32_t c;
    const auto used = utf8proc_iterate(data, left, &c);
    if (used <= 0) return false;
    data += used, left -= used;
  }
  return true;
}

int64_t count_code_points(std::string_view bytes) {
  int64_t count = 0;
  for (const char c : bytes) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

uint32_t next_code_point(std::string_view bytes, size_t* offset) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<unsigned char>(bytes[*offset + i]));
  };
  const uint32_t lead = byte(0);
  const size_t size = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (*offset + size >
      bytes.size()) {  // not reached with valid UTF-8; keeps a bug from reading beyond the end
    *offset = bytes.size();
    return 0xfffd;
  }
  uint32_t c = size == 1 ? lead : lead & (0xffu >> (size + 1));
  for (size_t i = 1; i < size; ++i) c = (c << 6) | (byte(i) & 0x3f);
  *offset += size;
  return c;
}

uint32_t previous_code_point(std::string_view bytes, size_t* offset) {
  do {
    --*offset;
  } while (*offset > 0 && (static_cast<unsigned char>(bytes[*offset]) & 0xc0) == 0x80);
  size_t at = *offset;
  return next_code_point(bytes, &at);
}

void append_code_point(uint32_t c, std::string* out) {
  if (c < 0x80) {
    out->push_back(static_cast<char>(c));
    return;
  }
  utf8proc_uint8_t buffer[4];
  const auto size = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), buffer);
  out->append(reinterpret_cast<const char*>(buffer), static_cast<size_t>(size));
}

size_t byte_offset(std::string_view bytes, int64_t index) {
  size_t at = 0;
  for (; index > 0 && at < bytes.size(); --index) {
    const auto lead = static_cast<unsigned char>(bytes[at]);
    at += lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  }
  return at;
}

bool is_space(uint32_t c) {
  if (c < 0x80) return (c >= 9 && c <= 13) || (c >= 28 && c <= 32);
  return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
         c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool is_printable(uint32_t c) {
  if (c < 0x80) return c >= 0x20 && c < 0x7f;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_ZS:
      return false;
    default:
      return true;
  }
}

bool is_alpha(uint32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
      return true;
    default:
      return false;
  }
}

bool is_decimal(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(uint32_t c) {
  if (is_decimal(c)) return true;
  static constexpr uint32_t kRanges[][2] = {
      {0xb2, 0xb3},     {0xb9, 0xb9},       {0x1369, 0x1371},   {0x19da, 0x19da},   {0x2070, 0x2070},
      {0x2074, 0x2079}, {0x2080, 0x2089},   {0x2460, 0x2468},   {0x2474, 0x247c},   {0x2488, 0x2490},
      {0x24ea, 0x24ea}, {0x24f5, 0x24fd},   {0x24ff, 0x24ff},   {0x2776, 0x277e},   {0x2780, 0x2788},
      {0x278a, 0x2792}, {0x10a40, 0x10a43}, {0x10e60, 0x10e68}, {0x11052, 0x1105a}, {0x1f100, 0x1f10a}};
  for (const auto& range : kRanges)
    if (c >= range[0] && c <= range[1]) return true;
  return false;
}

bool is_numeric(uint32_t c) {
  // Ideographs that are numbers, whose category is that of letters.
  static constexpr uint32_t kIdeographs[] = {
      0x3405,  0x3483,  0x382a,  0x3b4d,  0x4e00,  0x4e03,  0x4e07,  0x4e09,  0x4e5d,  0x4e8c,  0x4e94,
      0x4e96,  0x4ebf,  0x4ec0,  0x4edf,  0x4ee8,  0x4f0d,  0x4f70,  0x5104,  0x5146,  0x5169,  0x516b,
      0x516d,  0x5341,  0x5343,  0x5344,  0x5345,  0x534c,  0x53c1,  0x53c2,  0x53c3,  0x53c4,  0x56db,
      0x58f1,  0x58f9,  0x5e7a,  0x5efe,  0x5eff,  0x5f0c,  0x5f0d,  0x5f0e,  0x5f10,  0x62fe,  0x634c,
      0x67d2,  0x6f06,  0x7396,  0x767e,  0x8086,  0x842c,  0x8cae,  0x8cb3,  0x8d30,  0x9621,  0x9646,
      0x964c,  0x9678,  0x96f6,  0xf96b,  0xf973,  0xf978,  0xf9b2,  0xf9d1,  0xf9d3,  0xf9fd,  0x20001,
      0x20064, 0x200e2, 0x20121, 0x2092a, 0x20983, 0x2098c, 0x2099c, 0x20aea, 0x20afd, 0x20b19, 0x22390,
      0x22998, 0x23b1b, 0x2626d, 0x2f890};
  if (std::binary_search(std::begin(kIdeographs), std::end(kIdeographs), c)) return true;
  const auto kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO;
}

bool is_upper(uint32_t c) {
  if (c < 0x80) return c >= 'A' && c <= 'Z';
  return category(c) == UTF8PROC_CATEGORY_LU || (c >= 0x2160 && c <= 0x216f) ||
         (c >= 0x24b6 && c <= 0x24cf) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) ||
         (c >= 0x1f170 && c <= 0x1f189);
}

bool is_lower(uint32_t c) {
  if (c < 0x80) return c >= 'a' && c <= 'z';
  if (category(c) == UTF8PROC_CATEGORY_LL) return true;
  // Other_Lowercase
  return c == 0xaa || c == 0xba || (c >= 0x2b0 && c <= 0x2b8) || c == 0x2c0 || c == 0x2c1 ||
         (c >= 0x2e0 && c <= 0x2e4) || c == 0x345 || c == 0x37a || (c >= 0x1d2c && c <= 0x1d6a) ||
         c == 0x1d78 || (c >= 0x1d9b && c <= 0x1dbf) || c == 0x2071 || c == 0x207f ||
         (c >= 0x2090 && c <= 0x209c) || (c >= 0x2170 && c <= 0x217f) || (c >= 0x24d0 && c <= 0x24e9) ||
         c == 0x2c7c || c == 0x2c7d || c == 0xa69c || c == 0xa69d || c == 0xa770 || c == 0xa7f8 ||
         c == 0xa7f9 || (c >= 0xab5c && c <= 0xab5f) || c == 0x10780 || (c >= 0x10783 && c <= 0x10785) ||
         (c >= 0x10787 && c <= 0x107b0) || (c >= 0x107b2 && c <= 0x107ba);
}

bool is_title(uint32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }
bool is_cased(uint32_t c) { return is_upper(c) || is_lower(c) || is_title(c); }

bool is_identifier(std::string_view bytes) {
  for (size_t at = 0; at < bytes.size();) {
    const bool first = at == 0;
    const uint32_t c = next_code_point(bytes, &at);
    if (c == '_' || is_alpha(c) || category(c) == UTF8PROC_CATEGORY_NL) continue;
    const auto kind = category(c);
    const bool continues = kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_MN ||
                           kind == UTF8PROC_CATEGORY_MC || kind == UTF8PROC_CATEGORY_PC;
    if (first || !continues) return false;
  }
  return !bytes.empty();
}

int decimal_value(uint32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9' ? static_cast<int>(c - '0') : -1;
  if (!is_decimal(c)) return -1;
  // Digits of a script stand in one run of ten; the mathematical digits (U+1D7CE) are five runs behind each
  // other.
  if (c >= 0x1d7ce && c <= 0x1d7ff) return static_cast<int>((c - 0x1d7ce) % 10);
  int value = 0;
  while (value < 9 && is_decimal(c - 1)) --c, ++value;
  return value;
}

std::string to_upper(std::string_view bytes) {
  return map_each(bytes, [](uint32_t c, size_t, size_t, std::string* out) { append_upper(c, out); });
}

std::string to_lower(std::string_view bytes) {
  return map_each(bytes, [&](uint32_t c, size_t begin, size_t end, std::string* out) {
    append_lower(c, bytes, begin, end, out);
  });
}

std::string to_title(std::string_view bytes) {
  bool previous_is_cased = false;
  return map_each(bytes, [&](uint32_t c, size_t begin, size_t end, std::string* out) {
    if (previous_is_cased) {
      append_lower(c, bytes, begin, end, out);
    } else {
      append_title(c, out);
    }
    previous_is_cased = is_cased(c);
  });
}

std::string to_capitalized(std::string_view bytes) {
  return map_each(bytes, [&](uint32_t c, size_t begin, size_t end, std::string* out) {
    if (begin > 0) {
      append_lower(c, bytes, begin, end, out);
    } else {
      append_title(c, out);
    }
  });
}

std::string to_casefold(std::string_view bytes) {
  return map_each(bytes, [](uint32_t c, size_t, size_t, std::string* out) {
    utf8proc_int32_t parts[8];
    const auto options = static_cast<utf8proc_option_t>(UTF8PROC_CASEFOLD);
    const auto count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), parts, 8, options, nullptr);
    for (int i = 0; i < count && i < 8; ++i) append_code_point(static_cast<uint32_t>(parts[i]), out);
  });
}

std::string swap_case(std::string_view bytes) {
  return map_each(bytes, [&](uint32_t c, size_t begin, size_t end, std::string* out) {
    if (is_upper(c)) {
      append_lower(c, bytes, begin, end, out);
    } else if (is_lower(c)) {
      append_upper(c, out);
    } else {
      append_code_point(c, out);
    }
  });
}

}  // namespace tern::jinja
