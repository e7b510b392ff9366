// SPDX-License-Identifier: MIT
// PCRE2 with UTF and UCP. Two traps are handled here: matching invalid UTF-8 is undefined, so invalid bytes
// are replaced (same length) in a copy; and PCRE2 counts U+180E as \s, which Unicode and Oniguruma do not, so
// it becomes U+2060.
#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "text/utf8.h"

namespace tern {
namespace {

// Limits of one match. The worst well-formed expressions in use need a few steps per character of a match.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kHeapLimitKib = 64 * 1024;
constexpr size_t kMaxPattern = 64 * 1024;

struct CodeDeleter {
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
};
struct DataDeleter {
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
};
struct ContextDeleter {
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
};

// Syntax that both engines accept but read differently.
const char* differing_syntax(std::string_view p) {
  bool in_class = false;
  for (size_t i = 0; i < p.size(); ++i) {
    if (p[i] == '\\') {
      ++i;
      if (i < p.size() && (p[i] == 'h' || p[i] == 'H'))
        return "\\h is a hex digit to Oniguruma, a space to PCRE2";
      if (p.substr(i + 1, 1) == "{") {  // \p{L}, \x{61}: not a repetition
        const size_t close = p.find('}', i);
        if (close == p.npos) return "an unclosed {";
        i = close;
      }
      continue;
    }
    if (in_class) {
      if (p.substr(i, 2) == "&&") return "PCRE2 10 has no && in character classes";
      if (p[i] == '[' && p.substr(i, 2) != "[:") return "PCRE2 10 has no nested character classes";
      if (p.substr(i, 2) == "[:") {
        const size_t close = p.find(":]", i);
        if (close == p.npos) return "an unclosed [: :]";
        i = close + 1;
      } else if (p[i] == ']') {
        in_class = false;
      }
    } else if (p[i] == '[') {
      in_class = true;
      if (i + 1 < p.size() && p[i + 1] == '^') ++i;
      if (i + 1 < p.size() && p[i + 1] == ']') ++i;  // a literal ] in first place
    } else if (p.substr(i, 2) == "(?") {
      for (size_t k = i + 2; k < p.size() && (std::isalpha(static_cast<unsigned char>(p[k])) || p[k] == '-');
           ++k) {
        if (p[k] == 'm') return "(?m) means dot-all to Oniguruma, multi-line to PCRE2";
        if (p[k] == 'P' || p[k] == 'R') break;
      }
    } else if (p[i] == '}' && i + 1 < p.size() && p[i + 1] == '+') {
      return "{n,m}+ is possessive to PCRE2 only";
    }
  }
  return nullptr;
}

}  // namespace

struct Regex::Code {
  std::unique_ptr<pcre2_code, CodeDeleter> code;
};

Regex::Regex(std::unique_ptr<Code> code) : code_(std::move(code)) {}
Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

Result<Regex> Regex::compile(std::string_view pattern) {
  const std::string shown(pattern.substr(0, 80));
  if (pattern.size() > kMaxPattern) {
    return make_error(ErrorCode::kUnsupported, "regular expression of {} bytes, at most {} are allowed",
                      pattern.size(), kMaxPattern);
  }
  if (!is_valid_utf8(pattern))
    return make_error(ErrorCode::kCorrupt, "regular expression is not valid UTF-8");
  if (const char* reason = differing_syntax(pattern)) {
    return make_error(ErrorCode::kUnsupported, "regular expression \"{}\": {}", shown, reason);
  }
  int error = 0;
  PCRE2_SIZE offset = 0;
  // Oniguruma's ^ and $ match at line ends, hence MULTILINE. NEVER_BACKSLASH_C keeps matches on character
  // borders.
  std::unique_ptr<pcre2_code, CodeDeleter> code(pcre2_compile(
      reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
      PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr));
  if (code == nullptr) {
    PCRE2_UCHAR text[256] = {};
    pcre2_get_error_message(error, text, sizeof text);
    return make_error(ErrorCode::kUnsupported, "regular expression \"{}\": {} at offset {}", shown,
                      reinterpret_cast<const char*>(text), offset);
  }
  auto result = std::make_unique<Code>();
  (void)pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);  // where it fails, matching is interpreted
  result->code = std::move(code);
  return Regex(std::move(result));
}

struct Regex::Scanner::State {
  const pcre2_code* code;
  std::string_view text;
  std::string copy;  // holds `text` where something had to be replaced
  std::unique_ptr<pcre2_match_data, DataDeleter> data;
  std::unique_ptr<pcre2_match_context, ContextDeleter> context;
};

Regex::Scanner::Scanner(const Regex& regex, std::string_view text) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.code = regex.code_->code.get();
  s.text = text;
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point == kInvalidCodePoint || c.code_point == 0x180E) {
      if (s.copy.empty()) s.copy = text;
      if (c.code_point == kInvalidCodePoint) {
        s.copy[i] = '\x01';  // a character of no class, as an invalid byte is to the hand-written splitters
      } else {
        s.copy.replace(i, 3, "\u2060");
      }
    }
    i += c.length;
  }
  if (!s.copy.empty()) s.text = s.copy;
  s.data.reset(pcre2_match_data_create(1, nullptr));
  s.context.reset(pcre2_match_context_create(nullptr));
  pcre2_set_match_limit(s.context.get(), kMatchLimit);
  pcre2_set_heap_limit(s.context.get(), kHeapLimitKib);
}

Regex::Scanner::~Scanner() = default;

bool Regex::Scanner::next(size_t from, size_t& begin, size_t& end) {
  State& s = *state_;
  // The text was validated above, so the check of every call (which makes a scan quadratic) is switched off.
  const auto match = [&](uint32_t options) {
    return pcre2_match(s.code, reinterpret_cast<PCRE2_SPTR>(s.text.data()), s.text.size(), from,
                       PCRE2_NOTEMPTY | PCRE2_NO_UTF_CHECK | options, s.data.get(), s.context.get());
  };
  int found = match(0);
  // Compiled code has 32 KB of stack for backtracking; the interpreter uses the heap, within its limit.
  if (found == PCRE2_ERROR_JIT_STACKLIMIT) found = match(PCRE2_NO_JIT);
  if (found < 0) return false;
  const PCRE2_SIZE* at = pcre2_get_ovector_pointer(s.data.get());
  if (at[0] < from || at[1] <= at[0]) return false;  // \K in a look-around can do that
  begin = at[0];
  end = at[1];
  return true;
}

}  // namespace tern
