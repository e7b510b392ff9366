// SPDX-License-Identifier: MIT
// The splitters. Each finder gives the next match of one pattern; a Joiner turns matches and gaps into pieces
// by the step's behaviour and hands each piece to the next step. No step stores its pieces, so memory does
// not grow with text.
#include "text/pretokenize.h"

#include <algorithm>
#include <array>

#include "text/byte_alphabet.h"
#include "text/regex.h"

namespace tern {
namespace {

using namespace char_class;

// Reads characters with their classes: of UTF-8 text, or of bytes seen through the byte-level alphabet.
class Reader {
 public:
  Reader(const CharClasses& classes, bool bytes) : classes_(classes), bytes_(bytes) {
    for (uint32_t b = 0; b < 256; ++b) {
      first_[b] = bytes || b < 0x80 ? classes.of(bytes ? byte_to_alphabet(static_cast<uint8_t>(b)) : b) : 0;
    }
  }

  struct Char {
    uint8_t cls;
    uint32_t length;
    uint32_t code_point;
  };

  Char at(const char* p, const char* end) const {
    const uint8_t b = static_cast<uint8_t>(*p);
    if (bytes_) return {first_[b], 1, byte_to_alphabet(b)};
    if (b < 0x80) return {first_[b], 1, b};
    const Utf8Char c = decode_utf8(p, end);
    return {classes_.of(c.code_point), c.length, c.code_point};
  }

  // End of the run of characters with any of `mask` (or, with `none`, with none of it) that starts at p.
  const char* run(const char* p, const char* end, uint8_t mask, bool none = false) const {
    while (p < end) {
      const Char c = at(p, end);
      if (((c.cls & mask) != 0) == none) break;
      p += c.length;
    }
    return p;
  }

 private:
  const CharClasses& classes_;
  bool bytes_;
  std::array<uint8_t, 256> first_;
};

// Length of a contraction ('s 't 're 've 'm 'll 'd) at p, where *p == '\'', or 0. With fold_case, U+017F is
// an s too.
size_t contraction(const char* p, const char* end, bool fold_case) {
  const auto letter = [&](int i) -> char {
    if (p + i >= end) return 0;
    const char c = p[i];
    return fold_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char a = letter(1), b = letter(2);
  if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
  if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
  if (fold_case && a == '\xC5' && b == '\xBF') return 3;
  return 0;
}

// \s+(?!\S)|\s+ at a run of spaces [p, run_end): all of it at the end of the text, else all but its last
// character.
const char* end_of_spaces(const char* p, const char* run_end, const char* end) {
  if (run_end == end) return run_end;
  const char* last = run_end - 1;
  while (last > p && (static_cast<uint8_t>(*last) & 0xC0) == 0x80) --last;
  return last > p ? last : run_end;
}

const char* next_gpt2(const Reader& r, const char* p, const char* end) {
  const Reader::Char c = r.at(p, end);
  if (c.code_point == '\'') {
    if (const size_t n = contraction(p, end, false)) return p + n;
  }
  const char* q = p;
  Reader::Char first = c;
  if (c.code_point == ' ' && p + 1 < end) {
    first = r.at(++q, end);
  }
  if ((first.cls & kSpace) == 0) {
    const char* body = q + first.length;
    if (first.cls & kLetter) return r.run(body, end, kLetter);
    if (first.cls & kNumber) return r.run(body, end, kNumber);
    return r.run(body, end, kSpace | kLetter | kNumber, true);
  }
  return end_of_spaces(p, r.run(p, end, kSpace), end);
}

const char* next_llama3(const Reader& r, const char* p, const char* end, uint32_t max_numbers) {
  const Reader::Char c = r.at(p, end);
  if (c.cls & kLetter) return r.run(p + c.length, end, kLetter);
  if (c.code_point == '\'') {
    if (const size_t n = contraction(p, end, true)) return p + n;
  }
  if (c.cls & kNumber) {
    const char* q = p + c.length;
    for (uint32_t n = 1; n < max_numbers && q < end; ++n) {
      const Reader::Char d = r.at(q, end);
      if ((d.cls & kNumber) == 0) break;
      q += d.length;
    }
    return q;
  }
  const char* q = p + c.length;
  Reader::Char second{kSpace, 0, 0};
  if (q < end) second = r.at(q, end);
  if ((second.cls & kLetter) && c.code_point != '\r' && c.code_point != '\n') {
    return r.run(q + second.length, end, kLetter);
  }
  const bool space_then_other =
      c.code_point == ' ' && q < end && (second.cls & (kSpace | kLetter | kNumber)) == 0;
  if ((c.cls & kSpace) == 0 || space_then_other) {
    q = r.run(q, end, kSpace | kLetter | kNumber, true);
    while (q < end && (*q == '\r' || *q == '\n')) ++q;
    return q;
  }
  const char* run_end = r.run(q, end, kSpace);
  for (const char* s = run_end; s > p; --s) {  // \s*[\r\n]+ ends after the last line break of the run
    if (s[-1] == '\r' || s[-1] == '\n') return s;
  }
  return end_of_spaces(p, run_end, end);
}

bool in_set(const CharSet& set, const Reader::Char& c) {
  if (c.cls & set.classes) return true;
  if (c.code_point < 0x80) return set.ascii.find(static_cast<char>(c.code_point)) != std::string::npos;
  return std::any_of(set.ranges.begin(), set.ranges.end(),
                     [&](const auto& r) { return c.code_point >= r.first && c.code_point <= r.second; });
}

bool next_char_run(const Reader& r, const PreStep& step, const char* p, const char* end, const char*& begin,
                   const char*& stop) {
  while (p < end) {
    const Reader::Char c = r.at(p, end);
    const char* q = p;
    uint32_t count = 0;
    if (step.space_prefix && (c.cls & kSpace) && p + c.length < end &&
        in_set(step.set, r.at(p + c.length, end))) {
      q = p + c.length;
    }
    while (q < end && count < step.max_run) {
      const Reader::Char d = r.at(q, end);
      if (!in_set(step.set, d)) break;
      q += d.length;
      ++count;
    }
    if (count >= step.min_run && count > 0) {
      begin = p;
      stop = q;
      return true;
    }
    // Fewer than min_run: such a run is shorter than min_run characters, so going on by one costs a bounded
    // factor.
    p += c.length;
  }
  return false;
}

bool next_word(const Reader& r, const char* p, const char* end, const char*& begin, const char*& stop) {
  begin = r.run(p, end, kSpace);
  if (begin == end) return false;
  const Reader::Char c = r.at(begin, end);
  stop = c.cls & kWord ? r.run(begin, end, kWord) : r.run(begin, end, kSpace | kWord, true);
  return true;
}

// Turns the alternation of gaps and matches of one step into pieces.
template <class Emit>
class Joiner {
 public:
  Joiner(const PreStep& step, std::string_view text, Emit& emit) : step_(step), text_(text), emit_(emit) {}

  void match(size_t begin, size_t end) {
    if (begin > done_) segment(done_, begin, step_.invert);
    segment(begin, end, !step_.invert);
    done_ = end;
  }
  void finish() {
    if (done_ < text_.size()) segment(done_, text_.size(), step_.invert);
    flush();
  }

 private:
  void segment(size_t begin, size_t end, bool is_match) {
    switch (step_.behavior) {
      case SplitBehavior::kIsolated:
        piece(begin, end);
        return;
      case SplitBehavior::kRemoved:
        if (!is_match) piece(begin, end);
        return;
      case SplitBehavior::kContiguous:
        if (held_ && held_match_ == is_match) {
          held_end_ = end;
          return;
        }
        break;
      case SplitBehavior::kMergedWithPrevious:
        if (held_ && is_match && !held_match_) {  // joins the gap before it, and nothing joins the pair
          held_end_ = end;
          held_match_ = true;
          return;
        }
        break;
      case SplitBehavior::kMergedWithNext:
        if (held_ && held_match_ && !is_match) {  // the gap joins the match held before it
          held_end_ = end;
          held_match_ = false;
          return;
        }
        break;
    }
    flush();
    held_ = true;
    held_begin_ = begin;
    held_end_ = end;
    held_match_ = is_match;
  }
  void flush() {
    if (held_) piece(held_begin_, held_end_);
    held_ = false;
  }
  void piece(size_t begin, size_t end) { emit_(text_.substr(begin, end - begin)); }

  const PreStep& step_;
  std::string_view text_;
  Emit& emit_;
  size_t done_ = 0;
  bool held_ = false, held_match_ = false;
  size_t held_begin_ = 0, held_end_ = 0;
};

}  // namespace

struct PreTokenizer::Impl {
  const CharClasses& classes;
  Reader text_reader, byte_reader;
  std::vector<PreStep> steps;
  std::vector<std::optional<Regex>> regexes;  // [steps], set where kRegex

  explicit Impl(UnicodeVersion version)
      : classes(char_classes(version)), text_reader(classes, false), byte_reader(classes, true) {}

  void run(size_t index, bool bytes, std::string_view text, PieceSink& sink) const {
    if (text.empty()) return;
    if (index == steps.size()) return sink.piece(text);
    const PreStep& step = steps[index];
    if (step.kind == PreStep::Kind::kByteAlphabet) return run(index + 1, true, text, sink);
    const Reader& reader = bytes ? byte_reader : text_reader;
    auto emit = [&](std::string_view part) { run(index + 1, bytes, part, sink); };
    const char* const start = text.data();
    const char* const end = start + text.size();
    if (step.kind == PreStep::Kind::kGpt2) {
      return cover(step, text, emit, [&](const char* p) { return next_gpt2(reader, p, end); });
    }
    if (step.kind == PreStep::Kind::kLlama3) {
      return cover(step, text, emit,
                   [&](const char* p) { return next_llama3(reader, p, end, step.max_run); });
    }
    Joiner joiner(step, text, emit);
    const char* b = nullptr;
    const char* e = nullptr;
    switch (step.kind) {
      case PreStep::Kind::kCharRun:
        for (const char* p = start; next_char_run(reader, step, p, end, b, e); p = e)
          joiner.match(b - start, e - start);
        break;
      case PreStep::Kind::kWords:
        for (const char* p = start; next_word(reader, p, end, b, e); p = e)
          joiner.match(b - start, e - start);
        break;
      case PreStep::Kind::kLiteral:
        for (size_t at = 0; (at = text.find(step.text, at)) != text.npos; at += step.text.size()) {
          joiner.match(at, at + step.text.size());
        }
        break;
      case PreStep::Kind::kRegex:
        find_regex(index, bytes, text, [&](size_t from, size_t to) { joiner.match(from, to); });
        break;
      case PreStep::Kind::kGpt2:
      case PreStep::Kind::kLlama3:
      case PreStep::Kind::kByteAlphabet:
        break;
    }
    joiner.finish();
  }

  // For patterns that match everywhere, so that there are no gaps.
  template <class Emit, class Next>
  static void cover(const PreStep& step, std::string_view text, Emit& emit, Next next) {
    const char* const start = text.data();
    const char* const end = start + text.size();
    if (step.behavior == SplitBehavior::kIsolated && !step.invert) {
      for (const char* p = start; p < end;) {
        const char* q = next(p);
        emit(std::string_view(p, q - p));
        p = q;
      }
      return;
    }
    Joiner joiner(step, text, emit);
    for (const char* p = start; p < end;) {
      const char* q = next(p);
      joiner.match(p - start, q - start);
      p = q;
    }
    joiner.finish();
  }

  template <class Match>
  void find_regex(size_t index, bool bytes, std::string_view text, Match match) const {
    size_t begin = 0, end = 0;
    if (!bytes) {
      Regex::Scanner scanner(*regexes[index], text);
      for (size_t from = 0; from < text.size() && scanner.next(from, begin, end); from = end)
        match(begin, end);
      return;
    }
    // The expression is to see the byte-level alphabet: match on a mapped copy, translate the offsets back.
    std::string mapped;
    std::vector<size_t> origin;  // [mapped.size() + 1], offset in `text`
    for (size_t i = 0; i < text.size(); ++i) {
      append_utf8(mapped, byte_to_alphabet(static_cast<uint8_t>(text[i])));
      origin.resize(mapped.size(), i);
    }
    origin.push_back(text.size());
    Regex::Scanner scanner(*regexes[index], mapped);
    for (size_t from = 0; from < mapped.size() && scanner.next(from, begin, end); from = end) {
      match(origin[begin], origin[end]);
    }
  }
};

PreTokenizer::PreTokenizer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
PreTokenizer::PreTokenizer(PreTokenizer&&) noexcept = default;
PreTokenizer& PreTokenizer::operator=(PreTokenizer&&) noexcept = default;
PreTokenizer::~PreTokenizer() = default;

Result<PreTokenizer> PreTokenizer::create(std::vector<PreStep> steps, UnicodeVersion version) {
  constexpr size_t kMaxSteps = 64;  // each step is one level of recursion
  if (steps.size() > kMaxSteps) {
    return make_error(ErrorCode::kUnsupported, "pre-tokenizer of {} steps, at most {} are allowed",
                      steps.size(), kMaxSteps);
  }
  auto impl = std::make_unique<Impl>(version);
  impl->regexes.resize(steps.size());
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].kind == PreStep::Kind::kLiteral && steps[i].text.empty()) {
      return make_error(ErrorCode::kUnsupported, "pre-tokenizer splits at an empty string");
    }
    if (steps[i].kind == PreStep::Kind::kRegex) {
      TERN_TRY_ASSIGN(auto regex, Regex::compile(steps[i].text));
      impl->regexes[i] = std::move(regex);
    }
  }
  impl->steps = std::move(steps);
  return PreTokenizer(std::move(impl));
}

void PreTokenizer::split(std::string_view text, PieceSink& sink) const { impl_->run(0, false, text, sink); }
bool PreTokenizer::empty() const { return impl_->steps.empty(); }
const CharClasses& PreTokenizer::classes() const { return impl_->classes; }

}  // namespace tern
