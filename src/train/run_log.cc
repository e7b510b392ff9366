// SPDX-License-Identifier: MIT
#include "train/run_log.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "core/atomic_file.h"
#include "core/svg_chart.h"

namespace tern::train {

namespace {

constexpr const char* kStepColumns = "step,loss,gradient_norm,lr,positions,seconds\n";
constexpr const char* kEvalColumns = "step,loss,perplexity,positions,source\n";

/// Rewrites a CSV file with its heading and the lines whose first column is at most `step`; visits them.
template <class Visit>
Status keep_lines(const std::string& path, const char* heading, int64_t step, const Visit& visit) {
  std::string kept = heading;
  std::ifstream old(path);
  std::string line;
  std::getline(old, line);  // the heading
  while (std::getline(old, line)) {
    char* end = nullptr;
    const long long at = std::strtoll(line.c_str(), &end, 10);
    if (end == line.c_str() || *end != ',' || at > step) continue;
    visit(static_cast<double>(at), std::strtod(end + 1, nullptr), line);
    kept += line + "\n";
  }
  return write_atomically(path, kept);
}

}  // namespace

Result<std::unique_ptr<RunLog>> RunLog::open(const std::string& folder, int64_t step) {
  std::unique_ptr<RunLog> log(new RunLog);
  log->folder_ = folder;
  TERN_TRY(
      keep_lines(folder + "/loss.csv", kStepColumns, step,
                 [&](double at, double loss, const std::string&) { log->losses_.emplace_back(at, loss); }));
  TERN_TRY(keep_lines(folder + "/eval.csv", kEvalColumns, step,
                      [&](double at, double loss, const std::string& line) {
                        if (line.ends_with(",all")) log->heldout_.emplace_back(at, loss);
                      }));
  log->steps_ = std::fopen((folder + "/loss.csv").c_str(), "a");
  log->evals_ = std::fopen((folder + "/eval.csv").c_str(), "a");
  if (log->steps_ == nullptr || log->evals_ == nullptr) {
    return make_error(ErrorCode::kIo, "cannot append to the logs in '{}': {}", folder, std::strerror(errno));
  }
  return log;
}

RunLog::~RunLog() {
  if (steps_ != nullptr) std::fclose(steps_);
  if (evals_ != nullptr) std::fclose(evals_);
}

Status RunLog::write(std::FILE* file, const std::string& name, const std::string& line) {
  if (std::fwrite(line.data(), 1, line.size(), file) == line.size() && std::fflush(file) == 0) return {};
  return make_error(ErrorCode::kIo, "cannot write '{}/{}': {}", folder_, name, std::strerror(errno));
}

Status RunLog::add(const StepReport& r) {
  losses_.emplace_back(static_cast<double>(r.step), r.loss);
  return write(steps_, "loss.csv",
               fmt::format("{},{:.6f},{:.5g},{:.6g},{},{:.3f}\n", r.step, r.loss, r.gradient_norm, r.lr,
                           r.positions, r.seconds));
}

Status RunLog::add(const EvalReport& r) {
  if (r.source == "all") heldout_.emplace_back(static_cast<double>(r.step), r.loss);
  std::string source = r.source;
  std::replace(source.begin(), source.end(), ',', ';');
  return write(
      evals_, "eval.csv",
      fmt::format("{},{:.6f},{:.4f},{},{}\n", r.step, r.loss, std::exp(r.loss), r.positions, source));
}

Status RunLog::plot() const {
  Chart chart;
  chart.title = "training loss";
  chart.x_label = "step";
  chart.y_label = "nats per token";
  ChartSeries training{"training", {}, true, false};
  // At most 800 points, each the mean of its steps: more than the chart has columns only hides the line.
  const size_t bundle = losses_.size() / 800 + 1;
  for (size_t i = 0; i < losses_.size(); i += bundle) {
    const size_t end = std::min(losses_.size(), i + bundle);
    double sum = 0;
    for (size_t k = i; k < end; ++k) sum += losses_[k].second;
    training.points.emplace_back(losses_[end - 1].first, sum / static_cast<double>(end - i));
  }
  chart.series.push_back(std::move(training));
  if (!heldout_.empty()) chart.series.push_back({"held out", heldout_, true, true});
  return write_atomically(folder_ + "/loss.svg", render_svg(chart));
}

}  // namespace tern::train
