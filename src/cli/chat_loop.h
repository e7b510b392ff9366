// SPDX-License-Identifier: MIT
// The loop of `tern chat`: reads lines, obeys /commands, prints answers.
#pragma once

#include <string>
#include <string_view>

#include "cli/line_editor.h"
#include "engine/chat_session.h"

namespace tern::cli {

struct ChatLoopOptions {
  SamplingParams sampling;
  int64_t max_tokens = -1;
  std::vector<int32_t> stop_ids;
  bool show_timings = true;
  std::string history_path;
};

class ChatLoop {
 public:
  ChatLoop(ChatSession& session, ChatLoopOptions options)
      : session_(session), options_(std::move(options)), editor_(options_.history_path) {}

  /// Until /bye or the end of input. Errors: only those that end the program (stdout is gone); a refused turn
  /// is printed and the loop goes on.
  Status run();

 private:
  enum class Next : uint8_t { kGoOn, kLeave };

  /// The next message or command; """ starts one of several lines. False at the end of input.
  bool read_message(std::string* message);
  Result<Next> obey(std::string_view line);
  Status set(std::string_view arguments);
  void show_settings() const;
  Status answer(bool again, std::string_view text);

  ChatSession& session_;
  ChatLoopOptions options_;
  LineEditor editor_;
  int interrupts_ = 0;  // Ctrl-C at an empty prompt, in a row
};

struct TextModel;

/// Talks with a loaded model until the user leaves: what `tern chat`, and `tern run` without a prompt on a
/// terminal, do. Errors: kUnsupported for a base model, and those of ChatLoop::run.
Status chat_with(TextModel& loaded, ChatLoopOptions options, const std::string& system,
                 bool drops_oldest);  // chat.cc

}  // namespace tern::cli
