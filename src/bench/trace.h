// SPDX-License-Identifier: MIT
// Recorded ops as files that other people's viewers read, and as a table: what tern profile prints.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "bench/timed_backend.h"

namespace tern {

/// Chrome's trace event format (chrome://tracing, Perfetto): one complete event per op, layers as a second
/// row.
nlohmann::ordered_json chrome_trace(const std::vector<OpEvent>& events, const std::string& process_name);

/// Folded stacks (flamegraph.pl, speedscope, inferno): "tern;layer 3;ffn_down 123\n", microseconds, summed
/// over the steps.
std::string folded_stacks(const std::vector<OpEvent>& events);

/// One line of the profile: all events of one name.
struct ProfileLine {
  std::string name;  // attn_q, ..., attention, norm, ...
  int64_t calls = 0;
  double seconds = 0, bytes = 0, operations = 0;
  bool is_memory_bound = false;  // reads at least half of the roof's bytes per second
};

/// Events summed by name, the longest first. `roof` is the bandwidth of the memory in bytes per second.
std::vector<ProfileLine> profile_lines(const std::vector<OpEvent>& events, double roof);

}  // namespace tern
