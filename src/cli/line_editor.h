// SPDX-License-Identifier: MIT
// Reads lines from the user: with editing and history on a terminal (libedit, where the build has it),
// plainly otherwise. Knows nothing of chats.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace tern::cli {

class LineEditor {
 public:
  /// `history_path` is read now and written by the destructor; "" keeps no history. A history that cannot be
  /// read or written is no error.
  explicit LineEditor(std::string history_path);
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class End : uint8_t { kLine, kEndOfInput, kInterrupt };
  struct Line {
    End end = End::kLine;
    std::string text;  // without the line end
  };
  /// One line. `prompt` is shown on a terminal only. Ctrl-C gives kInterrupt, Ctrl-D or the end of input
  /// kEndOfInput.
  Line read(const std::string& prompt);

  void remember(const std::string& line);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

/// Where the history of chats is kept: $XDG_STATE_HOME/tern/history, else ~/.local/state/tern/history; ""
/// without a home.
std::string default_history_path();

}  // namespace tern::cli
