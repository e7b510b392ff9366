// SPDX-License-Identifier: MIT
#include "cli/report.h"

#include <array>
#include <cstdio>

#include "core/cpu_features.h"

namespace tern::cli {

namespace {

std::string phase(const char* name, int64_t tokens, double seconds) {
  if (tokens == 0 || seconds <= 0) return fmt::format("{} {} tokens", name, tokens);
  const auto count = static_cast<double>(tokens);
  return fmt::format("{} {} tokens, {:.2f} ms/token, {:.1f} tok/s", name, tokens, seconds * 1e3 / count,
                     count / seconds);
}

/// Decoding starts with the logits of the prompt: n tokens take n-1 steps.
int64_t decode_steps(const Timings& t) { return t.generated_tokens > 0 ? t.generated_tokens - 1 : 0; }

}  // namespace

void print_json(const Json& json) {
  const std::string text = json.dump(-1, ' ', false, Json::error_handler_t::replace);
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fputc('\n', stdout);
}

Json machine_json(const Context& context) {
  const Topology& topology = context.topology();
  return {{"cpu", cpu_model_name()},
          {"features", describe_cpu_features(context.cpu_features())},
          {"processors", topology.cpus.size()},
          {"physical_cores", topology.physical_cores},
          {"cgroup_cpus", topology.cgroup_cpus},
          {"threads", context.num_threads()},
          {"pinned", context.is_pinned()},
          {"isa", context.kernels().name}};
}

Json timings_json(const Timings& t, double load_seconds) {
  const int64_t steps = decode_steps(t);
  auto rate = [](int64_t tokens, double seconds) {
    return seconds > 0 ? static_cast<double>(tokens) / seconds : 0.0;
  };
  return {{"load_seconds", load_seconds},
          {"prompt_tokens", t.prompt_tokens},
          {"cached_tokens", t.cached_tokens},
          {"prefill_seconds", t.prefill_seconds},
          {"prefill_tokens_per_second", rate(t.prompt_tokens, t.prefill_seconds)},
          {"generated_tokens", t.generated_tokens},
          {"decode_seconds", t.decode_seconds},
          {"decode_tokens_per_second", rate(steps, t.decode_seconds)}};
}

std::string timings_line(const Timings& t, std::optional<double> load_seconds) {
  std::string line = load_seconds ? fmt::format("load {:.2f} s | ", *load_seconds) : "";
  line += phase("prompt", t.prompt_tokens, t.prefill_seconds);
  if (t.cached_tokens > 0) line += fmt::format(" (+{} cached)", t.cached_tokens);
  line += fmt::format(" | answer {} tokens", t.generated_tokens);
  if (const int64_t steps = decode_steps(t); steps > 0 && t.decode_seconds > 0) {
    line +=
        fmt::format(", {:.2f} ms/token, {:.1f} tok/s", t.decode_seconds * 1e3 / static_cast<double>(steps),
                    static_cast<double>(steps) / t.decode_seconds);
  }
  return line;
}

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  size_t unit = 0;
  while (bytes >= 1000 && unit + 1 < kUnits.size()) {
    bytes /= 1000;
    ++unit;
  }
  return fmt::format("{:.{}f} {}", bytes, unit == 0 ? 0 : 2, kUnits[unit]);
}

}  // namespace tern::cli
