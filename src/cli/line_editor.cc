// SPDX-License-Identifier: MIT
#include "cli/line_editor.h"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "cli/terminal.h"

#ifdef TERN_HAVE_LIBEDIT
#  include <histedit.h>
#endif

namespace tern::cli {

namespace {

extern "C" void on_line_interrupt(int) {}  // its only purpose is to end the read

/// While reading a line, Ctrl-C ends the read instead of the program.
class LineInterrupt {
 public:
  LineInterrupt() {
    struct sigaction action{};
    action.sa_handler = on_line_interrupt;
    ::sigaction(SIGINT, &action, &before_);
  }
  ~LineInterrupt() { ::sigaction(SIGINT, &before_, nullptr); }

 private:
  struct sigaction before_{};
};

/// Reads up to a line end without buffering beyond it, so that nothing is lost when a read is interrupted.
LineEditor::Line read_plain() {
  LineEditor::Line line;
  while (true) {
    char byte;
    const ssize_t count = ::read(STDIN_FILENO, &byte, 1);
    if (count < 0 && errno == EINTR) return {LineEditor::End::kInterrupt, ""};
    if (count <= 0) {
      line.end = line.text.empty() ? LineEditor::End::kEndOfInput : LineEditor::End::kLine;
      return line;
    }
    if (byte == '\n') return line;
    if (byte != '\r') line.text += byte;
  }
}

}  // namespace

std::string default_history_path() {
  namespace fs = std::filesystem;
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  if (state != nullptr && *state != '\0') return fs::path(state) / "tern" / "history";
  if (home != nullptr && *home != '\0') return fs::path(home) / ".local" / "state" / "tern" / "history";
  return "";
}

#ifdef TERN_HAVE_LIBEDIT

struct LineEditor::Impl {
  std::string history_path;
  std::string prompt;
  EditLine* editor = nullptr;
  History* history = nullptr;
  HistEvent event{};
};

namespace {

const char* current_prompt(EditLine* editor) {
  void* data = nullptr;
  el_get(editor, EL_CLIENTDATA, &data);
  return static_cast<const std::string*>(data)->c_str();
}

}  // namespace

LineEditor::LineEditor(std::string history_path) : impl_(std::make_unique<Impl>()) {
  impl_->history_path = std::move(history_path);
  if (!stdin_is_terminal() || !stderr_is_terminal()) return;
  // The prompt and the echo go to stderr: stdout carries answers only.
  impl_->editor = el_init("tern", stdin, stderr, stderr);
  if (impl_->editor == nullptr) return;
  el_set(impl_->editor, EL_CLIENTDATA, &impl_->prompt);
  el_set(impl_->editor, EL_PROMPT, current_prompt);
  el_set(impl_->editor, EL_EDITOR, "emacs");
  impl_->history = history_init();
  if (impl_->history == nullptr) return;
  history(impl_->history, &impl_->event, H_SETSIZE, 1000);
  history(impl_->history, &impl_->event, H_SETUNIQUE, 1);
  el_set(impl_->editor, EL_HIST, history, impl_->history);
  if (!impl_->history_path.empty())
    history(impl_->history, &impl_->event, H_LOAD, impl_->history_path.c_str());
}

LineEditor::~LineEditor() {
  if (impl_->history != nullptr) {
    if (!impl_->history_path.empty()) {
      std::error_code ignored;
      std::filesystem::create_directories(std::filesystem::path(impl_->history_path).parent_path(), ignored);
      history(impl_->history, &impl_->event, H_SAVE, impl_->history_path.c_str());
    }
    history_end(impl_->history);
  }
  if (impl_->editor != nullptr) el_end(impl_->editor);
}

LineEditor::Line LineEditor::read(const std::string& prompt) {
  const LineInterrupt interrupt;
  if (impl_->editor == nullptr) return read_plain();
  impl_->prompt = prompt;
  int count = 0;
  errno = 0;
  const char* text = el_gets(impl_->editor, &count);
  if (text == nullptr || count <= 0) {
    if (count < 0 && errno == EINTR) {
      el_reset(impl_->editor);
      return {End::kInterrupt, ""};
    }
    return {End::kEndOfInput, ""};
  }
  std::string line(text, static_cast<size_t>(count));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  return {End::kLine, line};
}

void LineEditor::remember(const std::string& line) {
  if (impl_->history != nullptr) history(impl_->history, &impl_->event, H_ENTER, line.c_str());
}

#else

struct LineEditor::Impl {};

LineEditor::LineEditor(std::string) : impl_(std::make_unique<Impl>()) {}
LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const std::string& prompt) {
  const LineInterrupt interrupt;
  if (stdin_is_terminal() && stderr_is_terminal()) {
    std::fputs(prompt.c_str(), stderr);
    std::fflush(stderr);
  }
  return read_plain();
}

void LineEditor::remember(const std::string&) {}

#endif

}  // namespace tern::cli
