// SPDX-License-Identifier: MIT
// Runs steps of a model over sequences: owns the KV cache and the step's buffers, cuts long inputs into
// chunks. Tokens only; no text, no sampling policy. One thread at a time calls it; the model and backend are
// borrowed.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "model/model.h"
#include "runtime/kv_cache.h"
#include "runtime/sequence.h"

namespace tern {

/// The cache type a model is run with unless one is chosen: f32 where the cache of its whole context is at
/// most 64 MiB (the rounding of f16 would be the largest error of so small a model, and saves nothing), f16
/// otherwise. Depends on the model only, so that the same model gives the same bits for every context size.
KvType default_kv_type(const Config& config);

struct RunnerOptions {
  int64_t context = 0;  // tokens of all sequences together that the cache holds; 0 = the model's max_seq_len
  std::optional<KvType> kv_type = std::nullopt;  // absent: default_kv_type()
  int64_t max_rows = 512;                        // rows of one step (the prefill chunk)
  int64_t max_logit_rows = 64;                   // rows of one step that may ask for logits
};

enum class LogitsWanted : uint8_t { kNone, kLast, kAll };

/// Tokens that one sequence adds in a step.
struct StepInput {
  Sequence* sequence = nullptr;
  std::span<const int32_t> tokens;
  LogitsWanted wanted = LogitsWanted::kLast;
};

class Runner {
 public:
  static Result<std::unique_ptr<Runner>> create(std::shared_ptr<const Model> model, Backend& backend,
                                                const RunnerOptions& options);

  const Model& model() const { return *model_; }
  KvCache& cache() { return cache_; }
  int64_t context() const { return context_; }
  Sequence new_sequence() { return Sequence(cache_); }

  /// One step with rows of several sequences: at most max_rows tokens and max_logit_rows wanted logits in
  /// all; each sequence at most once. The tokens are appended to their sequences. Returns the logits [wanted
  /// rows, vocab], in input order, valid until the next step. Errors: kUsage for a token id outside the
  /// vocabulary, kOutOfMemory (cache full), kNumeric where a row was not finite; after an error every
  /// sequence is as before.
  /// With kHidden, instead of logits, the final norm's output [wanted rows, hidden], any number of rows.
  Result<std::span<const float>> step(std::span<const StepInput> inputs,
                                      StepOutput output = StepOutput::kLogits);

  /// Feeds `tokens` to one sequence in chunks of at most max_rows and returns the logits after the last one.
  /// `progress(done)` after each chunk; returns kCancelled where `cancel` became true between chunks (what
  /// was fed stays).
  Result<std::span<const float>> feed(Sequence& sequence, std::span<const int32_t> tokens,
                                      const std::function<void(int64_t done)>& progress = {},
                                      const std::atomic<bool>* cancel = nullptr);

  int64_t max_rows() const { return buffers_.max_rows; }
  int64_t max_logit_rows() const { return buffers_.max_logit_rows; }

 private:
  Runner(std::shared_ptr<const Model> model, Backend& backend, KvCache cache, StepBuffers buffers,
         int64_t context)
      : model_(std::move(model)),
        backend_(backend),
        cache_(std::move(cache)),
        buffers_(std::move(buffers)),
        context_(context) {}
  static void roll_back(std::span<const StepInput> inputs);
  Status check_tokens(std::span<const int32_t> tokens) const;

  std::shared_ptr<const Model> model_;
  Backend& backend_;
  KvCache cache_;
  StepBuffers buffers_;
  int64_t context_;
  std::vector<BatchRow> rows_;  // of the step being built
};

}  // namespace tern
