// SPDX-License-Identifier: MIT
// What make_model and import_model share: a strict reader of "--name value" flags, and writing with progress.
#pragma once

#include <chrono>
#include <cstdio>
#include <initializer_list>
#include <map>
#include <string>
#include <string_view>

#include "tests/tools/test_models.h"

namespace tern::test {

struct ToolFlags {
  std::map<std::string, std::string, std::less<>> values;  // without the dashes
  std::string positional;                                  // at most one
  bool wants_help = false;

  std::string get(std::string_view name, std::string_view absent) const {
    const auto at = values.find(name);
    return std::string(at == values.end() ? absent : std::string_view(at->second));
  }
};

/// Errors: kUsage for a flag that is not in `known`, one without a value, a second positional argument.
inline Result<ToolFlags> parse_flags(int argc, char** argv, std::initializer_list<std::string_view> known) {
  ToolFlags flags;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--help" || word == "-h") {
      flags.wants_help = true;
    } else if (!word.starts_with("--")) {
      if (!flags.positional.empty()) {
        return make_error(ErrorCode::kUsage, "one file expected, '{}' and '{}' found", flags.positional,
                          word);
      }
      flags.positional = word;
    } else {
      bool is_known = false;
      for (const std::string_view name : known) is_known = is_known || name == word.substr(2);
      if (!is_known) return make_error(ErrorCode::kUsage, "unknown flag {} (--help lists them)", word);
      if (i + 1 == argc) return make_error(ErrorCode::kUsage, "{} needs a value", word);
      flags.values[std::string(word.substr(2))] = argv[++i];
    }
  }
  return flags;
}

/// Writes the file and says so on stderr, with progress every two seconds where it takes longer.
inline Status write_with_progress(const GgufContents& contents, const std::string& path) {
  using Clock = std::chrono::steady_clock;
  auto last = Clock::now();
  TERN_TRY(write_contents(contents, path, [&last](size_t done, size_t total) {
    if (Clock::now() - last < std::chrono::seconds(2)) return;
    last = Clock::now();
    fmt::print(stderr, "{} of {} tensors\n", done, total);
  }));
  fmt::print(stderr, "wrote {}\n", path);
  return {};
}

/// Prints a failed status on stderr. Returns the exit status: 0 ok, 1 failed, 2 usage.
inline int exit_status(const char* program, const Status& status) {
  if (status.ok()) return 0;
  fmt::print(stderr, "{}: {}\n", program, status.error().message);
  return status.error().code == ErrorCode::kUsage ? 2 : 1;
}

}  // namespace tern::test
