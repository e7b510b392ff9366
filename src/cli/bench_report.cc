// SPDX-License-Identifier: MIT
#include "cli/bench_report.h"

#include <algorithm>
#include <filesystem>

namespace tern::cli {

namespace {

/// What is said of a case, computed from its samples.
struct Figures {
  Summary rate;                      // tokens per second
  double bytes_per_token = 0;        // decode: read per step, over the sequences; prefill: per prompt token
  double bytes_per_second = 0;       // at the median
  double operations_per_second = 0;  // of matrix products, at the median
  double share_of_roof = 0;          // decode: of the bandwidth; prefill: of the ternary rate; 0 = no roof
  std::optional<double> joules_per_token, peer_rate, ratio;
};

Figures figures_of(const CaseReport& c, const BenchReport& report) {
  Figures f;
  const auto tokens = static_cast<double>(c.what.tokens());
  std::vector<double> rates;
  for (const double seconds : c.samples.seconds) rates.push_back(tokens / seconds);
  f.rate = summarize(rates);
  double bytes = 0, operations = 0;
  for (const ClassShare& share : c.shares) bytes += share.bytes, operations += share.operations;
  // Shares are those of one step (decode) or of one prompt.
  const double per =
      c.what.prompt > 0 ? static_cast<double>(c.what.prompt) : static_cast<double>(c.what.sequences);
  f.bytes_per_token = bytes / per;
  f.bytes_per_second = f.rate.median * f.bytes_per_token;
  f.operations_per_second = f.rate.median * operations / per;
  if (const auto roof = report.roofs.find({c.what.threads, c.what.isa}); roof != report.roofs.end()) {
    f.share_of_roof = c.what.prompt > 0 ? f.operations_per_second / roof->second.operations_per_second
                                        : f.bytes_per_second / roof->second.bytes_per_second;
  }
  if (!c.samples.joules.empty()) f.joules_per_token = summarize(c.samples.joules).median / tokens;
  if (!c.peer_rates.empty()) {
    f.peer_rate = summarize(c.peer_rates).median;
    std::vector<double> ratios;
    for (size_t i = 0; i < c.peer_rates.size(); ++i) ratios.push_back(rates[i] / c.peer_rates[i]);
    f.ratio = summarize(ratios).median;
  }
  return f;
}

std::string machine_line(const BenchReport& report) {
  const Json& m = report.machine;
  return fmt::format("{}, {} cores, {}", m.value("cpu", "?"), m.value("physical_cores", 0),
                     m.value("features", ""));
}

std::string roofs_markdown(const BenchReport& report) {
  std::string out;
  for (const auto& [key, roof] : report.roofs) {
    out +=
        fmt::format("roof at {} thread{} ({}): memory {:.1f} GB/s, ternary product in cache {:.0f} GOP/s\n",
                    key.first, key.first == 1 ? "" : "s", key.second, roof.bytes_per_second * 1e-9,
                    roof.operations_per_second * 1e-9);
  }
  return out;
}

std::string shares_markdown(const BenchReport& report) {
  std::string out =
      "\n| test | threads | kernels | op class | ms | share | MB read | GB/s "
      "|\n|---|---|---|---|---|---|---|---|\n";
  for (const CaseReport& c : report.cases) {
    double total = 0;
    for (const ClassShare& share : c.shares) total += share.seconds;
    for (const ClassShare& share : c.shares) {
      out += fmt::format("| {} | {} | {} | {} | {:.3f} | {:.1f} % | {:.2f} | {:.1f} |\n", c.what.name(),
                         c.what.threads, c.what.isa, op_class_name(share.op), share.seconds * 1e3,
                         100 * share.seconds / total, share.bytes * 1e-6, share.bytes / share.seconds * 1e-9);
    }
  }
  return out +
         "(op classes: one step of a decode test, the whole prompt of a prefill test, recorded once before "
         "the "
         "repetitions)\n";
}

Json case_json(const CaseReport& c, const BenchReport& report) {
  const Figures f = figures_of(c, report);
  Json json = {{"test", c.what.name()},
               {"n_prompt", c.what.prompt},
               {"n_gen", c.what.predict},
               {"n_depth", c.what.depth},
               {"parallel", c.what.sequences},
               {"batch_size", c.what.chunk_rows},
               {"threads", c.what.threads},
               {"isa", c.what.isa},
               {"seconds", c.samples.seconds},
               {"median_ts", f.rate.median},
               {"avg_ts", f.rate.mean},
               {"stddev_ts", f.rate.deviation},
               {"min_ts", f.rate.min},
               {"max_ts", f.rate.max},
               {"bytes_per_token", f.bytes_per_token},
               {"gb_per_second", f.bytes_per_second * 1e-9},
               {"gops", f.operations_per_second * 1e-9}};
  if (f.share_of_roof > 0) json["share_of_roof"] = f.share_of_roof;
  if (f.joules_per_token) json["joules_per_token"] = *f.joules_per_token;
  if (f.ratio) {
    json["peer_ts"] = c.peer_rates;
    json["peer_median_ts"] = *f.peer_rate;
    json["median_ratio"] = *f.ratio;
  }
  Json classes = Json::array();
  for (const ClassShare& share : c.shares) {
    classes.push_back({{"op", op_class_name(share.op)},
                       {"seconds", share.seconds},
                       {"bytes", share.bytes},
                       {"operations", share.operations}});
  }
  json["op_classes"] = std::move(classes);
  return json;
}

}  // namespace

void describe_model(const std::string& path, const Model& model, double load_seconds, BenchReport* report) {
  std::error_code error;
  report->model = path;
  report->architecture = model.config().architecture;
  report->file_bytes = static_cast<double>(std::filesystem::file_size(path, error));
  report->load_seconds = load_seconds;
}

std::string report_markdown(const BenchReport& report) {
  std::string out =
      fmt::format("{}\nmodel {} ({}, {}), KV {}, load {:.2f} s, peak memory {}\n", machine_line(report),
                  report.model, report.architecture, human_bytes(report.file_bytes), report.kv_type,
                  report.load_seconds, human_bytes(static_cast<double>(report.peak_resident_bytes)));
  if (report.warm_load_seconds > 0) {
    out += fmt::format("load from disk {:.2f} s, from the page cache {:.2f} s\n", report.cold_load_seconds,
                       report.warm_load_seconds);
  }
  out += roofs_markdown(report);
  const bool has_peer = !report.command.empty();
  if (has_peer) out += fmt::format("peer: {}\n", report.command);
  out += fmt::format(
      "\n| test | threads | kernels | median tok/s | mean ± sd | min - max | MB/token | GB/s | of roof |"
      " J/token |{}\n|---|---|---|---|---|---|---|---|---|---|{}\n",
      has_peer ? " peer tok/s | ratio |" : "", has_peer ? "---|---|" : "");
  for (const CaseReport& c : report.cases) {
    const Figures f = figures_of(c, report);
    out += fmt::format(
        "| {}{} | {} | {} | **{:.2f}** | {:.2f} ± {:.2f} | {:.2f} - {:.2f} | {:.2f} | {:.1f} | {} | {} |",
        c.what.name(), c.what.chunk_rows != 512 ? fmt::format(" b{}", c.what.chunk_rows) : "", c.what.threads,
        c.what.isa, f.rate.median, f.rate.mean, f.rate.deviation, f.rate.min, f.rate.max,
        f.bytes_per_token * 1e-6, f.bytes_per_second * 1e-9,
        f.share_of_roof > 0 ? fmt::format("{:.0f} %", 100 * f.share_of_roof) : "-",
        f.joules_per_token ? fmt::format("{:.3f}", *f.joules_per_token) : "-");
    if (has_peer) out += fmt::format(" {:.2f} | **{:.2f}** |", *f.peer_rate, *f.ratio);
    out += '\n';
  }
  return out + shares_markdown(report);
}

std::string report_csv(const BenchReport& report) {
  std::string out =
      "test,n_prompt,n_gen,n_depth,parallel,batch_size,threads,isa,median_ts,avg_ts,stddev_ts,min_ts,max_ts,"
      "bytes_per_token,gb_per_second,share_of_roof,joules_per_token,peer_median_ts,median_ratio\n";
  for (const CaseReport& c : report.cases) {
    const Figures f = figures_of(c, report);
    auto optional = [](std::optional<double> value) {
      return value ? fmt::format("{:.6g}", *value) : std::string();
    };
    out +=
        fmt::format("{},{},{},{},{},{},{},{},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{:.6g},{},{},{},{}\n",
                    c.what.name(), c.what.prompt, c.what.predict, c.what.depth, c.what.sequences,
                    c.what.chunk_rows, c.what.threads, c.what.isa, f.rate.median, f.rate.mean,
                    f.rate.deviation, f.rate.min, f.rate.max, f.bytes_per_token, f.bytes_per_second * 1e-9,
                    f.share_of_roof > 0 ? fmt::format("{:.6g}", f.share_of_roof) : "",
                    optional(f.joules_per_token), optional(f.peer_rate), optional(f.ratio));
  }
  return out;
}

Json report_json(const BenchReport& report) {
  Json json = {{"machine", report.machine},
               {"model", report.model},
               {"architecture", report.architecture},
               {"file_bytes", report.file_bytes},
               {"kv_type", report.kv_type},
               {"load_seconds", report.load_seconds},
               {"peak_resident_bytes", report.peak_resident_bytes}};
  if (report.warm_load_seconds > 0) {
    json["cold_load_seconds"] = report.cold_load_seconds;
    json["warm_load_seconds"] = report.warm_load_seconds;
  }
  if (!report.command.empty()) json["peer"] = report.command;
  Json roofs = Json::array();
  for (const auto& [key, roof] : report.roofs) {
    roofs.push_back({{"threads", key.first},
                     {"isa", key.second},
                     {"gb_per_second", roof.bytes_per_second * 1e-9},
                     {"gops", roof.operations_per_second * 1e-9}});
  }
  json["roofs"] = std::move(roofs);
  json["results"] = Json::array();
  for (const CaseReport& c : report.cases) json["results"].push_back(case_json(c, report));
  return json;
}

Chart threads_chart(const BenchReport& report) {
  std::map<std::string, std::vector<std::pair<double, double>>> lines;
  for (const CaseReport& c : report.cases) {
    lines[c.what.name() + " " + c.what.isa].emplace_back(c.what.threads, figures_of(c, report).rate.median);
  }
  Chart chart{.title = "Tokens per second over threads",
              .x_label = "threads",
              .y_label = "tokens/s",
              .from_zero = true};
  for (auto& [name, points] : lines) {
    std::sort(points.begin(), points.end());
    chart.series.push_back({.name = name, .points = points});
  }
  return chart;
}

Chart roofline_chart(const BenchReport& report) {
  Chart chart{.title = "Roofline: products of a step against what this machine can do",
              .x_label = "operations per byte read",
              .y_label = "GOP/s",
              .log_x = true,
              .log_y = true};
  for (const auto& [key, roof] : report.roofs) {
    const double ridge = roof.operations_per_second / roof.bytes_per_second;
    chart.series.push_back({.name = fmt::format("roof, {} threads, {}", key.first, key.second),
                            .points = {{0.1, 0.1 * roof.bytes_per_second * 1e-9},
                                       {ridge, roof.operations_per_second * 1e-9},
                                       {std::max(1e4, 10 * ridge), roof.operations_per_second * 1e-9}},
                            .is_dashed = true});
  }
  for (const CaseReport& c : report.cases) {
    const Figures f = figures_of(c, report);
    if (f.bytes_per_second <= 0 || f.operations_per_second <= 0) continue;
    chart.series.push_back(
        {.name = fmt::format("{}, {} threads, {}", c.what.name(), c.what.threads, c.what.isa),
         .points = {{f.operations_per_second / f.bytes_per_second, f.operations_per_second * 1e-9}},
         .is_line = false});
  }
  return chart;
}

}  // namespace tern::cli
