// SPDX-License-Identifier: MIT
#include "bench/peer.h"

#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstring>

namespace tern {

namespace {

std::optional<double> number_at(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

/// The number that starts at or behind `at`, blanks and a colon skipped.
std::optional<double> number_behind(std::string_view text, size_t at) {
  while (at < text.size() && (text[at] == ' ' || text[at] == ':' || text[at] == '"')) ++at;
  return number_at(text.substr(at));
}

/// The number whose last character stands before `end` (blanks skipped).
std::optional<double> number_before(std::string_view text, size_t end) {
  while (end > 0 && text[end - 1] == ' ') --end;
  size_t begin = end;
  while (begin > 0 &&
         (std::isdigit(static_cast<unsigned char>(text[begin - 1])) != 0 || text[begin - 1] == '.'))
    --begin;
  return begin == end ? std::nullopt : number_at(text.substr(begin, end - begin));
}

}  // namespace

std::string fill_command(std::string_view command, const SpeedCase& what) {
  const std::array<std::pair<std::string_view, int64_t>, 6> values = {{{"{p}", what.prompt},
                                                                       {"{n}", what.predict},
                                                                       {"{d}", what.depth},
                                                                       {"{np}", what.sequences},
                                                                       {"{t}", what.threads},
                                                                       {"{b}", what.chunk_rows}}};
  std::string out;
  for (size_t at = 0; at < command.size();) {
    const auto* found = std::find_if(values.begin(), values.end(), [&](const auto& value) {
      return command.substr(at).starts_with(value.first);
    });
    if (found == values.end()) {
      out += command[at++];
    } else {
      out += std::to_string(found->second);
      at += found->first.size();
    }
  }
  return out;
}

Result<double> parse_rate(std::string_view output) {
  std::optional<double> rate;
  if (const size_t key = output.rfind("\"avg_ts\""); key != std::string_view::npos) {
    rate = number_behind(output, key + 8);
  } else if (const size_t sign = output.rfind("±"); sign != std::string_view::npos) {
    rate = number_before(output, sign);
  } else {
    const size_t last = output.find_last_of("0123456789");
    if (last != std::string_view::npos) rate = number_before(output, last + 1);
  }
  if (!rate || !(*rate > 0)) {
    return make_error(
        ErrorCode::kCorrupt,
        "--compare: no positive rate in the command's output: expected \"avg_ts\": N, 'N ± N' or a number "
        "at its end");
  }
  return *rate;
}

Result<double> run_peer(const std::string& command) {
  std::fflush(stdout);
  std::FILE* pipe = ::popen(command.c_str(), "re");
  if (pipe == nullptr)
    return make_error(ErrorCode::kIo, "--compare: cannot start /bin/sh: {}", std::strerror(errno));
  std::string output;
  std::array<char, 4096> block;
  constexpr size_t kKept = 1 << 20;  // the rate stands at the end
  for (size_t count; (count = std::fread(block.data(), 1, block.size(), pipe)) > 0;) {
    output.append(block.data(), count);
    if (output.size() > 2 * kKept) output.erase(0, output.size() - kKept);
  }
  const int status = ::pclose(pipe);
  if (status != 0) {
    return make_error(ErrorCode::kIo, "--compare: the command ended with {} {}: {}",
                      WIFSIGNALED(status) ? "signal" : "status",
                      WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), command);
  }
  return parse_rate(output);
}

}  // namespace tern
