// SPDX-License-Identifier: MIT
#include "cli/chat_loop.h"

#include <charconv>
#include <cstdio>

#include "cli/report.h"
#include "cli/terminal.h"
#include "cli/text_model.h"
#include "text/utf8_sanitizer.h"

namespace tern::cli {

namespace {

constexpr std::string_view kMultiLine = "\"\"\"";

constexpr const char* kHelp =
    "/system TEXT     set the system message (empty: none)\n"
    "/set             show the settings\n"
    "/set NAME VALUE  temp, top-k, top-p, min-p, repeat-penalty, presence-penalty,\n"
    "                 frequency-penalty, seed, predict, perf (on, off), full (stop, drop)\n"
    "/retry           another answer to the last message\n"
    "/reset           forget the conversation\n"
    "/save FILE       write the conversation (JSON)\n"
    "/load FILE       read one\n"
    "/bye             leave (Ctrl-D too)\n"
    "\"\"\"              begins and ends a message of several lines\n"
    "Ctrl-C stops an answer.";

std::string_view trim(std::string_view text) {
  const size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

template <class T>
Status parse_number(std::string_view name, std::string_view text, T* out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    return make_error(ErrorCode::kUsage, "/set {}: '{}' is not a number in its range", name, text);
  }
  *out = value;
  return {};
}

}  // namespace

bool ChatLoop::read_message(std::string* message) {
  message->clear();
  bool in_block = false;
  while (true) {
    const LineEditor::Line line = editor_.read(in_block ? "... " : ">>> ");
    if (line.end == LineEditor::End::kInterrupt) {
      if (!in_block && ++interrupts_ >= 2) return false;
      print_note(in_block ? "" : "\n(Ctrl-C again or /bye leaves)");
      message->clear();
      in_block = false;
      continue;
    }
    interrupts_ = 0;
    if (line.end == LineEditor::End::kEndOfInput) return !message->empty();
    std::string_view text = line.text;
    if (!line.text.empty()) editor_.remember(line.text);
    if (!in_block && trim(text).substr(0, 3) == kMultiLine) {
      in_block = true;
      text = trim(text).substr(3);
      if (text.empty()) continue;
    }
    if (!in_block) {
      if (trim(text).empty()) continue;
      *message = std::string(text);
      return true;
    }
    const size_t close = text.find(kMultiLine);
    if (!message->empty()) *message += '\n';
    *message += text.substr(0, close);
    if (close != std::string_view::npos) return true;
  }
}

Status ChatLoop::set(std::string_view arguments) {
  const size_t space = arguments.find(' ');
  const std::string_view name = arguments.substr(0, space);
  const std::string_view value = space == std::string_view::npos ? "" : trim(arguments.substr(space));
  SamplingParams next = options_.sampling;
  int64_t max_tokens = options_.max_tokens;
  if (name == "temp") {
    TERN_TRY(parse_number(name, value, &next.temperature));
  } else if (name == "top-k") {
    TERN_TRY(parse_number(name, value, &next.top_k));
  } else if (name == "top-p") {
    TERN_TRY(parse_number(name, value, &next.top_p));
  } else if (name == "min-p") {
    TERN_TRY(parse_number(name, value, &next.min_p));
  } else if (name == "repeat-penalty") {
    TERN_TRY(parse_number(name, value, &next.repetition_penalty));
  } else if (name == "presence-penalty") {
    TERN_TRY(parse_number(name, value, &next.presence_penalty));
  } else if (name == "frequency-penalty") {
    TERN_TRY(parse_number(name, value, &next.frequency_penalty));
  } else if (name == "seed") {
    TERN_TRY(parse_number(name, value, &next.seed));
  } else if (name == "predict") {
    TERN_TRY(parse_number(name, value, &max_tokens));
  } else if (name == "perf" && (value == "on" || value == "off")) {
    options_.show_timings = value == "on";
  } else if (name == "full" && (value == "stop" || value == "drop")) {
    session_.set_when_full(value == "drop" ? WhenFull::kDropOldest : WhenFull::kStop);
  } else {
    return make_error(ErrorCode::kUsage, "/set {} {}: no such setting or value (/help lists them)", name,
                      value);
  }
  TERN_TRY(next.check());
  options_.sampling = next;
  options_.max_tokens = max_tokens;
  return {};
}

void ChatLoop::show_settings() const {
  const SamplingParams& s = options_.sampling;
  print_note(
      fmt::format("temp {} | top-k {} | top-p {} | min-p {} | repeat-penalty {} | presence-penalty {} | "
                  "frequency-penalty {} | seed {} | predict {} | perf {} | full {}",
                  s.temperature, s.top_k, s.top_p, s.min_p, s.repetition_penalty, s.presence_penalty,
                  s.frequency_penalty, s.seed, options_.max_tokens, options_.show_timings ? "on" : "off",
                  session_.when_full() == WhenFull::kDropOldest ? "drop" : "stop"));
}

Result<ChatLoop::Next> ChatLoop::obey(std::string_view line) {
  const size_t space = line.find(' ');
  const std::string_view command = line.substr(0, space);
  const std::string argument(space == std::string_view::npos ? "" : trim(line.substr(space)));
  if (command == "/bye" || command == "/exit" || command == "/quit") return Next::kLeave;
  if (command == "/help" || command == "/?") {
    print_note(kHelp);
  } else if (command == "/system") {
    TERN_TRY(session_.set_system(sanitize_utf8(argument)));
  } else if (command == "/set" && argument.empty()) {
    show_settings();
  } else if (command == "/set") {
    TERN_TRY(set(argument));
  } else if (command == "/reset") {
    session_.reset();
    print_note("(the conversation is forgotten)");
  } else if (command == "/retry") {
    TERN_TRY(answer(true, ""));
  } else if (command == "/save" && !argument.empty()) {
    TERN_TRY(save_conversation(argument, session_.messages()));
    print_note(fmt::format("({} messages written to {})", session_.messages().size(), argument));
  } else if (command == "/load" && !argument.empty()) {
    TERN_TRY_ASSIGN(auto messages, load_conversation(argument));
    TERN_TRY(session_.set_messages(std::move(messages)));
    print_note(fmt::format("({} messages read)", session_.messages().size()));
  } else {
    return make_error(ErrorCode::kUsage,
                      "'{}': no such command, or its argument is missing (/help lists them)", command);
  }
  return Next::kGoOn;
}

Status ChatLoop::answer(bool again, std::string_view text) {
  const InterruptGuard interrupt;
  Progress progress("reading", true);
  bool stdout_is_gone = false;
  TextParams params;
  params.generate.sampling = options_.sampling;
  params.generate.stop_ids = options_.stop_ids;
  params.generate.max_tokens = options_.max_tokens;
  params.generate.cancel = &interrupt.cancelled();
  params.generate.on_prefill = [&](int64_t done, int64_t total) { progress.update(done, total); };
  params.on_piece = [&](int32_t, std::string_view part) {
    progress.finish();
    stdout_is_gone = !part.empty() && !write_out(part);
    return !stdout_is_gone;
  };
  const int64_t dropped = session_.dropped_messages();
  TERN_TRY_ASSIGN(const TextResult result,
                  again ? session_.retry(params) : session_.ask(sanitize_utf8(std::string(text)), params));
  progress.finish();
  if (stdout_is_gone || !write_out("\n")) return make_error(ErrorCode::kIo, "cannot write to stdout");
  if (session_.dropped_messages() > dropped) {
    print_note(fmt::format("(the oldest {} messages were forgotten to make room)",
                           session_.dropped_messages() - dropped));
  }
  if (result.raw.finish == FinishReason::kContextFull) {
    print_note("(stopped: the context is full; /reset, /set full drop, or a larger -c)");
  }
  if (result.raw.finish == FinishReason::kCancelled) print_note("(stopped)");
  if (options_.show_timings) print_note(fmt::format("[{}]", timings_line(result.raw.timings, std::nullopt)));
  ++options_.sampling
        .seed;  // another answer to the same words may differ; a fixed first seed still repeats the chat
  return {};
}

Status ChatLoop::run() {
  if (stdin_is_terminal()) print_note("/help lists what can be typed, /bye leaves");
  for (std::string message; read_message(&message);) {
    const std::string_view line = trim(message);
    if (line.empty()) continue;
    const bool is_command = line[0] == '/' && line.find('\n') == std::string_view::npos;
    Status status;
    if (is_command) {
      auto next = obey(line);
      if (next.ok() && *next == Next::kLeave) return {};
      if (!next.ok()) status = std::move(next).error();
    } else {
      status = answer(false, message);
    }
    if (status.ok()) continue;
    if (status.error().code == ErrorCode::kIo && !is_command) return status;
    print_error(status.error());
  }
  return {};
}

}  // namespace tern::cli
