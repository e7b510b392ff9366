// SPDX-License-Identifier: MIT
// Another engine's benchmark command, run in turn with ours: what tern bench --compare needs.
#pragma once

#include <string>
#include <string_view>

#include "bench/speed.h"

namespace tern {

/// `command` with {p} {n} {d} {np} {t} {b} replaced by the figures of the case ({p} is 0 in decode cases, {n}
/// 0 in prefill ones). Other braces stay.
std::string fill_command(std::string_view command, const SpeedCase& what);

/// The rate in tokens per second that a benchmark's output ends with: the last "avg_ts": NUMBER (llama-bench
/// -o json), else the last "NUMBER ± NUMBER" (its table), else the last number. Errors: kCorrupt where there
/// is none, or it is not positive.
Result<double> parse_rate(std::string_view output);

/// Runs the command by /bin/sh and returns its rate. Its stderr goes to ours. Errors: kIo where it cannot run
/// or ends with another status than 0; those of parse_rate().
Result<double> run_peer(const std::string& command);

}  // namespace tern
