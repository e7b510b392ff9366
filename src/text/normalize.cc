// SPDX-License-Identifier: MIT
// The steps of normalization. The normal forms are utf8proc's (Unicode 15): for characters that Unicode 16
// added they leave the text as it is. Text that is surely in NFC already, such as all of ASCII, is not
// copied.
#include "text/normalize.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>

#include "text/unicode_tables.h"
#include "text/utf8.h"

namespace tern {
namespace {

constexpr std::string_view kSpaceMark = "\u2581";

// Calls part(text, valid) for each longest stretch of valid UTF-8 and each stretch of invalid bytes.
template <class Part>
void for_valid_parts(std::string_view text, Part part) {
  for (size_t begin = 0; begin < text.size();) {
    size_t end = begin;
    const bool valid = decode_utf8(text, begin).code_point != kInvalidCodePoint;
    while (end < text.size()) {
      const Utf8Char c = decode_utf8(text, end);
      if ((c.code_point != kInvalidCodePoint) != valid) break;
      end += c.length;
    }
    part(text.substr(begin, end - begin), valid);
    begin = end;
  }
}

bool may_change(NormStep::Kind kind, std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    if (static_cast<uint8_t>(text[i]) < 0x80) {
      ++i;
      continue;
    }
    if (kind != NormStep::Kind::kNfc) return true;
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point < kInvalidCodePoint && may_change_in_nfc(c.code_point)) return true;
    i += c.length;
  }
  return false;
}

void append_normal_form(NormStep::Kind kind, std::string_view text, std::string& out) {
  int options = UTF8PROC_STABLE;
  if (kind == NormStep::Kind::kNfc || kind == NormStep::Kind::kNfkc) options |= UTF8PROC_COMPOSE;
  if (kind == NormStep::Kind::kNfd || kind == NormStep::Kind::kNfkd) options |= UTF8PROC_DECOMPOSE;
  if (kind == NormStep::Kind::kNfkc || kind == NormStep::Kind::kNfkd) options |= UTF8PROC_COMPAT;
  utf8proc_uint8_t* mapped = nullptr;
  const utf8proc_ssize_t size = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                             static_cast<utf8proc_ssize_t>(text.size()), &mapped,
                                             static_cast<utf8proc_option_t>(options));
  if (size < 0) {  // only for lack of memory: the text was checked to be valid
    out.append(text);
    return;
  }
  out.append(reinterpret_cast<const char*>(mapped), static_cast<size_t>(size));
  std::free(mapped);
}

std::string normal_form(NormStep::Kind kind, std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  for_valid_parts(text, [&](std::string_view part, bool valid) {
    if (valid) {
      append_normal_form(kind, part, out);
    } else {
      out.append(part);
    }
  });
  return out;
}

// NFC of just the places that may need it. A character that surely stays itself is a border: what is before
// it and what begins with it are normalized independently, so a place is one such character and the doubtful
// ones behind it.
std::string nfc(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  size_t copied = 0, previous = 0;
  for (size_t i = 0; i < text.size();) {
    Utf8Char c = decode_utf8(text, i);
    if (!may_change_in_nfc(c.code_point)) {
      previous = i;
      i += c.length;
      continue;
    }
    const size_t begin = std::max(previous, copied);
    while (i < text.size() && may_change_in_nfc(c.code_point)) {
      i += c.length;
      if (i < text.size()) c = decode_utf8(text, i);
    }
    out.append(text.substr(copied, begin - copied))
        .append(normal_form(NormStep::Kind::kNfc, text.substr(begin, i - begin)));
    copied = previous = i;
  }
  return out.append(text.substr(copied));
}

std::string lowercase(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.code_point == kInvalidCodePoint) {
      out += text[i];
    } else if (c.code_point == 0x130) {
      out += "i\u0307";  // the one character whose lower case is two
    } else {
      append_utf8(out, static_cast<uint32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c.code_point))));
    }
    i += c.length;
  }
  return out;
}

std::string_view strip(const NormStep& step, std::string_view text) {
  while (step.left && !text.empty()) {
    const Utf8Char c = decode_utf8(text, 0);
    if (!is_white_space(c.code_point)) break;
    text.remove_prefix(c.length);
  }
  while (step.right && !text.empty()) {
    size_t at = text.size() - 1;
    while (at > 0 && text.size() - at < 4 && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    const Utf8Char c = decode_utf8(text, at);
    if (at + c.length != text.size() || !is_white_space(c.code_point)) break;
    text.remove_suffix(c.length);
  }
  return text;
}

std::string replace_literal(const NormStep& step, std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 2);
  size_t from = 0;
  for (size_t at = 0; (at = text.find(step.text, from)) != text.npos; from = at + step.text.size()) {
    out.append(text.substr(from, at - from)).append(step.with);
  }
  return out.append(text.substr(from));
}

std::string replace_regex(const NormStep& step, const Regex& regex, std::string_view text) {
  std::string out;
  Regex::Scanner scanner(regex, text);
  size_t from = 0, begin = 0, end = 0;
  for (; from < text.size() && scanner.next(from, begin, end); from = end) {
    out.append(text.substr(from, begin - from)).append(step.with);
  }
  return out.append(text.substr(from));
}

bool in_scope(NormStep::Scope scope, Normalizer::Place place) {
  switch (scope) {
    case NormStep::Scope::kEvery:
      return true;
    case NormStep::Scope::kTextStart:
      return place == Normalizer::Place::kTextStart;
    case NormStep::Scope::kStartOrAfterControl:
      return place != Normalizer::Place::kElsewhere;
  }
  return true;
}

// SentencePiece: map characters, drop extra spaces, put a space in front, write spaces as U+2581. Characters
// that the map does not know stay; so do invalid bytes (the library writes U+FFFD for them, which cannot be
// undone).
std::string sentencepiece(const NormStep& step, const Charsmap* map, std::string_view text, bool prefix) {
  const std::string_view space = step.escape_spaces ? kSpaceMark : std::string_view(" ");
  std::string out;
  out.reserve(text.size() + text.size() / 2 + 3);
  bool after_space = step.remove_extra_spaces;  // white space at the start is extra too
  bool started = false;
  const auto put = [&](std::string_view part) {
    if (!started && prefix && step.add_prefix) out.append(space);
    started = true;
    for (const char c : part) {
      if (c == ' ') {
        out.append(space);
      } else {
        out += c;
      }
    }
  };
  for (size_t i = 0; i < text.size();) {
    size_t length = 1;
    std::string_view part;
    const Charsmap::Match match = map != nullptr ? map->longest_prefix(text.substr(i)) : Charsmap::Match{};
    if (match.length > 0) {
      length = match.length;
      part = match.replacement;
    } else {
      length = decode_utf8(text, i).length;
      part = text.substr(i, length);
    }
    i += length;
    if (step.remove_extra_spaces) {
      while (after_space && !part.empty() && part.front() == ' ') part.remove_prefix(1);
      if (part.empty()) continue;
      after_space = part.back() == ' ';
    }
    if (!part.empty()) put(part);
  }
  if (step.remove_extra_spaces && started && out.size() >= space.size() && after_space)
    out.resize(out.size() - space.size());
  return out;
}

// The common case of the above, with no map and all spaces kept.
std::string escape_spaces(const NormStep& step, std::string_view text, bool prefix) {
  const std::string_view space = step.escape_spaces ? kSpaceMark : std::string_view(" ");
  std::string out;
  if (text.empty()) return out;
  size_t spaces = 1;
  for (const char c : text) spaces += c == ' ';
  out.resize(text.size() + spaces * (space.size() - 1) + 1);
  char* to = out.data();
  const auto put_space = [&] {
    for (const char c : space) *to++ = c;
  };
  if (prefix && step.add_prefix) put_space();
  for (const char c : text) {
    if (c == ' ') {
      put_space();
    } else {
      *to++ = c;
    }
  }
  out.resize(static_cast<size_t>(to - out.data()));
  return out;
}

}  // namespace

bool is_white_space(uint32_t c) {
  return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

Result<Normalizer> Normalizer::create(std::vector<NormStep> steps) {
  Normalizer result;
  constexpr size_t kMaxSteps = 64;
  if (steps.size() > kMaxSteps) {
    return make_error(ErrorCode::kUnsupported, "normalizer of {} steps, at most {} are allowed", steps.size(),
                      kMaxSteps);
  }
  result.regexes_.resize(steps.size());
  result.maps_.resize(steps.size());
  double growth =
      1;  // output bytes per input byte, at most: a file must not turn a page of text into gigabytes
  for (size_t i = 0; i < steps.size(); ++i) {
    const NormStep& step = steps[i];
    if (step.kind == NormStep::Kind::kReplace && step.text.empty()) {
      return make_error(ErrorCode::kUnsupported, "normalizer replaces an empty string");
    }
    const double with = static_cast<double>(step.with.size());
    if (step.kind == NormStep::Kind::kReplace)
      growth *= std::max(1.0, with / static_cast<double>(step.text.size()));
    if (step.kind == NormStep::Kind::kReplaceRegex) growth *= std::max(1.0, with);
    if (growth > 64 || step.text.size() > 4096) {
      return make_error(ErrorCode::kUnsupported,
                        "normalizer step {} would make text more than 64 times longer", i);
    }
    if (step.kind == NormStep::Kind::kReplaceRegex) {
      TERN_TRY_ASSIGN(auto regex, Regex::compile(step.text));
      result.regexes_[i] = std::move(regex);
    }
    if (step.kind == NormStep::Kind::kSentencePiece && !step.charsmap.empty()) {
      TERN_TRY_ASSIGN(auto map, Charsmap::parse(step.charsmap));
      result.maps_[i] = std::move(map);
    }
  }
  result.steps_ = std::move(steps);
  return result;
}

std::string_view Normalizer::apply(std::string_view text, Place place, std::string& buffer) const {
  using Kind = NormStep::Kind;
  for (size_t i = 0; i < steps_.size(); ++i) {
    const NormStep& step = steps_[i];
    switch (step.kind) {
      case Kind::kNfc:
      case Kind::kNfd:
      case Kind::kNfkc:
      case Kind::kNfkd:
        if (!may_change(step.kind, text)) continue;
        buffer = step.kind == Kind::kNfc ? nfc(text) : normal_form(step.kind, text);
        break;
      case Kind::kLowercase:
        buffer = lowercase(text);
        break;
      case Kind::kStrip:
        text = strip(step, text);
        continue;
      case Kind::kPrepend:
        if (text.empty() || !in_scope(step.scope, place)) continue;
        if (step.unless_present && text.starts_with(step.text)) continue;
        buffer = step.text + std::string(text);
        break;
      case Kind::kReplace:
        buffer = replace_literal(step, text);
        break;
      case Kind::kReplaceRegex:
        buffer = replace_regex(step, *regexes_[i], text);
        break;
      case Kind::kSentencePiece: {
        const bool prefix = in_scope(step.scope, place);
        const bool plain = !maps_[i].has_value() && !step.remove_extra_spaces;
        buffer = plain ? escape_spaces(step, text, prefix)
                       : sentencepiece(step, maps_[i] ? &*maps_[i] : nullptr, text, prefix);
        break;
      }
    }
    text = buffer;
  }
  return text;
}

}  // namespace tern
