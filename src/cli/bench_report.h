// SPDX-License-Identifier: MIT
// What tern bench found, as Markdown, CSV, JSON (docs/json.md) and plots. Measures nothing.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "bench/roof.h"
#include "bench/speed.h"
#include "cli/report.h"
#include "core/svg_chart.h"

namespace tern::cli {

struct CaseReport {
  SpeedCase what;
  SpeedSamples samples = {};
  std::vector<double> peer_rates = {};  // one per sample, in the same order; empty without --compare
  std::vector<ClassShare> shares = {};  // of one step (decode) or of the whole prompt (prefill)
};

struct BenchReport {
  Json machine;
  std::string model, architecture, kv_type, command;
  double file_bytes = 0, load_seconds = 0, cold_load_seconds = 0, warm_load_seconds = 0;  // 0 = not measured
  size_t peak_resident_bytes = 0;
  std::map<std::pair<int64_t, std::string>, Roof> roofs;  // by threads and kernel set; empty with --no-roof
  std::vector<CaseReport> cases;
};

void describe_model(const std::string& path, const Model& model, double load_seconds, BenchReport* report);

std::string report_markdown(const BenchReport& report);
std::string report_csv(const BenchReport& report);
Json report_json(const BenchReport& report);
/// Tokens per second over threads, one line for each test and kernel set.
Chart threads_chart(const BenchReport& report);
/// Operations per second over operations per byte of each case's weights, under the measured roofs.
Chart roofline_chart(const BenchReport& report);

}  // namespace tern::cli
