// SPDX-License-Identifier: MIT
#include "train/dataset.h"

#include <algorithm>
#include <bit>

#include "core/check.h"
#include "train/hash.h"
#include "train/row_plan.h"
#include "train/token_file.h"

namespace tern::train {
namespace {

constexpr int32_t kCycle = 1024;      // rows after which the mixture is exact
constexpr uint64_t kOrder = 1;        // raised when the same seed gives another order
constexpr size_t kMaxWeighted = 256;  // sources in the mixture; a cycle holds each at least once

uint64_t sub_seed(uint64_t seed, uint64_t what, uint64_t index) {
  return mix64(mix64(mix64(seed) + what) + index);
}

// One source: its documents' lengths, and the plan of the pass that was asked for last.
struct Stream {
  const TokenFile::Source* source = nullptr;
  bool whole = false;  // documents are never cut
  uint64_t seed = 0;
  std::vector<DocumentLength> training, heldout;
  RowPlan heldout_plan, plan;
  int64_t pass = -1;  // that `plan` is of
  std::vector<int64_t> pass_begin = {
      0};  // first row of each pass that was planned so far, and of the next one

  void make_plan(int64_t number, uint32_t context) {
    std::vector<DocumentLength> order = training;
    shuffle_documents(order, sub_seed(seed, 0, static_cast<uint64_t>(number)));
    if (whole) {
      plan = plan_whole(order, context);
    } else {
      uint64_t total = 0;
      for (const DocumentLength& d : order) total += d.columns;
      const uint64_t slack = total < context ? 0 : total % context;
      const uint64_t skip = sub_seed(seed, 1, static_cast<uint64_t>(number)) % (slack + 1);
      plan = plan_stream(order, context, skip, false);
    }
    pass = number;
    if (number + 1 == static_cast<int64_t>(pass_begin.size())) {
      pass_begin.push_back(pass_begin.back() + static_cast<int64_t>(plan.num_rows()));
    }
  }

  // The pieces of the stream's row `row`, counted from the first pass on.
  std::span<const Piece> row(int64_t row, uint32_t context) {
    while (pass_begin.back() <= row) make_plan(static_cast<int64_t>(pass_begin.size()) - 1, context);
    const auto behind = std::upper_bound(pass_begin.begin(), pass_begin.end(), row);
    const int64_t number = behind - pass_begin.begin() - 1;
    if (pass != number) make_plan(number, context);
    return plan.row(static_cast<size_t>(row - pass_begin[static_cast<size_t>(number)]));
  }
};

}  // namespace

struct Dataset::Impl {
  std::shared_ptr<const TokenFile> file;
  std::shared_ptr<const TeacherFile> teacher;  // or null
  int32_t context = 0;
  uint64_t seed = 0, fingerprint = 0;
  std::vector<SourceStats> stats;
  std::vector<Stream> streams;
  std::vector<int32_t> counts;  // rows of each source in a cycle

  int64_t cycle_number = -1;
  std::vector<int32_t> cycle;  // source of each row
  std::vector<int32_t> rank;   // how many rows of that source stand before it in the cycle

  Status add_source(size_t index, const DataSource& config);
  Status weigh(const DataConfig& config);
  void use_cycle(int64_t number);
  void start(int32_t rows, Batch& out) const;
  void write_row(size_t source, std::span<const Piece> pieces, int32_t row, Batch& out) const;
  void write_teacher(int64_t data_row, int32_t row, Batch& out) const;
};

Status Dataset::Impl::add_source(size_t index, const DataSource& config) {
  const TokenFile::Source& source = file->sources()[index];
  Stream stream;
  stream.source = &source;
  stream.whole = config.kind == SourceKind::kChat;
  stream.seed = sub_seed(seed, 2, index);
  SourceStats s{.path = config.path, .kind = config.kind};
  for (size_t i = 0; i < source.num_documents(); ++i) {
    const uint64_t tokens = source.end(i) - source.begin(i);
    if (tokens > UINT32_MAX || i >= UINT32_MAX) {
      return make_error(ErrorCode::kUnsupported, "'{}': a document of more than 2^32 tokens", config.path);
    }
    const bool heldout = source.heldout[i] != 0;
    ++(heldout ? s.heldout_documents : s.documents);
    (heldout ? s.heldout_tokens : s.tokens) += static_cast<int64_t>(tokens);
    if (tokens < 2) continue;  // nothing to predict
    (heldout ? stream.heldout : stream.training)
        .push_back({static_cast<uint32_t>(i), static_cast<uint32_t>(tokens - 1)});
  }
  const auto columns = static_cast<uint32_t>(context);
  stream.heldout_plan =
      stream.whole ? plan_whole(stream.heldout, columns) : plan_stream(stream.heldout, columns, 0, true);
  stats.push_back(std::move(s));
  streams.push_back(std::move(stream));
  return {};
}

Status Dataset::Impl::weigh(const DataConfig& config) {
  std::vector<double> shares;
  double sum = 0;
  size_t weighted = 0;
  for (size_t i = 0; i < streams.size(); ++i) {
    shares.push_back(streams[i].training.empty() ? 0 : config.sources[i].weight);
    sum += shares.back();
    weighted += shares.back() > 0;
  }
  if (!(sum > 0))
    return make_error(ErrorCode::kUsage, "$.data: no training text left (weights, held-out shares)");
  if (weighted > kMaxWeighted) {
    return make_error(ErrorCode::kUsage, "$.data.sources: at most {} may have a weight, found {}",
                      kMaxWeighted, weighted);
  }
  for (double& share : shares) share /= sum;
  counts = apportion(shares, kCycle);
  Hash64 hash;
  hash.add_value(kOrder);
  hash.add_value(file->checksum());
  hash.add_value(seed);
  hash.add_value(static_cast<uint64_t>(context));
  for (size_t i = 0; i < counts.size(); ++i) {
    stats[i].share = static_cast<double>(counts[i]) / kCycle;
    hash.add_value(static_cast<uint64_t>(counts[i]));
  }
  fingerprint = hash.value();
  return {};
}

void Dataset::Impl::use_cycle(int64_t number) {
  if (cycle_number == number) return;
  cycle = mixture_cycle(counts, sub_seed(seed, 3, static_cast<uint64_t>(number)));
  rank.clear();
  std::vector<int32_t> seen(counts.size());
  for (const int32_t source : cycle) rank.push_back(seen[static_cast<size_t>(source)]++);
  cycle_number = number;
}

void Dataset::Impl::start(int32_t rows, Batch& out) const {
  const size_t size = static_cast<size_t>(rows) * static_cast<size_t>(context);
  const auto padding = static_cast<int32_t>(file->header().end_of_text);
  out.rows = rows;
  out.context = context;
  out.tokens.assign(size, padding);
  out.targets.assign(size, padding);
  out.mask.assign(size, 0);
  out.segments.assign(size, -1);
  out.sources.assign(static_cast<size_t>(rows), 0);
  out.teacher_k = 0;
  out.teacher_ids.clear();
  out.teacher_log_probs.clear();
}

void Dataset::Impl::write_row(size_t source, std::span<const Piece> pieces, int32_t row, Batch& out) const {
  const TokenFile::Source& tokens = *streams[source].source;
  size_t at = static_cast<size_t>(row) * static_cast<size_t>(context);
  int32_t segment = 0;
  for (const Piece& piece : pieces) {
    const uint64_t begin = tokens.begin(piece.document) + piece.begin;
    for (uint64_t i = begin; i < begin + piece.columns; ++i, ++at) {
      out.tokens[at] = file->token(tokens, i);
      out.targets[at] = file->token(tokens, i + 1);
      out.mask[at] = file->counts(tokens, i + 1);
      out.segments[at] = segment;
    }
    ++segment;
  }
  out.sources[static_cast<size_t>(row)] = static_cast<int32_t>(source);
}

void Dataset::Impl::write_teacher(int64_t data_row, int32_t row, Batch& out) const {
  const size_t entries = teacher->header().entries(), begin = static_cast<size_t>(row) * entries;
  teacher->read(data_row, std::span(out.teacher_ids).subspan(begin, entries),
                std::span(out.teacher_log_probs).subspan(begin, entries));
  const auto columns = static_cast<size_t>(context);
  for (size_t i = row * columns; i < (row + 1) * columns; ++i) out.mask[i] = out.segments[i] >= 0;
}

Dataset::Dataset(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Dataset::~Dataset() = default;

Result<std::unique_ptr<Dataset>> Dataset::open(const Prepared& prepared, const DataConfig& config,
                                               int32_t context) {
  auto impl = std::make_unique<Impl>();
  TERN_TRY_ASSIGN(impl->file, TokenFile::open(prepared.token_path));
  if (impl->file->sources().size() != config.sources.size() || context < 1) {
    return make_error(ErrorCode::kUsage, "'{}' has {} sources, the configuration {}", prepared.token_path,
                      impl->file->sources().size(), config.sources.size());
  }
  impl->context = context;
  impl->seed = config.seed;
  for (size_t i = 0; i < config.sources.size(); ++i) TERN_TRY(impl->add_source(i, config.sources[i]));
  TERN_TRY(impl->weigh(config));
  return std::unique_ptr<Dataset>(new Dataset(std::move(impl)));
}

void Dataset::batch(int64_t first_row, int32_t rows, Batch& out) {
  TERN_CHECK(first_row >= 0 && rows >= 0, "a row of the endless sequence");
  Impl& d = *impl_;
  d.start(rows, out);
  if (d.teacher) {
    out.teacher_k = static_cast<int32_t>(d.teacher->header().k);
    out.teacher_ids.resize(static_cast<size_t>(rows) * d.teacher->header().entries());
    out.teacher_log_probs.resize(out.teacher_ids.size());
  }
  for (int32_t i = 0; i < rows; ++i) {
    const int64_t row = d.teacher ? (first_row + i) % d.teacher->rows() : first_row + i;
    const int64_t number = row / kCycle;
    d.use_cycle(number);
    const auto in_cycle = static_cast<size_t>(row % kCycle);
    const auto source = static_cast<size_t>(d.cycle[in_cycle]);
    const int64_t in_source = number * d.counts[source] + d.rank[in_cycle];
    d.write_row(source, d.streams[source].row(in_source, static_cast<uint32_t>(d.context)), i, out);
    if (d.teacher) d.write_teacher(row, i, out);
  }
}

Status Dataset::attach_teacher(std::shared_ptr<const TeacherFile> teacher) {
  const TeacherHeader& h = teacher->header();
  if (h.data_fingerprint != fingerprint() || h.vocab_size != static_cast<uint32_t>(vocab_size()) ||
      h.context != static_cast<uint32_t>(context())) {
    return make_error(
        ErrorCode::kUsage,
        "the teacher's file was collected from other data, another context, seed or vocabulary");
  }
  impl_->teacher = std::move(teacher);
  impl_->fingerprint =
      mix64(impl_->fingerprint ^ h.teacher) + static_cast<uint64_t>(impl_->teacher->rows()) * h.k;
  return {};
}

int64_t Dataset::heldout_rows(size_t source) const {
  return static_cast<int64_t>(impl_->streams.at(source).heldout_plan.num_rows());
}

void Dataset::heldout_batch(size_t source, int64_t first_row, int32_t rows, Batch& out) {
  TERN_CHECK(first_row >= 0 && rows >= 0 && first_row + rows <= heldout_rows(source),
             "held-out rows that exist");
  impl_->start(rows, out);
  for (int32_t i = 0; i < rows; ++i) {
    impl_->write_row(source, impl_->streams[source].heldout_plan.row(static_cast<size_t>(first_row + i)), i,
                     out);
  }
}

int32_t Dataset::vocab_size() const { return static_cast<int32_t>(impl_->file->header().vocab_size); }
int32_t Dataset::context() const { return impl_->context; }
std::span<const SourceStats> Dataset::sources() const { return impl_->stats; }
uint64_t Dataset::fingerprint() const { return impl_->fingerprint; }

}  // namespace tern::train
