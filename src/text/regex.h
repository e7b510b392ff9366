// SPDX-License-Identifier: MIT
// Regular expressions of tokenizer.json by PCRE2 (JIT where the machine allows). Decides what is refused:
// expressions that PCRE2 would read differently from Oniguruma, for which they were written. Called by
// pretokenize and normalize.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern {

/// A compiled expression; immutable.
class Regex {
 public:
  /// Errors: kUnsupported with the expression, the reason and the offset.
  static Result<Regex> compile(std::string_view pattern);
  Regex(Regex&&) noexcept;
  Regex& operator=(Regex&&) noexcept;
  ~Regex();

  /// One pass over one text. Not thread-safe; make one per call.
  class Scanner {
   public:
    Scanner(const Regex& regex, std::string_view text);
    ~Scanner();
    Scanner(const Scanner&) = delete;
    Scanner& operator=(const Scanner&) = delete;

    /// Finds the next non-empty match at or after `from`. False: none, or the match limit was exceeded.
    bool next(size_t from, size_t& begin, size_t& end);

   private:
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Code;
  explicit Regex(std::unique_ptr<Code> code);
  std::unique_ptr<Code> code_;
};

}  // namespace tern
