// SPDX-License-Identifier: MIT
// What the commands know of the terminal: whether there is one, how wide it is, progress lines, errors,
// Ctrl-C. Results go to stdout; everything here goes to stderr.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.h"

namespace tern::cli {

bool stdout_is_terminal();
bool stderr_is_terminal();
bool stdin_is_terminal();
/// Columns of the terminal on stderr: at least 20, 80 where unknown.
int terminal_width();

/// `text` without control characters (written \\x1b), cut to `limit` bytes: names in files are other
/// people's.
std::string one_line(std::string_view text, size_t limit);
/// "tern: message" on stderr, in one line.
void print_error(const Error& error);
/// A note on stderr.
void print_note(std::string_view text);
/// 0 ok, 1 failed, 2 usage.
int exit_code_of(const Error& error);

/// A progress bar on stderr, on a terminal only; redrawn at most ten times a second, erased when done.
class Progress {
 public:
  Progress(std::string label, bool enabled);
  ~Progress() { finish(); }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;
  void update(int64_t done, int64_t total);
  void finish();

 private:
  std::string label_;
  bool enabled_;
  bool is_drawn_ = false;
  std::chrono::steady_clock::time_point last_{};
};

/// From construction to destruction the first Ctrl-C sets cancelled() instead of ending the program; the
/// second one ends it. One at a time.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  const std::atomic<bool>& cancelled() const;

 private:
  struct sigaction before_{};  // put back at the end
};

/// The exit status of a program that was stopped by Ctrl-C.
inline constexpr int kExitInterrupted = 130;

}  // namespace tern::cli
