// SPDX-License-Identifier: MIT
#include "train/collect.h"

#include <algorithm>
#include <cmath>
#include <deque>
#include <vector>

#include "core/float16.h"
#include "core/math.h"

namespace tern::train {
namespace {

constexpr int64_t kSyncEvery = 64;  // rows; a crash loses at most these
constexpr int64_t kPage = 64;       // tokens of a cache page, that a sequence takes whole

// Columns begin .. begin + tokens.size() of a row, which one document fills.
struct Segment {
  int64_t begin = 0;
  std::vector<int32_t>
      tokens;        // what the teacher is fed: options.first, where it is put before, and the columns
  int64_t skip = 0;  // tokens that are no columns: 0 or 1
};

std::vector<Segment> segments_of(const Batch& row, int32_t first) {
  std::vector<Segment> segments;
  for (int64_t i = 0; i < row.context; ++i) {
    const auto at = static_cast<size_t>(i);
    if (row.segments[at] < 0) break;  // padding stands at the end
    if (i == 0 || row.segments[at] != row.segments[at - 1]) {
      Segment segment{.begin = i, .tokens = {}, .skip = 0};
      if (first >= 0 && row.tokens[at] != first) {
        segment.tokens.push_back(first);
        segment.skip = 1;
      }
      segments.push_back(std::move(segment));
    }
    segments.back().tokens.push_back(row.tokens[at]);
  }
  return segments;
}

// Feeds segments through the runner, as many in a step as fit, and hands out the logits of each token.
class Feeder {
 public:
  using OnLogits = std::function<void(const Segment& segment, int64_t token, std::span<const float> logits)>;

  explicit Feeder(Runner& runner)
      : runner_(runner), rows_(std::min(runner.max_rows(), runner.max_logit_rows())) {}

  Status run(const std::vector<Segment>& segments, const OnLogits& on_logits) {
    size_t next = 0;
    while (next < segments.size() || !active_.empty()) {
      fill(segments, next);
      TERN_TRY(step(on_logits));
    }
    return {};
  }

 private:
  struct Active {
    const Segment* segment;
    Sequence sequence;
    int64_t fed = 0, now = 0;  // tokens before this step, in this step
  };

  // Takes segments until the step's rows or the cache's pages are used up; the last may be taken in part.
  void fill(const std::vector<Segment>& segments, size_t& next) {
    int64_t free = rows_, pages = runner_.context() / kPage;
    const auto take = [&](Active& a) {
      const auto size = static_cast<int64_t>(a.segment->tokens.size());
      a.now = std::min(free, size - a.fed);
      free -= a.now;
      pages -= (size + kPage - 1) / kPage;
    };
    for (Active& a : active_) take(a);
    while (free > 0 && next < segments.size()) {
      const auto size = static_cast<int64_t>(segments[next].tokens.size());
      if (!active_.empty() && (size + kPage - 1) / kPage > pages) break;
      active_.push_back({&segments[next++], runner_.new_sequence()});
      take(active_.back());
    }
  }

  Status step(const OnLogits& on_logits) {
    std::vector<StepInput> inputs;
    for (Active& a : active_) {
      const auto tokens = std::span(a.segment->tokens);
      inputs.push_back({&a.sequence, tokens.subspan(static_cast<size_t>(a.fed), static_cast<size_t>(a.now)),
                        LogitsWanted::kAll});
    }
    TERN_TRY_ASSIGN(std::span<const float> logits, runner_.step(inputs));
    const auto vocab = static_cast<size_t>(runner_.model().config().vocab_size);
    for (Active& a : active_) {
      for (int64_t i = 0; i < a.now; ++i, logits = logits.subspan(vocab)) {
        on_logits(*a.segment, a.fed + i, logits.first(vocab));
      }
      a.fed += a.now;
    }
    std::erase_if(active_,
                  [](const Active& a) { return a.fed == static_cast<int64_t>(a.segment->tokens.size()); });
    return {};
  }

  Runner& runner_;
  int64_t rows_;
  std::vector<Active> active_;
};

}  // namespace

void top_log_probs(std::span<const float> logits, std::span<uint32_t> ids, std::span<uint16_t> log_probs) {
  const float greatest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const float x : logits) sum += static_cast<double>(exp_f32(x - greatest));
  const double log_sum = static_cast<double>(greatest) + portable_log(sum);
  // The k best so far in order; most logits fail the first comparison.
  const auto better = [&](uint32_t a, uint32_t b) {
    return logits[a] != logits[b] ? logits[a] > logits[b] : a < b;
  };
  size_t kept = 0;
  for (uint32_t id = 0; id < logits.size(); ++id) {
    if (kept == ids.size() && !better(id, ids[kept - 1])) continue;
    size_t at = kept < ids.size() ? kept++ : kept - 1;
    for (; at > 0 && better(id, ids[at - 1]); --at) ids[at] = ids[at - 1];
    ids[at] = id;
  }
  for (size_t i = 0; i < kept; ++i) {
    log_probs[i] = f32_to_f16(static_cast<float>(static_cast<double>(logits[ids[i]]) - log_sum));
  }
}

Status collect_teacher(Runner& runner, Dataset& data, const std::string& path,
                       const CollectOptions& options) {
  const int64_t vocab = runner.model().config().vocab_size;
  if (vocab != data.vocab_size()) {
    return make_error(ErrorCode::kUsage,
                      "the teacher has {} tokens, the data {}: distillation needs one tokenizer", vocab,
                      data.vocab_size());
  }
  if (runner.context() < data.context() + 1 + kPage) {
    return make_error(ErrorCode::kUsage, "the teacher's context holds {} tokens, rows of {} need {}",
                      runner.context(), data.context(), data.context() + 1 + kPage);
  }
  if (options.k < 1 || options.k > std::min<int64_t>(vocab, 1024)) {
    return make_error(ErrorCode::kUsage, "top-k: expected 1 to {}, found {}", std::min<int64_t>(vocab, 1024),
                      options.k);
  }
  const TeacherHeader header{data.fingerprint(), options.teacher, static_cast<uint32_t>(vocab),
                             static_cast<uint32_t>(options.k), static_cast<uint32_t>(data.context())};
  TERN_TRY_ASSIGN(TeacherWriter writer, TeacherWriter::open(path, header));
  const auto k = static_cast<size_t>(options.k);
  Feeder feeder(runner);
  Batch batch;
  TeacherRow row;
  while (writer.rows() < options.rows) {
    if (options.cancel != nullptr && options.cancel->load()) {
      TERN_TRY(writer.sync());
      return make_error(ErrorCode::kCancelled, "stopped after {} of {} rows; the same command continues",
                        writer.rows(), options.rows);
    }
    data.batch(writer.rows(), 1, batch);
    row.ids.assign(header.entries(), 0);
    row.log_probs.assign(header.entries(), f32_to_f16(-INFINITY));
    TERN_TRY(feeder.run(segments_of(batch, options.first), [&](const Segment& s, int64_t token,
                                                               std::span<const float> logits) {
      if (token < s.skip) return;
      const size_t at = static_cast<size_t>(s.begin + token - s.skip) * k;
      top_log_probs(logits, std::span(row.ids).subspan(at, k), std::span(row.log_probs).subspan(at, k));
    }));
    TERN_TRY(writer.append(row));
    if (writer.rows() % kSyncEvery == 0) TERN_TRY(writer.sync());
    if (options.progress) options.progress(writer.rows(), options.rows);
  }
  return writer.sync();
}

}  // namespace tern::train
