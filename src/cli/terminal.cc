// SPDX-License-Identifier: MIT
#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>

namespace tern::cli {

namespace {

// The one thing a signal handler can reach. Set by the handler, read between steps.
std::atomic<bool> interrupted{false};

extern "C" void on_interrupt(int) {
  if (interrupted.exchange(true)) {
    std::signal(SIGINT, SIG_DFL);
    std::raise(SIGINT);
  }
}

}  // namespace

bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }
bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

int terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return std::max<int>(20, size.ws_col);
}

std::string one_line(std::string_view text, size_t limit) {
  std::string line;
  for (const char c : text.substr(0, limit)) {
    const auto byte = static_cast<unsigned char>(c);
    line += byte < 0x20 || byte == 0x7f ? fmt::format("\\x{:02x}", byte) : std::string(1, c);
  }
  if (text.size() > limit) line += "...";
  return line;
}

void print_error(const Error& error) {
  std::fprintf(stderr, "tern: %s\n", one_line(error.message, 2000).c_str());
}

void print_note(std::string_view text) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
}

int exit_code_of(const Error& error) {
  if (error.code == ErrorCode::kCancelled) return kExitInterrupted;
  return error.code == ErrorCode::kUsage ? 2 : 1;
}

Progress::Progress(std::string label, bool enabled)
    : label_(std::move(label)), enabled_(enabled && stderr_is_terminal()) {}

void Progress::update(int64_t done, int64_t total) {
  if (!enabled_ || total <= 0) return;
  const auto now = std::chrono::steady_clock::now();
  if (is_drawn_ && done < total && now - last_ < std::chrono::milliseconds(100)) return;
  last_ = now;
  is_drawn_ = true;
  const double share = std::clamp(static_cast<double>(done) / static_cast<double>(total), 0.0, 1.0);
  const int room = terminal_width() - 1;
  const std::string percent = fmt::format(" {:3.0f} %", share * 100);
  const int label_room = std::max(0, room - static_cast<int>(percent.size()));
  std::string line = label_.substr(0, static_cast<size_t>(label_room));
  const int bar = room - static_cast<int>(line.size() + percent.size()) - 3;
  if (bar >= 5) {
    const int full = static_cast<int>(share * bar);
    line += fmt::format(" [{}{}]", std::string(static_cast<size_t>(full), '#'),
                        std::string(static_cast<size_t>(bar - full), '.'));
  }
  std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), percent.c_str());
  std::fflush(stderr);
}

void Progress::finish() {
  if (!is_drawn_) return;
  std::fprintf(stderr, "\r\033[K");
  std::fflush(stderr);
  is_drawn_ = false;
}

InterruptGuard::InterruptGuard() {
  interrupted = false;
  ::sigaction(SIGINT, nullptr, &before_);
  if (before_.sa_handler == SIG_IGN) return;
  struct sigaction action{};
  action.sa_handler = on_interrupt;  // no SA_RESTART: a blocking read returns
  ::sigaction(SIGINT, &action, nullptr);
}

InterruptGuard::~InterruptGuard() { ::sigaction(SIGINT, &before_, nullptr); }

const std::atomic<bool>& InterruptGuard::cancelled() const { return interrupted; }

}  // namespace tern::cli
