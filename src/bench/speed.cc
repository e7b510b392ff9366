// SPDX-License-Identifier: MIT
#include "bench/speed.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "runtime/random.h"

namespace tern {

namespace {

constexpr int64_t kPageTokens = 64;

/// Ids that depend on nothing but their place: every engine run of a case computes the same.
std::vector<int32_t> random_tokens(int64_t count, int64_t vocab_size) {
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (size_t i = 0; i < tokens.size(); ++i) {
    tokens[i] = static_cast<int32_t>(uniform_at(1, 0, i) * static_cast<double>(vocab_size));
  }
  return tokens;
}

}  // namespace

std::string SpeedCase::name() const {
  std::string text = prompt > 0 ? fmt::format("pp{}", prompt) : fmt::format("tg{}", predict);
  if (sequences > 1) text += fmt::format(" x{}", sequences);
  if (depth > 0) text += fmt::format(" @ d{}", depth);
  return text;
}

Summary summarize(std::vector<double> values) {
  TERN_CHECK(!values.empty(), "a summary of nothing");
  std::sort(values.begin(), values.end());
  const size_t count = values.size();
  Summary s;
  s.min = values.front();
  s.max = values.back();
  s.median = count % 2 == 1 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
  s.mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(count);
  double squares = 0;
  for (const double value : values) squares += (value - s.mean) * (value - s.mean);
  if (count > 1) s.deviation = std::sqrt(squares / static_cast<double>(count - 1));
  return s;
}

Result<std::unique_ptr<SpeedRun>> SpeedRun::create(const SpeedCase& what, std::shared_ptr<const Model> model,
                                                   Context& context, std::optional<KvType> kv_type) {
  auto run = std::unique_ptr<SpeedRun>(new SpeedRun(what, context.backend()));
  const int64_t each = what.depth + std::max(what.prompt, what.predict);
  RunnerOptions options;
  options.context = (each + kPageTokens - 1) / kPageTokens * kPageTokens * what.sequences;
  options.kv_type = kv_type;
  options.max_rows = std::max(what.chunk_rows, what.sequences);
  options.max_logit_rows = what.sequences;
  run->tokens_ = random_tokens(each * what.sequences, model->config().vocab_size);
  TERN_TRY_ASSIGN(run->runner_, Runner::create(std::move(model), run->backend_, options));
  for (int64_t i = 0; i < what.sequences; ++i) {
    run->sequences_.push_back(run->runner_->new_sequence());
    if (what.depth == 0) continue;
    const auto past =
        std::span(run->tokens_).subspan(static_cast<size_t>(i * each), static_cast<size_t>(what.depth));
    TERN_TRY_ASSIGN(const auto logits, run->runner_->feed(run->sequences_.back(), past));
    (void)logits;
  }
  return run;
}

Status SpeedRun::run_once() {
  for (Sequence& sequence : sequences_) sequence.truncate(what_.depth);
  const std::span<const int32_t> tokens = tokens_;
  const int64_t each = what_.depth + std::max(what_.prompt, what_.predict);
  if (what_.prompt > 0) {
    const auto logits = runner_->feed(
        sequences_[0], tokens.subspan(static_cast<size_t>(what_.depth), static_cast<size_t>(what_.prompt)));
    return logits.ok() ? Status() : Status(logits.error());
  }
  std::vector<StepInput> inputs(sequences_.size());
  for (int64_t step = 0; step < what_.predict; ++step) {
    for (size_t i = 0; i < sequences_.size(); ++i) {
      const int64_t at = static_cast<int64_t>(i) * each + what_.depth + step;
      inputs[i] = {&sequences_[i], tokens.subspan(static_cast<size_t>(at), 1), LogitsWanted::kLast};
    }
    const auto logits = runner_->step(inputs);
    if (!logits.ok()) return logits.error();
  }
  return {};
}

Result<double> SpeedRun::run() {
  const auto begin = std::chrono::steady_clock::now();
  TERN_TRY(run_once());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

Result<std::vector<OpEvent>> SpeedRun::record() {
  backend_.record(true);
  const Status status = run_once();
  backend_.record(false);
  std::vector<OpEvent> events = backend_.take_events();
  TERN_TRY(status);
  label_events(events, runner_->model().config().num_layers);
  return events;
}

std::vector<ClassShare> shares_of(const std::vector<OpEvent>& events, int64_t steps) {
  std::vector<ClassShare> all(kOpClasses);
  for (const OpEvent& event : events) {
    ClassShare& share = all[static_cast<size_t>(event.op)];
    share.op = event.op;
    share.seconds += (event.end_us - event.begin_us) * 1e-6;
    share.bytes += event.bytes;
    share.operations += event.operations;
  }
  std::erase_if(all, [](const ClassShare& share) { return share.seconds == 0; });
  for (ClassShare& share : all) {
    share.seconds /= static_cast<double>(steps);
    share.bytes /= static_cast<double>(steps);
    share.operations /= static_cast<double>(steps);
  }
  return all;
}

}  // namespace tern
